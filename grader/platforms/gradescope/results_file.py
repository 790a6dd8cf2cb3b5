"""`results.json` and what keeps it valid at every moment, whatever becomes of the grader.

Only the standard library: this must work where little else does.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

RESERVED_BYTES = 8 * 2**20
"""Held back on the disk for the results, which are far smaller."""
UNFINISHED = "The autograder was ended before it could say why."
ADVICE = (
    "This is no verdict on your work. Ask your instructor to grade it again; what happened is in "
    "the autograder's output, which instructors see."
)


def failure_results(reason: str, advice: str = ADVICE) -> bytes:
    """Valid results that give 0 points and the reason."""
    return json.dumps(
        {
            "score": 0.0,
            "output": f"NOT GRADED. {reason} {advice}",
            "output_format": "text",
            "visibility": "visible",
            "stdout_visibility": "hidden",
            "tests": [],
        }
    ).encode()


def is_valid(content: bytes) -> bool:
    """Whether Gradescope would take this: a JSON object with a score and a list of tests."""
    try:
        results: Any = json.loads(content)
    except ValueError:
        return False
    return (
        isinstance(results, dict)
        and type(results.get("score")) in {int, float}
        and isinstance(results.get("tests"), list)
    )


class ResultsFile:
    """The file, valid from `prepare` on.

    Args:
        directory: Gradescope's `results`.
    """

    def __init__(self, directory: Path) -> None:
        self._path = directory / "results.json"
        self._draft = directory / ".results.json.draft"
        self._reserve = directory / ".reserve"

    def prepare(self) -> None:
        """Delete what is left over, write that nothing was finished, and hold back room."""
        self._path.unlink(missing_ok=True)
        self.replace(failure_results(UNFINISHED))
        with suppress(OSError), self._reserve.open("wb") as reserve:
            os.posix_fallocate(reserve.fileno(), 0, RESERVED_BYTES)

    def conclude(self, content: bytes) -> None:
        """Give the held back room to the final content and write it."""
        self._reserve.unlink(missing_ok=True)
        self.replace(content)

    def replace(self, content: bytes) -> None:
        """Put `content` in place at once, or leave what is there if the disk has no room."""
        with suppress(OSError):
            with self._draft.open("wb") as draft:
                draft.write(content)
                draft.flush()
                os.fsync(draft.fileno())
            self._draft.replace(self._path)
        with suppress(OSError):
            self._draft.unlink(missing_ok=True)
