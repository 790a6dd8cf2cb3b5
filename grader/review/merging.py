"""Take over the judgements that were made in another copy of a class."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache

import msgspec

from grader.assignment.records import Assignment, Rubric, RubricItem
from grader.errors import UsageError
from grader.review.judgements import Judgement
from grader.review.ledger import write_judgements
from grader.review.rubrics import rubrics_in_force
from grader.review.store import FIRST, Entry, ReviewStore
from grader.text import clean_line

SHOWN = 20


@dataclass(frozen=True, kw_only=True)
class Merged:
    """The number of judgements taken over, of equal ones, and of answers that are not here.

    Attributes:
        conflicts: answers that were judged differently in both copies, in words; ours stand.
    """

    judged: int
    unchanged: int
    elsewhere: int
    conflicts: tuple[str, ...]


def merge_judgements(
    store: ReviewStore, other: ReviewStore, assignment: Assignment, *, grader: str, theirs: bool
) -> Merged:
    """Take over another copy's judgements of the same answers, and the rubric items they need.

    A judgement or a request that replaced the other copy's is the later one, and counts. An answer
    judged in both apart keeps ours, or gets theirs with `theirs`; either is in the record.

    Raises:
        UsageError: a rubric item has another text or other points there; nothing was written.
    """
    ours, their_rubrics = rubrics_in_force(store, assignment), rubrics_in_force(other, assignment)
    changed: list[tuple[Entry, Judgement]] = []
    conflicts = []
    unchanged = elsewhere = 0
    with store.transaction():
        for item_id, rubric in their_rubrics.items():
            here = {entry.student_id: entry for entry in store.entries(item_id)}
            names = _take_rubric_items(store, item_id, ours[item_id], rubric)
            for entry in other.entries(item_id):
                if (given := entry.current) is None:
                    continue
                own = here.get(entry.student_id)
                if own is None or own.answer_sha256 != entry.answer_sha256:
                    elsewhere += 1
                    continue
                found = tuple(names.get(one, one) for one in given.rubric_items)
                judgement = replace(given, rubric_items=found)
                if own.current == judgement:
                    unchanged += 1
                    continue
                replaced_here, replaced_there = _replaced(store, own), _replaced(other, entry)
                is_later = own.current in replaced_there and (
                    given not in replaced_here or len(replaced_there) > len(replaced_here)
                )
                if own.current is None or is_later:
                    changed.append((own, judgement))
                elif given in replaced_here or _is_same(own.current, judgement):
                    unchanged += 1
                else:
                    conflicts.append(_describe(own, judgement))
                    changed += [(own, judgement)] if theirs else []
        if changed:
            write_judgements(store, changed, grader=grader, kind="merge")
    return Merged(
        judged=len(changed),
        unchanged=unchanged,
        elsewhere=elsewhere,
        conflicts=tuple(conflicts),
    )


def _take_rubric_items(
    store: ReviewStore, item_id: str, ours: Rubric, theirs: Rubric
) -> dict[str, str]:
    """Add the rubric items that only the other copy has; return new names for taken ones.

    Raises:
        UsageError: an item of the assignment's rubric was changed in one copy only.
    """
    known = {item.id: item for item in ours.items}
    by_content = {(item.text, item.points): item.id for item in ours.items}
    names: dict[str, str] = {}
    differing = list(_differing(known, theirs))
    if differing:
        raise UsageError(
            f"the rubric of {item_id} differs: {'; '.join(differing)}",
            next_step="make it the same in both copies, on the rubric page, then merge again",
        )
    added = sum(rubric_id.startswith("added-") for rubric_id in known)
    for item in theirs.items:
        if (item.text, item.points) in by_content:
            names[item.id] = by_content[item.text, item.points]
        elif item.id not in known or known[item.id] != item:
            added += 1
            names[item.id] = f"added-{added}"
            store.keep_rubric_item(item_id, replace(item, id=names[item.id]))
    return names


def _differing(known: dict[str, RubricItem], theirs: Rubric) -> Iterator[str]:
    for item in theirs.items:
        own = known.get(item.id)
        if own is not None and own != item and not item.id.startswith("added-"):
            yield f"{item.id} is {own.points:g} points here and {item.points:g} there"


def _replaced(store: ReviewStore, entry: Entry) -> list[Judgement | None]:
    """Return what an entry's judgement replaced, one after another, the latest first."""
    found, number = [], entry.change
    while one := _entries_before(store, number).get((entry.student_id, entry.item_id)):
        found.append(one.judgement)
        if one.change >= number:
            break
        number = one.change
    return found


@lru_cache(maxsize=16)  # one import changes thousands
def _entries_before(store: ReviewStore, number: int) -> dict[tuple[str, str], Entry]:
    """Return the first readings that a change replaced, by student and item."""
    change = store.change(number)
    entries = msgspec.convert(change.before, list[Entry]) if change else []
    return {(one.student_id, one.item_id): one for one in entries if one.reading == FIRST}


def _is_same(own: Judgement, other: Judgement) -> bool:
    request = other.request if own.request else ""  # one of theirs must not be lost
    return replace(own, grader=other.grader, judged_at=other.judged_at, request=request) == other


def _describe(own: Entry, other: Judgement) -> str:
    by = own.current.grader if own.current else ""
    return f"{clean_line(own.student_id)}, {own.item_id}: judged by {by} here, {other.grader} there"
