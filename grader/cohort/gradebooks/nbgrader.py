"""The table format of `nbgrader export`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TextIO

from grader.cohort.gradebooks.cells import Column, number, split_name, text, write_rows
from grader.cohort.summary import StudentSummary

_HEADER = (
    *("assignment", "duedate", "timestamp", "student_id", "last_name", "first_name", "email"),
    *("raw_score", "late_submission_penalty", "score", "max_score"),
)


def write(summaries: Sequence[StudentSummary], column: Column, file: TextIO) -> None:
    """Write one row for each student."""
    rows = []
    for summary in summaries:
        last_name, first_name = split_name(summary.student)
        points = column.points(summary)
        rows.append(
            [
                text(column.title),
                summary.late.due_at,
                summary.late.submitted_at,
                text(summary.student.id),
                text(last_name),
                text(first_name),
                text(summary.student.email),
                number(summary.score.earned) if points else "",
                number(summary.late.penalty_points) if points else "",
                points,
                number(column.points_possible),
            ]
        )
    write_rows(file, _HEADER, rows)
