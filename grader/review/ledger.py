"""Judge answers and undo judgements, so that nobody overwrites anybody unseen.

A judgement belongs to one student's answer to one item, and to a reading: the first, which counts,
or the second of an answer that two people grade independently. A judgement counts only for the
answer that was judged: if a student submits another answer, the item is open again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import msgspec

from grader.digest import digest_of
from grader.review.judgements import Judgement
from grader.review.store import FIRST, SECOND, Change, ConflictError, Entry, ReviewStore


def entries_version(entries: Iterable[Entry]) -> str:
    """Return a digest that changes with the answers and their judgements."""
    return digest_of(*((entry.student_id, entry.answer_sha256, entry.change) for entry in entries))


def judge(
    store: ReviewStore, item_id: str, judgement: Judgement, *, seen: str, reading: int = FIRST
) -> None:
    """Judge every student who gave this answer; the judgement is on the disk on return.

    Args:
        store: of the class.
        item_id: of the written item.
        judgement: contains the digest of the answer.
        seen: the `entries_version` that the grader had in view.
        reading: FIRST, which counts, or SECOND.

    Raises:
        ConflictError: the answers or their judgements changed in the meantime.
    """
    with store.transaction():
        entries = store.entries(item_id, reading=reading, sha256=judgement.answer_sha256)
        if not entries or entries_version(entries) != seen:
            raise ConflictError(_describe_conflict(entries))
        write_judgements(
            store,
            [(item_id, entry, judgement) for entry in entries],
            grader=judgement.grader,
            kind="judgement",
            reading=reading,
        )
        if reading == SECOND and all(entry.judgement is None for entry in entries):
            store.keep_compared(item_id, judgement.answer_sha256)


def write_judgements(
    store: ReviewStore,
    judged: Sequence[tuple[str, Entry, Judgement]],
    *,
    grader: str,
    kind: str,
    reading: int = FIRST,
) -> None:
    """Write judgements of entries as one change, in the caller's transaction."""
    item_ids = {item_id for item_id, _, _ in judged}
    number = store.record_change(
        grader=grader,
        kind=kind,
        item_id=item_ids.pop() if len(item_ids) == 1 else "",
        before=[_state(item_id, entry, reading) for item_id, entry, _ in judged],
        after=[
            _state(item_id, replace(entry, judgement=judgement), reading)
            for item_id, entry, judgement in judged
        ],
    )
    for item_id, entry, judgement in judged:
        store.put_judgement(entry.student_id, item_id, reading, number, judgement)


def undo(store: ReviewStore, grader: str) -> Change | None:
    """Undo a grader's newest judgement and return its change, or None without any.

    Raises:
        ConflictError: somebody judged the same answer later.
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
        for state in change.before:
            place = state["student_id"], state["item_id"], state["reading"]
            standing = store.standing(*place)
            if standing is None or standing[0] != change.number:
                later = f" by {standing[1].grader}" if standing else ""
                raise ConflictError(
                    f"your last judgement cannot be undone: the answer was judged again{later}",
                    next_step="look at the answer and judge it as it should be",
                )
            earlier = msgspec.convert(state["judgement"], Judgement | None)
            store.put_judgement(*place, state["change"], earlier)
        return change


def _state(item_id: str, entry: Entry, reading: int) -> dict[str, object]:
    return {
        "student_id": entry.student_id,
        "item_id": item_id,
        "reading": reading,
        "change": entry.change,
        "judgement": msgspec.to_builtins(entry.judgement),
    }


def _describe_conflict(entries: Sequence[Entry]) -> str:
    if not entries:
        return "no student gives this answer any more: a new submission came in the meantime"
    judged = [entry.judgement for entry in entries if entry.judgement is not None]
    if not judged:
        return (
            "in the meantime a judgement was undone, or another student submitted the same answer"
        )
    latest = max(judged, key=lambda judgement: judgement.judged_at)
    return f"{latest.grader} judged this answer while you had it open"
