"""Take over the judgements that were made in another copy of a class."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from grader.assignment.records import Assignment, Rubric, RubricItem
from grader.errors import UsageError
from grader.review.judgements import Judgement
from grader.review.ledger import write_judgements
from grader.review.rubrics import rubrics_in_force
from grader.review.store import Entry, ReviewStore
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

    An answer judged in both keeps ours, or gets theirs with `theirs`; either is in the record.

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
                if (judgement := entry.current) is None:
                    continue
                own = here.get(entry.student_id)
                if own is None or own.answer_sha256 != entry.answer_sha256:
                    elsewhere += 1
                    continue
                found = tuple(names.get(one, one) for one in judgement.rubric_items)
                judgement = replace(judgement, rubric_items=found)
                if own.current is None or _only_asked_for(own.current, judgement):
                    changed.append((own, judgement))
                elif _is_same(own.current, judgement):
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


def _only_asked_for(own: Judgement, other: Judgement) -> bool:
    """Return True if a student's request is all that the other copy has more."""
    return not own.request and own != other == replace(own, request=other.request)


def _is_same(own: Judgement, other: Judgement) -> bool:
    same = replace(own, grader=other.grader, judged_at=other.judged_at, request=other.request)
    return same == other


def _describe(own: Entry, other: Judgement) -> str:
    by = own.current.grader if own.current else ""
    return f"{clean_line(own.student_id)}, {own.item_id}: judged by {by} here, {other.grader} there"
