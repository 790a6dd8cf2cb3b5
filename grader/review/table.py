"""Judgements as a CSV table, for those who grade in a spreadsheet, and back.

The rules are the page's: rubric items must exist, an answer that changed or was judged by somebody
else meanwhile is refused, and a table is taken in whole or not at all.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from grader.assignment.records import Assignment, Rubric
from grader.cohort.store import Store
from grader.errors import UsageError
from grader.review.answers import read_answer, written_items
from grader.review.changes import ConflictError, now
from grader.review.judgements import LONGEST_COMMENT, Judgement, points_of
from grader.review.ledger import Entry, read_entries, write_judgements
from grader.review.rubrics import rubric_in_force
from grader.text import clean_line

COLUMNS = (
    *("item", "student", "answer", "found", "adjustment", "comment", "flagged"),
    *("points", "of", "grader", "judged_at", "answer_id", "change"),
)
"""Only found, adjustment, comment and flagged are read back; item, student, answer_id and change
say what they belong to. The rest is for the eye."""

MAXIMUM_BYTES = 200_000_000
MAXIMUM_MISTAKES = 50
LONGEST_CELL = 30_000
"""Characters of an answer; Excel takes 32,767, and Python's csv 131,072."""

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True, kw_only=True)
class Imported:
    """What a table changed.

    Attributes:
        judged: how many judgements were written.
        unchanged: how many rows said what the store says.
        empty: how many rows judge nothing.
    """

    judged: int
    unchanged: int
    empty: int


@dataclass(frozen=True, kw_only=True)
class _Row:
    """One row that can be used.

    Attributes:
        judgement: what the row says, or None if it judges nothing.
    """

    item_id: str
    entry: Entry
    judgement: Judgement | None


def export_table(store: Store, assignment: Assignment, path: Path) -> int:
    """Write one row for each student and written item; returns how many.

    Text cells that a spreadsheet would take for a formula get an apostrophe in front.
    """
    rows = 0
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        for item_id, item in written_items(assignment).items():
            rubric = rubric_in_force(store, assignment, item_id)
            for entry in read_entries(store, item_id):
                answer = read_answer(store, item_id, entry.answer_sha256)
                text = answer.text[:LONGEST_CELL] if answer else ""
                writer.writerow(_export_row(item_id, item.points, rubric, entry, text))
                rows += 1
    return rows


def _export_row(
    item_id: str, possible: float, rubric: Rubric, entry: Entry, text: str
) -> dict[str, Any]:
    row: dict[str, Any] = {
        "item": item_id,
        "student": _neutralise(entry.student_id),
        "answer": _neutralise(text),
        "of": possible,
        "answer_id": entry.answer_sha256,
        "change": entry.change,
    }
    judgement = entry.current
    if judgement is not None:
        row |= {
            "found": " ".join(judgement.rubric_items) or "none",
            "adjustment": judgement.adjustment or "",
            "comment": _neutralise(judgement.comment),
            "flagged": "yes" if judgement.flagged else "",
            "points": points_of(judgement, rubric, possible),
            "grader": _neutralise(judgement.grader),
            "judged_at": judgement.judged_at,
        }
    return row


def import_table(store: Store, assignment: Assignment, path: Path, *, grader: str) -> Imported:
    """Take in the judgements of a table that was exported and filled in.

    A row with nothing in `found`, `adjustment`, `comment` and `flagged` judges nothing; "none" in
    `found` says that nothing was found.

    Raises:
        UsageError: the file is no such table, or rows are wrong; all of them are reported.
        ConflictError: answers or judgements changed since the export; nothing was written.
    """
    rows = _read_rows(path)
    with store.transaction():
        found = _check_rows(store, assignment, rows, grader)
        changed = [
            (row.item_id, row.entry, row.judgement)
            for row in found
            if row.judgement is not None
            and (row.entry.current is None or not row.entry.current.same_grade(row.judgement))
        ]
        if changed:
            write_judgements(store, changed, grader=grader, kind="import")
    judged = sum(row.judgement is not None for row in found)
    return Imported(judged=len(changed), unchanged=judged - len(changed), empty=len(found) - judged)


