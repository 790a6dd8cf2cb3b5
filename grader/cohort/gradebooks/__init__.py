"""A class's points as the files that gradebooks take: one module for each format.

Each has `write(summaries, column, file)`, and `FORMATS` lists them by name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TextIO

from grader.cohort.gradebooks import canvas, moodle, nbgrader, table
from grader.cohort.gradebooks.cells import Column
from grader.cohort.summary import StudentSummary

Write = Callable[[Sequence[StudentSummary], Column, TextIO], None]

FORMATS: Mapping[str, Write] = {
    "canvas": canvas.write,
    "moodle": moodle.write,
    "nbgrader": nbgrader.write,
    "csv": table.write,
}
"""By the name that `grade export` takes."""

__all__ = ["FORMATS", "Column", "Write", "write_gradebook"]


def write_gradebook(
    format_name: str, summaries: Sequence[StudentSummary], column: Column, path: Path
) -> None:
    """Write a file of one of the `FORMATS`."""
    # Excel takes a table for UTF-8 only if it begins with a byte order mark.
    encoding = "utf-8-sig" if format_name == "csv" else "utf-8"
    with path.open("w", encoding=encoding, newline="") as file:
        FORMATS[format_name](summaries, column, file)
