"""Judgements as a CSV table, for graders who work in a spreadsheet, and back.

The rules are those of the page: rubric items must exist, and an answer that changed or was judged
by another grader since the export is refused. A table is imported whole or not at all.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path
from typing import Any

from grader.assignment.records import Assignment, Rubric
from grader.cohort.gradebooks.cells import FORMULA_STARTS
from grader.cohort.summary import now
from grader.errors import UsageError
from grader.intake.roster import decode_text, find_delimiter
from grader.review.judgements import LONGEST_COMMENT, Judgement, parse_points, points_of
from grader.review.ledger import write_judgements
from grader.review.queue import EVERYTHING, Share, in_share, read_groups
from grader.review.rubrics import rubrics_in_force
from grader.review.store import ConflictError, Entry, ReviewStore
from grader.text import clean_line

COLUMNS = (
    *("item", "student", "answer", "found", "adjustment", "comment", "flagged"),
    *("points", "of", "grader", "judged_at", "answer_id", "change", "request"),
)
"""An import reads found, adjustment, comment and flagged, and identifies the row by item, student,
answer_id and change. The other columns are for people."""

_JUDGING = ("found", "adjustment", "comment", "flagged")
MAXIMUM_BYTES = 200_000_000
MAXIMUM_MISTAKES = 50
LONGEST_CELL = 30_000
"""Characters of an answer; Excel takes 32,767, and Python's csv 131,072."""


@dataclass(frozen=True, kw_only=True)
class Imported:
    """The number of judgements written, of rows that changed nothing, and of rows without one."""

    judged: int
    unchanged: int
    empty: int


def export_table(
    store: ReviewStore,
    assignment: Assignment,
    path: Path,
    share: Share = EVERYTHING,
    item_ids: Collection[str] | None = None,
) -> int:
    """Write one row for each student and item that people grade; return the number of rows.

    With a share or items, only their answers are written.
    Text cells that a spreadsheet would take for a formula begin with an apostrophe.
    """
    rows = 0
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        for item_id, rubric in rubrics_in_force(store, assignment).items():
            if item_ids is not None and item_id not in item_ids:
                continue
            possible = dict(assignment.item_ids())[item_id].points
            own = {each.sha256 for each in in_share(store, read_groups(store, item_id), share)}
            for entry in store.entries(item_id):
                if entry.answer_sha256 not in own:
                    continue
                answer = store.answer(item_id, entry.answer_sha256)
                row: dict[str, Any] = {
                    "item": item_id,
                    "student": _neutralise(entry.student_id),
                    "answer": _neutralise(answer.text[:LONGEST_CELL] if answer else ""),
                    "of": possible,
                    "answer_id": entry.answer_sha256,
                    "change": entry.change,
                }
                if (judgement := entry.current) is not None:
                    row |= {
                        "found": " ".join(judgement.rubric_items) or "none",
                        "adjustment": judgement.adjustment or "",
                        "comment": _neutralise(judgement.comment),
                        "flagged": "yes" if judgement.flagged else "",
                        "points": points_of(judgement, rubric, possible),
                        "grader": _neutralise(judgement.grader),
                        "judged_at": judgement.judged_at,
                        "request": _neutralise(judgement.request),
                    }
                writer.writerow(row)
                rows += 1
    return rows


def import_table(
    store: ReviewStore, assignment: Assignment, path: Path, *, grader: str
) -> Imported:
    """Import the judgements of an exported table that was filled in.

    A row without `found`, `adjustment`, `comment` and `flagged` judges nothing; "none" in `found`
    means that no rubric item applies.

    Raises:
        UsageError: the file is not such a table, or rows are wrong; all of them are reported.
        ConflictError: answers or judgements changed since the export; nothing was written.
    """
    rows = _read_rows(path)
    with store.transaction():
        judged = _judgements_in(store, assignment, rows, grader)
        # Another grader or time alone is not another judgement, and answers no request.
        changed = [
            (entry, judgement)
            for entry, judgement in judged
            if entry.current is None
            or judgement
            != replace(
                entry.current,
                grader=judgement.grader,
                judged_at=judgement.judged_at,
                request="",
            )
        ]
        if changed:
            write_judgements(store, changed, grader=grader, kind="import")
    return Imported(
        judged=len(changed),
        unchanged=len(judged) - len(changed),
        empty=max(0, len(rows) - len(judged)),
    )


def _read_rows(path: Path) -> list[dict[str, str]]:
    if path.stat().st_size > MAXIMUM_BYTES:
        raise UsageError(f"{path} is larger than {MAXIMUM_BYTES:,} bytes")
    text, _ = decode_text(path.read_bytes())
    lines = list(io.StringIO(text, newline=""))
    delimiter, skipped = find_delimiter(lines)
    try:
        reader = csv.reader(lines[skipped:], delimiter=delimiter)
        header = next(reader, [])
        missing = set(COLUMNS) - {*header, "request"}  # which earlier tables lack
        if missing:
            raise UsageError(
                f"{path} lacks the columns {', '.join(sorted(missing))}",
                next_step="fill in a table that `grade review export` wrote",
            )
        return [
            dict(zip_longest(header, row[: len(header)], fillvalue="")) for row in reader if row
        ]
    except csv.Error as error:
        raise UsageError(
            f"{path} is not a CSV table: {error}",
            next_step="save it from the spreadsheet as CSV",
        ) from None


