"""Cells of all gradebooks: numbers, harmless text, parts of a name."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TextIO

from grader.cohort.summary import Status, StudentSummary
from grader.intake.students import Student
from grader.text import clean_line

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")
"""Starts of a cell that a spreadsheet takes for a formula (OWASP, "CSV Injection")."""


@dataclass(frozen=True, kw_only=True)
class Column:
    """The column of the points.

    Attributes:
        title: its header; for Canvas with the assignment's id in parentheses.
        points_possible: maximum points.
        missing_as_zero: a student without a submission gets 0 instead of an empty cell.
    """

    title: str
    points_possible: float
    missing_as_zero: bool = False

    def points(self, summary: StudentSummary) -> str:
        """Return the points of one student; empty if there is no grade."""
        if summary.has_points:
            return number(summary.final_points)
        is_zero = summary.status is Status.MISSING and self.missing_as_zero
        return number(0) if is_zero else ""


def number(value: float) -> str:
    """Return a number with at most four decimals."""
    return f"{value:.4f}".rstrip("0").rstrip(".")


def text(value: str) -> str:
    """Return one line of text; an apostrophe stops spreadsheets from running a formula."""
    line = clean_line(value)
    return f"'{line}" if value[:1] in FORMULA_STARTS or line[:1] in FORMULA_STARTS else line


def split_name(student: Student) -> tuple[str, str]:
    """Return last and first name: the roster's, or else the parts of the whole name."""
    last = student.cell("last name", "last_name", "lastname", "surname", "family name")
    first = student.cell("first name", "first_name", "firstname", "given name", "forename")
    if last or first:
        return last, first
    if "," in student.name:
        last, _, first = student.name.partition(",")
    else:
        first, _, last = student.name.rpartition(" ")
    return last.strip(), first.strip()


def write_rows(file: TextIO, header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Write a table as CSV (RFC 4180)."""
    writer = csv.writer(file)
    writer.writerow(header)
    writer.writerows(rows)
