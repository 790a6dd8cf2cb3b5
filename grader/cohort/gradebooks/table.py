"""A plain table for a spreadsheet: points before and after the late policy, and by part."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TextIO

from grader.cohort.gradebooks.cells import Column, number, text, write_rows
from grader.cohort.late_policy import SLIP_HEADERS
from grader.cohort.summary import StudentSummary

_HEADER = (
    *("id", "name", "email", "status", "points", "points_before_late_penalty", "late_penalty"),
    *("points_pending", "points_possible", "days_late", "slip_days_used", "note"),
)


def write(summaries: Sequence[StudentSummary], column: Column, file: TextIO) -> None:
    """Write one row for each student, with a column for each part."""
    # A dict, because it keeps the assignment's order.
    parts = list(dict.fromkeys(item.part for summary in summaries for item in summary.items))
    rows = []
    for summary in summaries:
        points = column.points(summary)
        earned = _earned_by_part(summary)
        rows.append(
            [
                text(summary.student.id),
                text(summary.student.name),
                text(summary.student.email),
                summary.status,
                points,
                number(summary.score.earned) if points else "",
                number(summary.late.penalty_points) if points else "",
                number(summary.score.pending) if points else "",
                number(column.points_possible),
                number(summary.late.days_late),
                number(summary.late.slip_days + _slip_days_before(summary)),
                text("; ".join(filter(None, _notes(summary)))),
                *(number(earned[part]) if part in earned else "" for part in parts),
            ]
        )
    write_rows(file, [*_HEADER, *map(text, parts)], rows)


def _notes(summary: StudentSummary) -> tuple[str, ...]:
    return (summary.message, summary.late.reason, summary.whose, *summary.decisions)


def _slip_days_before(summary: StudentSummary) -> float:
    used = summary.student.cell(*SLIP_HEADERS)
    return float(used) if used.isdecimal() else 0.0


def _earned_by_part(summary: StudentSummary) -> dict[str, float]:
    earned: dict[str, float] = {}
    for item in summary.items:
        earned[item.part] = earned.get(item.part, 0.0) + item.score.earned
    return earned