def _judgements_in(
    store: ReviewStore, assignment: Assignment, rows: list[dict[str, str]], grader: str
) -> list[tuple[Entry, Judgement]]:
    """Return the entry and the judgement of each row that has one."""
    entries = {
        (item_id, entry.student_id): entry
        for item_id, _ in assignment.item_ids()
        for entry in store.entries(item_id)
    }
    rubrics = rubrics_in_force(store, assignment)
    found: list[tuple[Entry, Judgement]] = []
    mistakes: list[str] = []
    conflicts: list[str] = []
    for line, row in enumerate(rows, start=2):
        item_id, student_id = row["item"], _restore(row["student"])
        name = f"row {line} ({clean_line(item_id)}, {clean_line(student_id)})"
        entry = entries.get((item_id, student_id))
        if entry is None:
            mistakes.append(f"{name}: the class has no such answer")
        elif not any(row[column].strip() for column in _JUDGING):
            continue
        elif row["answer_id"] != entry.answer_sha256:
            conflicts.append(f"{name}: the student submitted another answer since the export")
        elif row["change"] != str(entry.change):
            judged = f" by {entry.judgement.grader}" if entry.judgement else ""
            conflicts.append(f"{name}: the answer was judged{judged} since the export")
        else:
            judgement = _judgement_in(row, entry, grader)
            found.append((entry, judgement))
            wrong = _mistakes_in(row, judgement, rubrics[item_id])
            mistakes += [f"{name}: {text}" for text in wrong]
    _refuse(mistakes, UsageError, "correct the table and import it again")
    _refuse(conflicts, ConflictError, "export again, and fill in these rows again")
    return [*found, *_for_equal_answers(found, entries.values())]


def _for_equal_answers(
    judged: list[tuple[Entry, Judgement]], entries: Iterable[Entry]
) -> list[tuple[Entry, Judgement]]:
    """Return the judgements of open answers that are equal to judged ones, as the page does.

    Raises:
        UsageError: equal answers are judged differently.
    """
    by_answer: dict[tuple[str, str], tuple[Entry, Judgement]] = {}
    differing = []
    for entry, judgement in judged:
        first, other = by_answer.setdefault(
            (entry.item_id, entry.answer_sha256), (entry, judgement)
        )
        if judgement != replace(other, judged_at=judgement.judged_at):
            differing.append(
                f"{clean_line(first.student_id)} and {clean_line(entry.student_id)} gave the same "
                f"answer to {entry.item_id}, and are judged differently"
            )
    _refuse(differing, UsageError, "judge equal answers alike, and import the table again")
    named = {(entry.item_id, entry.student_id) for entry, _ in judged}
    return [
        (entry, by_answer[entry.item_id, entry.answer_sha256][1])
        for entry in entries
        if (entry.item_id, entry.answer_sha256) in by_answer
        and (entry.item_id, entry.student_id) not in named
        and entry.current is None
    ]


def _refuse(sentences: list[str], kind: type[UsageError], next_step: str) -> None:
    if sentences:
        listing = "\n".join(f"  - {sentence}" for sentence in sentences[:MAXIMUM_MISTAKES])
        raise kind(
            f"nothing was imported, because of {len(sentences)} rows:\n{listing}",
            next_step=next_step,
        )


def _mistakes_in(row: Mapping[str, str], judgement: Judgement, rubric: Rubric) -> Iterator[str]:
    known = [item.id for item in rubric.items]
    for name in judgement.rubric_items:
        if name not in known:
            yield f"the rubric has no item {clean_line(name)!r}; it has {', '.join(known)}"
    if not math.isfinite(judgement.adjustment):
        yield f"the adjustment {clean_line(row['adjustment'])!r} is not a number"
    if len(judgement.comment) > LONGEST_COMMENT:
        yield f"the comment has more than {LONGEST_COMMENT:,} characters"


def _judgement_in(row: Mapping[str, str], entry: Entry, grader: str) -> Judgement:
    found = tuple(row["found"].replace(",", " ").split())
    return Judgement(
        grader=grader,
        rubric_items=() if found == ("none",) else found,
        adjustment=parse_points(_restore(row["adjustment"].strip())),
        comment=_restore(row["comment"]).replace("\r\n", "\n").strip(),
        flagged=row["flagged"].strip().lower() in {"yes", "true", "1", "x"},
        answer_sha256=entry.answer_sha256,
        judged_at=now(),
    )


def _neutralise(text: str) -> str:
    """Return a text cell that no spreadsheet takes for a formula."""
    return f"'{text}" if text.startswith(("'", *FORMULA_STARTS)) else text


def _restore(text: str) -> str:
    """Return the text that `_neutralise` was given."""
    return text.removeprefix("'")