def _read_rows(path: Path) -> list[dict[str, str]]:
    if path.stat().st_size > MAXIMUM_BYTES:
        raise UsageError(f"{path} is larger than {MAXIMUM_BYTES:,} bytes")
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            missing = set(COLUMNS) - set(reader.fieldnames or ())
            if missing:
                raise UsageError(
                    f"{path} lacks the columns {', '.join(sorted(missing))}",
                    next_step="fill in a table that `grade review export` wrote",
                )
            return [{name: value or "" for name, value in row.items() if name} for row in reader]
    except (UnicodeDecodeError, csv.Error) as error:
        raise UsageError(
            f"{path} is no CSV table in UTF-8: {error}",
            next_step="save it from the spreadsheet as CSV in UTF-8",
        ) from None


def _check_rows(
    store: Store, assignment: Assignment, rows: list[dict[str, str]], grader: str
) -> list[_Row]:
    """What the rows say, or all that is wrong with them."""
    entries = {
        item_id: {entry.student_id: entry for entry in read_entries(store, item_id)}
        for item_id in written_items(assignment)
    }
    rubrics = {item_id: rubric_in_force(store, assignment, item_id) for item_id in entries}
    found: list[_Row] = []
    mistakes: list[str] = []
    conflicts: list[str] = []
    for line, row in enumerate(rows, start=2):
        name = f"row {line} ({clean_line(row['item'])}, {clean_line(_restore(row['student']))})"
        entry = entries.get(row["item"], {}).get(_restore(row["student"]))
        if entry is None:
            mistakes.append(f"{name}: the class has no such answer")
        elif (row["answer_id"], row["change"]) != (entry.answer_sha256, str(entry.change)):
            if not _judges_nothing(row):
                conflicts.append(f"{name}: {_explain_conflict(row, entry)}")
        else:
            mistakes += [f"{name}: {text}" for text in _mistakes_in(row, rubrics[row["item"]])]
            if not mistakes:
                judgement = _judgement_in(row, entry, grader)
                found.append(_Row(item_id=row["item"], entry=entry, judgement=judgement))
    _refuse(mistakes, UsageError, "correct the table and import it again")
    _refuse(conflicts, ConflictError, "export again, and fill in these rows anew")
    return found


def _refuse(sentences: list[str], kind: type[UsageError], next_step: str) -> None:
    if sentences:
        listing = "\n".join(f"  - {sentence}" for sentence in sentences[:MAXIMUM_MISTAKES])
        raise kind(
            f"nothing was imported, because of {len(sentences)} rows:\n{listing}",
            next_step=next_step,
        )


def _explain_conflict(row: Mapping[str, str], entry: Entry) -> str:
    if row["answer_id"] != entry.answer_sha256:
        return "the student handed in another answer since the export"
    judged = f" by {entry.judgement.grader}" if entry.judgement else ""
    return f"it was judged{judged} since the export"


def _mistakes_in(row: Mapping[str, str], rubric: Rubric) -> Iterator[str]:
    known = [item.id for item in rubric.items]
    for name in _found_in(row):
        if name not in known:
            yield f"the rubric has no item {clean_line(name)!r}; it has {', '.join(known)}"
    if not math.isfinite(_number_in(row)):
        yield f"the adjustment {clean_line(row['adjustment'])!r} is no number"
    if len(row["comment"]) > LONGEST_COMMENT:
        yield f"the comment has more than {LONGEST_COMMENT:,} characters"


def _judges_nothing(row: Mapping[str, str]) -> bool:
    return not any(row[name].strip() for name in ("found", "adjustment", "comment", "flagged"))


def _judgement_in(row: Mapping[str, str], entry: Entry, grader: str) -> Judgement | None:
    if _judges_nothing(row):
        return None
    return Judgement(
        grader=grader,
        rubric_items=tuple(_found_in(row)),
        adjustment=_number_in(row),
        comment=_restore(row["comment"]).replace("\r\n", "\n").strip(),
        flagged=row["flagged"].strip().lower() in {"yes", "true", "1", "x"},
        answer_sha256=entry.answer_sha256,
        judged_at=now(),
    )


def _found_in(row: Mapping[str, str]) -> list[str]:
    names = row["found"].replace(",", " ").split()
    return [] if names == ["none"] else names


def _number_in(row: Mapping[str, str]) -> float:
    try:
        return float(_restore(row["adjustment"].strip()).replace(",", ".") or 0)
    except ValueError:
        return math.nan


def _neutralise(text: str) -> str:
    """A text cell that no spreadsheet takes for a formula."""
    return f"'{text}" if text.startswith(("'", *_FORMULA_STARTS)) else text


def _restore(text: str) -> str:
    """What `_neutralise` was given."""
    return text.removeprefix("'")
