"""Moodle: the offline grading worksheet, or a table for the gradebook's CSV import.

The worksheet needs Moodle's own identifiers ("Participant 123"). Only the downloaded worksheet has
them, so it must be the roster. It is given back with every column and in its own language, as
Moodle's importer finds the columns by their headers (`mod/assign/feedback/offline`).
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from typing import TextIO

from grader.cohort.gradebooks.cells import Column, number, text, write_rows
from grader.cohort.late_policy import OWN_HEADERS
from grader.cohort.summary import StudentSummary
from grader.intake.matching import GROUP_HEADERS
from grader.intake.roster import participant_number
from grader.intake.students import plain_header
from grader.text import clean_line

_NUMBER = re.compile(r"\d+(?:[.,]\d+)?")


def write(summaries: Sequence[StudentSummary], column: Column, file: TextIO) -> None:
    """Write the worksheet if students have identifiers, else the import table."""
    if has_worksheet(summaries):
        write_with_comments(summaries, column, {}, file)
        return
    header = ["ID number", "Full name", "Email address", text(column.title)]
    write_rows(file, header, [[*_identify(each), column.points(each)] for each in summaries])


def write_with_comments(
    summaries: Sequence[StudentSummary],
    column: Column,
    comments: Mapping[str, str],
    file: TextIO,
) -> list[str]:
    """Write the worksheet with comments by students' ids; return sentences on those left out.

    A comment that is there already is kept, as it may be a person's.
    """
    rows = {summary.student.id: _worksheet_row(summary) for summary in summaries}
    worksheet = [row for row in rows.values() if row is not None]
    grade = _grade_header(worksheet)
    commented = _comments_header(worksheet) if comments else ""
    maximum = {} if grade in worksheet[0] else {"Maximum Grade": number(column.points_possible)}
    filled, kept = [], []
    for summary in summaries:
        row = rows[summary.student.id]
        if row is None:
            continue
        # Moodle compares its "Last modified (grade)", so that no newer grade is overwritten.
        cells = {name: cell if cell == "-" else text(cell) for name, cell in row.items()}
        comment = text(comments.get(summary.student.id, ""))
        if commented and row.get(commented, "").strip():
            kept.append(summary.student.id)
        elif commented:
            cells[commented] = comment
        filled.append([*(cells | {grade: column.points(summary)} | maximum).values()])
    write_rows(file, list(worksheet[0] | {grade: ""} | maximum), filled)
    if comments and not commented:
        return ["the worksheet has no column of comments: turn on Feedback comments in Moodle"]
    names = ", ".join(map(clean_line, kept))
    return [f"the worksheet's own comment was kept for {names}"] if kept else []


def has_worksheet(summaries: Sequence[StudentSummary]) -> bool:
    """Return True if some students are on Moodle's worksheet."""
    return any(_worksheet_row(summary) is not None for summary in summaries)


def participant(summary: StudentSummary) -> str:
    """Return the student's number on Moodle's worksheet, or ""."""
    row = _worksheet_row(summary) or {}
    return next(filter(None, map(participant_number, row.values())), "")


def not_on_the_worksheet(summaries: Sequence[StudentSummary]) -> list[str]:
    """Return the ids of students without an identifier, if other students have one."""
    missing = [summary.student.id for summary in summaries if _worksheet_row(summary) is None]
    return missing if len(missing) < len(summaries) else []


def _identify(summary: StudentSummary) -> list[str]:
    student = summary.student
    return [text(student.id), text(student.name), text(student.email)]


def _worksheet_row(summary: StudentSummary) -> dict[str, str] | None:
    """Return the student's row of the worksheet, or None without Moodle's own identifier."""
    student = summary.student
    if not student.on_roster:
        return None
    first, *rest = student.columns.values() or [""]
    if participant_number(first) and student.name in rest:
        return dict(student.columns)
    # In a roster that is no worksheet as Moodle writes it, name and address are no such columns.
    cells = {name.casefold(): cell for name, cell in student.columns.items()}
    identifier = next(
        (one for one in (cells.get("identifier", ""), student.id) if participant_number(one)), ""
    )
    if not identifier:
        return None
    own = {"Identifier": identifier, "Full name": student.name, "Email address": student.email}
    return own | {
        name: cell for name, cell in student.columns.items() if name.casefold() != "identifier"
    }


def _grade_header(worksheet: Sequence[Mapping[str, str]]) -> str:
    """Return the header of the grades: in any language, they stand before the maximum."""
    headers = list(worksheet[0])
    for name in headers:
        if name.casefold() == "grade":
            return name
    for before, name in itertools.pairwise(headers):
        cells = {row.get(name, "") for row in worksheet}
        if len(cells) == 1 and _NUMBER.fullmatch(cells.pop()):
            return before
    return "Grade"


def _comments_header(worksheet: Sequence[dict[str, str]]) -> str:
    """Return the header of the comments, or "".

    In any language they are the last column of Moodle's own. Without them a time or "-" is last,
    never nothing.
    """
    headers = list(worksheet[0])
    for name in headers:
        if name.strip().casefold() == "feedback comments":
            return name
    added = OWN_HEADERS | GROUP_HEADERS
    last = [name for name in headers if plain_header(name) not in added][-1]
    is_time = last.casefold().startswith("last modified")
    empty = any(not row.get(last, "").strip() for row in worksheet)
    return last if empty and not is_time and last != _grade_header(worksheet) else ""
