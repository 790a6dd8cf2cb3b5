"""A class's points as the files that gradebooks take: one module for each format.

Each has `write(summaries, column, file)`, and `FORMATS` lists them by name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TextIO

from grader.report.gradebooks import canvas, moodle, nbgrader, table
from grader.report.gradebooks.cells import Column
from grader.summary import StudentSummary

Write = Callable[[Sequence[StudentSummary], Column, TextIO], None]

FORMATS: Mapping[str, Write] = {
    "canvas": canvas.write,
    "moodle": moodle.write,
    "nbgrader": nbgrader.write,
    "csv": table.write,
}
"""By the name that `grade export` takes."""

__all__ = ["FORMATS", "Column", "Write"]
