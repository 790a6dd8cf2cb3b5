"""Canvas's gradebook (canvas-lms, lib/gradebook_importer.rb).

Canvas finds a student by its own id, then by the SIS ids, then by name. The best roster is
therefore Canvas's own export of the gradebook.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TextIO

from grader.cohort.gradebooks.cells import Column, from_roster, number, text, write_rows
from grader.cohort.summary import StudentSummary

_STUDENT_HEADERS = ("Student", "ID", "SIS User ID", "SIS Login ID", "Section")


def write(summaries: Sequence[StudentSummary], column: Column, file: TextIO) -> None:
    """Write one row for each student, below a row with the points possible."""
    possible = ["Points Possible", "", "", "", "", number(column.points_possible)]
    rows = [[*map(text, _identify(summary)), column.points(summary)] for summary in summaries]
    write_rows(file, [*_STUDENT_HEADERS, text(column.title)], [possible, *rows])


def _identify(summary: StudentSummary) -> tuple[str, ...]:
    student = summary.student
    sis_user_id = from_roster(student, "sis user id")
    # In Canvas's own export the student's id is Canvas's; in other rosters the school's.
    headers = {header.strip().casefold() for header in student.columns}
    is_canvas_id = not headers.isdisjoint({"sis user id", "sis login id"})
    return (
        student.name or student.id,
        student.id if is_canvas_id else "",
        sis_user_id if is_canvas_id else student.id,
        from_roster(student, "sis login id"),
        from_roster(student, "section"),
    )
