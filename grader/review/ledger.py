"""Judge answers and undo judgements. No judgement overwrites another one unseen.

A judgement belongs to one student's answer to one item, and to a reading: the first, which counts,
or the second of an answer that two people grade independently. A judgement counts only for the
answer that was judged: if a student submits another answer, the item is open again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import msgspec

from grader.errors import UsageError
from grader.models.digest import digest_of
from grader.review.judgements import Judgement
from grader.review.store import FIRST, SECOND, Change, ConflictError, Entry, ReviewStore
from grader.text import clean_line

REQUESTED, WITHDRAWN = "request to grade again", "request withdrawn"
JUDGING = frozenset({"judgement", "undo", "import", "merge", REQUESTED, WITHDRAWN})
"""Kinds of changes that put judgements in place of others."""


def entries_version(entries: Iterable[Entry]) -> str:
    """Return a digest that changes with the answers and their judgements."""
    return digest_of(*((entry.student_id, entry.answer_sha256, entry.change) for entry in entries))


def judge(
    store: ReviewStore, item_id: str, judgement: Judgement, *, seen: str, reading: int = FIRST
) -> None:
    """Judge every student who gave this answer; the judgement is on the disk on return.

    `seen` is the `entries_version` that the grader had in view.

    Raises:
        ConflictError: the answers or their judgements changed in the meantime.
    """
    with store.transaction():
        entries = store.entries(item_id, reading=reading, sha256=judgement.answer_sha256)
        if not entries or entries_version(entries) != seen:
            raise ConflictError(_describe_conflict(entries, judgement.grader))
        judged = [(entry, judgement) for entry in entries]
        write_judgements(store, judged, grader=judgement.grader, kind="judgement")
        if reading == SECOND and all(entry.judgement is None for entry in entries):
            store.keep_compared(item_id, judgement.answer_sha256)


def reopen(
    store: ReviewStore, student_id: str, item_ids: Sequence[str], request: str, *, grader: str
) -> list[str]:
    """Open a student's judged answers to be graded again, or withdraw that with an empty request.

    The judgements stand, with the request, until somebody judges the answers again.

    Returns:
        The ids of the items that were opened or closed.

    Raises:
        UsageError: the student has no such judged answers, or no request to withdraw.
    """
    with store.transaction():
        standing = [
            (entry, entry.current)
            for item_id in item_ids
            for entry in store.entries(item_id)
            if entry.student_id == student_id and entry.current is not None
        ]
        changed = [
            (entry, replace(judgement, request=request))
            for entry, judgement in standing
            if judgement.request != request
        ]
        if not changed:
            judged = "this request already" if standing else "no judged answer"
            asked = judged if request else "no request"
            raise UsageError(
                f"{clean_line(student_id)} has {asked} for {', '.join(item_ids)}",
                next_step="an answer that nobody judged waits in `grade review` anyway; "
                "`grade override` changes automatic points"
                if request
                else "the class page lists the open requests",
            )
        write_judgements(store, changed, grader=grader, kind=REQUESTED if request else WITHDRAWN)
        return [entry.item_id for entry, _ in changed]


def write_judgements(
    store: ReviewStore, judged: Sequence[tuple[Entry, Judgement]], *, grader: str, kind: str
) -> None:
    """Write judgements of entries as one change, in the caller's transaction."""
    item_ids = {entry.item_id for entry, _ in judged}
    after = [replace(entry, judgement=judgement) for entry, judgement in judged]
    number = store.record_change(
        grader=grader,
        kind=kind,
        item_id=item_ids.pop() if len(item_ids) == 1 else "",
        before=[entry for entry, _ in judged],
        after=after,
    )
    for entry in after:
        store.put_judgement(entry, number)


def undo(store: ReviewStore, grader: str) -> Change | None:
    """Undo a grader's newest judgement and return its change, or None without any.

    Raises:
        ConflictError: another grader judged the same answer later.
    """
    with store.transaction():
        change = store.last_to_undo(grader)
        if change is None:
            return None
        store.record_change(
            grader=grader,
            kind="undo",
            item_id=change.item_id,
            before=change.after,
            after=change.before,
            undoes=change.number,
        )
        for earlier in msgspec.convert(change.before, list[Entry]):
            standing = store.standing(earlier)
            if standing is None or standing[0] != change.number:
                later = "the answer was judged again"
                if standing:
                    asked = "a student asked to have it graded again"
                    later = asked if standing[1].request else f"{later} by {standing[1].grader}"
                raise ConflictError(
                    f"your last judgement cannot be undone: {later}",
                    next_step="look at the answer and judge it as it should be",
                )
            store.put_judgement(earlier, earlier.change)
        return change


def _describe_conflict(entries: Sequence[Entry], grader: str) -> str:
    if not entries:
        return "no student gives this answer any more: a new submission came in the meantime"
    judged = [entry.judgement for entry in entries if entry.judgement is not None]
    if not judged:
        return (
            "in the meantime a judgement was undone, or another student submitted the same answer"
        )
    if any(judgement.request for judgement in judged):
        return "a student asked to have this graded again while you had it open"
    latest = max(judged, key=lambda judgement: judgement.judged_at)
    if latest.grader == grader:
        return "you judged this answer already, in another window or on this page before"
    return f"{latest.grader} judged this answer while you had it open"
