"""Changes a JSON text in one place, as a forger would who knows the protocol."""

from __future__ import annotations

import json
import random
from typing import Any

INTERESTING: tuple[Any, ...] = (
    None,
    True,
    0,
    -1,
    2**63,
    10**400,
    1e308,
    -0.0,
    "",
    "0.weight",
    "x" * 300,
    "\x1b]0;\x07\u202e",
    "\ud800",
    [],
    [[[[]]]],
    {},
    {"float": "nan"},
    {"integer": "-1" * 500},
    {"pairs": [[1, 2]]},
    {"pairs": [[{"pairs": []}, [[[[1]]]]]]},
    "Linear",
    "Conv2d",
    "BatchNorm1d",
    "Adam",
    "StepLR",
    "subclass",
    "evaluation",
)


def mutate_json(payload: bytes, seed: int) -> bytes | None:
    """The text with a value replaced, copied, repeated or removed; None if it is no JSON."""
    choose = random.Random(seed)
    try:
        top = json.loads(payload)
        places = list(_places(top))
    except (ValueError, RecursionError):
        return None
    if not places:
        return None
    container, key = choose.choice(places)
    donor, donor_key = choose.choice(places)
    match choose.randrange(5):
        case 0:
            container[key] = choose.choice(INTERESTING)
        case 1:
            container[key] = json.loads(json.dumps(donor[donor_key]))
        case 2:
            del container[key]
        case 3 if isinstance(container, list):
            container += container[key : key + 1] * choose.choice((1, 3, 40))
        case _ if isinstance(container, dict):
            container[str(choose.choice(INTERESTING))] = container.pop(key)
        case _:
            choose.shuffle(container)
    return json.dumps(top).encode()


def _places(value: Any) -> Any:
    """Every place in the value, as the container and the key in it."""
    keys: Any = ()
    if isinstance(value, dict):
        keys = value
    elif isinstance(value, list):
        keys = range(len(value))
    for key in keys:
        yield value, key
        yield from _places(value[key])
