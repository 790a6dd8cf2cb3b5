"""`settings.json` in the upload: how to grade."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import msgspec

from grader.assignment.loading import load_assignment
from grader.assignment.records import Assignment

FILE_NAME = "settings.json"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings of grading in the container.

    Attributes:
        assignment: name of a bundled assignment, or of a file beside the settings.
        data_directory: directory of the image with the data; None to download it for the image.
        question_memory_bytes: memory limit of a student's code for one question.
        time_limit_seconds: the grading ends after this time, before the container does.
    """

    assignment: str
    practice: bool
    leaderboard: bool
    data_directory: str | None
    question_memory_bytes: int
    time_limit_seconds: float

    def load_assignment(self, source: Path, *, submission: Path | None = None) -> Assignment:
        """Load the assignment; `source` holds an author's file."""
        is_file = self.assignment.endswith(".py")
        name = str(source / self.assignment) if is_file else self.assignment
        return load_assignment(name, submission=submission)

    def data_path(self) -> Path | None:
        """Return the directory with the data, or None for the cache."""
        return Path(self.data_directory) if self.data_directory else None


def write_settings(settings: Settings) -> bytes:
    """Return the content of the file."""
    return msgspec.json.format(msgspec.json.encode(settings), indent=2) + b"\n"


def read_settings(path: Path) -> Settings:
    """Read what `write_settings` wrote."""
    return msgspec.json.decode(path.read_bytes(), type=Settings)
