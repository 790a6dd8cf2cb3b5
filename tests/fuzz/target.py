"""The fuzzer's target: `python -m tests.fuzz.target CORPUS SECONDS SEED`.

Each input is one byte that chooses what was asked, and a message. Whatever it is, the decoder may
only accept it or raise `MessageError`: any other exception, more than `HANG_SECONDS`, or memory
past `MEMORY_CAP_BYTES` ends the run with the input that did it.
"""

from __future__ import annotations

import contextlib
import re
import resource
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import atheris

with atheris.instrument_imports(include=["grader"]):
    from grader.errors import MessageError
    from grader.sandbox.decode import HARMLESS_IRREGULARITIES, decode_end, decode_reply

from tests.fuzz.asked import LIMITS, QUESTIONS
from tests.fuzz.fuzz_decoder import HANG_SECONDS, MEMORY_CAP_BYTES
from tests.fuzz.mutate import mutate_json

if TYPE_CHECKING:
    from grader.models.questions import Extraction

FORBIDDEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def fuzz(corpus: Path, seconds: int, seed: int) -> None:
    """Fuzz until the time is over; libFuzzer ends the process."""
    options = {
        "max_total_time": seconds,
        "max_len": LIMITS.message_bytes + 100,
        "timeout": HANG_SECONDS,
        "seed": seed,
        "print_final_stats": 1,
        "artifact_prefix": f"{corpus}/found-",
    }
    argv = [sys.argv[0], *(f"-{name}={value}" for name, value in options.items()), str(corpus)]
    atheris.Setup(argv, run_one, custom_mutator=mutate)
    pages = int(Path("/proc/self/statm").read_text().split()[5])
    cap = pages * resource.getpagesize() + MEMORY_CAP_BYTES
    resource.setrlimit(resource.RLIMIT_DATA, (cap, cap))
    atheris.Fuzz()


def run_one(data: bytes) -> None:
    """Decode one message; what is accepted must keep the decoder's promises."""
    which, payload = data[:1], data[1:]
    index = which[0] % (len(QUESTIONS) + 1) if which else 0
    with contextlib.suppress(MessageError):
        if index == len(QUESTIONS):
            decode_end(payload)
        else:
            check(decode_reply(QUESTIONS[index], payload, LIMITS))


def check(extraction: Extraction) -> None:
    """An accepted message is within the limits, and its texts are harmless."""
    texts = [extraction.location]
    if extraction.failure is not None:
        failure = extraction.failure
        texts += [failure.phase, failure.message, failure.next_step, failure.location]
        texts += [failure.traceback]
    if extraction.model is not None:
        layers = extraction.model.model.layers
        assert len(layers) <= LIMITS.layers
        if all(layer.irregularity in HARMLESS_IRREGULARITIES for layer in layers):
            assert extraction.model.model.count_parameters() <= LIMITS.parameters
        texts += [text for layer in layers for text in (layer.kind, layer.path)]
        texts += [layer.irregularity_detail for layer in layers]
    states = [extraction.answered, extraction.model is not None, extraction.failure is not None]
    assert sum(states) == 1 or (extraction.question.optional and not any(states))
    for text in texts:
        assert not FORBIDDEN.search(text), text


def mutate(data: bytes, maximum_size: int, seed: int) -> bytes:
    """One change to the structure, or libFuzzer's own changes to the bytes."""
    changed = mutate_json(data[1:], seed) if seed % 3 else None
    if changed is not None and len(changed) < maximum_size:
        return data[:1] + changed
    return bytes(atheris.Mutate(data, maximum_size))


if __name__ == "__main__":
    fuzz(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
