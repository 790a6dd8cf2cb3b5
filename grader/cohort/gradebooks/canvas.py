"""Canvas's gradebook (canvas-lms, lib/gradebook_importer.rb).

Canvas finds a student by its own id, then by the SIS ids, then by name. The best roster is
therefore Canvas's own export of the gradebook.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TextIO

from grader.cohort.gradebooks.cells import Column, number, text, write_rows
from grader.cohort.summary import StudentSummary
from grader.intake.roster import LOGIN_HEADERS, SCHOOL_ID_HEADERS

_STUDENT_HEADERS = ("Student", "ID", "SIS User ID", "SIS Login ID", "Section")


def write(summaries: Sequence[StudentSummary], column: Column, file: TextIO) -> None:
    """Write one row for each student on the roster, below a row with the points possible."""
    possible = ["Points Possible", "", "", "", "", number(column.points_possible)]
    rows = [
        [*map(text, _identify(summary)), column.points(summary)]
        for summary in summaries
        if summary.student.on_roster
    ]
    write_rows(file, [*_STUDENT_HEADERS, text(column.title)], [possible, *rows])


def _identify(summary: StudentSummary) -> tuple[str, ...]:
    student = summary.student
    # In Canvas's own export the student's id is Canvas's; in other rosters its header says whose.
    is_canvas_id = not student.plain_columns.keys().isdisjoint({"sis user id", "sis login id"})
    is_school_id = not is_canvas_id and student.id_header in SCHOOL_ID_HEADERS | {""}
    is_login = not is_canvas_id and student.id_header in LOGIN_HEADERS
    return (
        student.name or student.id,
        student.id if is_canvas_id else student.cell("canvas id", "canvas user id"),
        student.cell("sis user id") or (student.id if is_school_id else ""),
        student.cell("sis login id") or (student.id if is_login else ""),
        student.cell("section"),
    )
