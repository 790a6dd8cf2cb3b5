"""The other outcomes of attacks and broken files in sandboxes without namespaces.

With namespaces, the target of an attack is missing; without them, the target exists but is closed.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest

CLOSED: dict[str, Any] = {"kind": "exception", "value": None, "says": ("PermissionError",)}
_EXPECTED_WITHOUT_NAMESPACES: dict[str, dict[str, Any]] = {
    # Paths that lead somewhere here, and are closed by Landlock.
    "reading_parent_environment": CLOSED,
    "reading_processes": CLOSED,
    "reading_top": CLOSED,
    "tampering_shared_memory": CLOSED,
    "tampering_shared_memory_again": CLOSED,
    # The first process is not its own, so that it may not send it signals.
    "tampering_kill_init": CLOSED,
    # There is no such path.
    "reading_siblings": CLOSED | {"says": ("FileNotFoundError",)},
    # A disk can be slower than memory: the time may be up before the files are too many.
    "exhaustion_empty_files": {"says": ()},
    "many_files": {"says": ()},
}
EXPECTED: dict[str, dict[str, dict[str, Any]]] = {
    "uid": _EXPECTED_WITHOUT_NAMESPACES,
    "same-user": _EXPECTED_WITHOUT_NAMESPACES
    | {
        # No mode may be changed, not even that of its own files.
        "tampering_locked_directory": CLOSED,
        "tampering_locked_scratch": CLOSED,
        # As on a file system that has no attributes.
        "tampering_noted_scratch": CLOSED | {"says": ("OSError",)},
        # Processes are counted from outside, and ended when there are too many.
        "fork_bomb": {"says": ("48 processes",)},
    },
}
"""The different outcomes, by the names of kinds of sandbox."""


def expect_without_namespaces(items: Iterable[pytest.Item], sandbox: str) -> None:
    """Change what the tests of these attacks and files expect in one kind of sandbox."""
    expected = EXPECTED[sandbox]
    for item in items:
        parameters = getattr(getattr(item, "callspec", None), "params", {})
        for key, value in parameters.items():
            name = getattr(value, "id" if key == "attack" else "name", None)
            if key in {"attack", "broken"} and name in expected:
                parameters[key] = replace(value, **expected[name])
