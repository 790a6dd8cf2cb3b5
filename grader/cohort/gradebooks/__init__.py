"""Gradebook files with the points of a class: one module for each format.

Each module has `write(summaries, column, file)`, and `FORMATS` lists them by name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TextIO

from grader.cohort.gradebooks import canvas, moodle, nbgrader, table
from grader.cohort.gradebooks.cells import Column
from grader.cohort.summary import StudentSummary

FORMATS: Mapping[str, Callable[[Sequence[StudentSummary], Column, TextIO], None]] = {
    "canvas": canvas.write,
    "moodle": moodle.write,
    "nbgrader": nbgrader.write,
    "csv": table.write,
}
"""By the name that `grade export` accepts."""

__all__ = ["FORMATS", "Column", "write_gradebook"]


def write_gradebook(
    format_name: str, summaries: Sequence[StudentSummary], column: Column, path: Path
) -> None:
    """Write a file in one of the `FORMATS`."""
    # Excel reads a table as UTF-8 only if the table begins with a byte order mark.
    encoding = "utf-8-sig" if format_name == "csv" else "utf-8"
    with path.open("w", encoding=encoding, newline="") as file:
        FORMATS[format_name](summaries, column, file)
