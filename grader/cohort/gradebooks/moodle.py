"""Moodle: the offline grading worksheet, or a table for the gradebook's CSV import.

The worksheet needs Moodle's own identifiers ("Participant 123"). Only the downloaded worksheet has
them, so it must be the roster.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TextIO

from grader.cohort.gradebooks.cells import Column, from_roster, number, text, write_rows
from grader.cohort.summary import StudentSummary

_IDENTIFIER, _MODIFIED = "identifier", "last modified (grade)"


def write(summaries: Sequence[StudentSummary], column: Column, file: TextIO) -> None:
    """Write the worksheet if students have identifiers, else the import table."""
    identified = [summary for summary in summaries if _identifier(summary)]
    rows = [
        [
            text(_identifier(summary) or summary.student.id),
            text(summary.student.name),
            text(summary.student.email),
            column.points(summary),
        ]
        for summary in identified or summaries
    ]
    if not identified:
        write_rows(file, ["ID number", "Full name", "Email address", text(column.title)], rows)
        return
    for row, summary in zip(rows, identified, strict=True):
        # Moodle compares this time with its own, so that no newer grade is overwritten.
        modified = from_roster(summary.student, _MODIFIED)
        row += [number(column.points_possible), text(modified.removeprefix("-")) or "-"]
    header = ["Identifier", "Full name", "Email address", "Grade", "Maximum Grade"]
    write_rows(file, [*header, "Last modified (grade)"], rows)


def not_on_the_worksheet(summaries: Sequence[StudentSummary]) -> list[str]:
    """Return the ids of students without an identifier, if other students have one."""
    missing = [summary.student.id for summary in summaries if not _identifier(summary)]
    return missing if len(missing) < len(summaries) else []


def _identifier(summary: StudentSummary) -> str:
    own = summary.student.id
    is_participant = own.casefold().startswith("participant ")
    return from_roster(summary.student, _IDENTIFIER) or (own if is_participant else "")
