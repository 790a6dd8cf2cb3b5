"""What an upload for Gradescope says about how to grade: `settings.json` in it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import msgspec

FILE_NAME = "settings.json"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How to grade in the container.

    Attributes:
        assignment: the name of a bundled one, or of a file beside the settings.
        practice: use the embedded practice set.
        leaderboard: add accuracies and sizes of models to the results.
        data_directory: where the image holds MNIST; None if it is downloaded for the image.
        question_memory_bytes: what a student's code may use for one question.
        time_limit_seconds: after which the grading ends, before the container does.
    """

    assignment: str
    practice: bool
    leaderboard: bool
    data_directory: str | None
    question_memory_bytes: int
    time_limit_seconds: float


def write_settings(settings: Settings) -> bytes:
    """The content of the file."""
    return msgspec.json.format(msgspec.json.encode(settings), indent=2) + b"\n"


def read_settings(path: Path) -> Settings:
    """Read what `write_settings` wrote."""
    return msgspec.json.decode(path.read_bytes(), type=Settings)
