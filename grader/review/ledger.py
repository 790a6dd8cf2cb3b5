"""Who judged which answer how: read, written and taken back, and nobody overwrites anybody.

A judgement belongs to one student's answer to one item, and to a reading: the first, which
counts, or the second of an answer that two people grade independently. It counts only for the
answer that was judged: where a student handed in another one since, the item is open again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import msgspec

from grader.cohort.store import Store
from grader.digest import digest_of
from grader.review.changes import Change, ConflictError, last_to_undo, record_change
from grader.review.judgements import Judgement

FIRST, SECOND, COMPARED = 1, 2, 3
"""Readings. COMPARED is the first as it was when the second was written: it stays, so that
settling a difference afterwards does not make two people agree who did not.
"""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One student's answer to one item, and the judgement of it.

    Attributes:
        answer_sha256: of the answer as it is now.
        judgement: the latest, or None; of another answer if it is `outdated`.
        change: the number of the change that made the judgement, or 0.
    """

    student_id: str
    answer_sha256: str
    judgement: Judgement | None
    change: int

    @property
    def outdated(self) -> bool:
        """Whether the answer changed since it was judged."""
        return self.judgement is not None and self.judgement.answer_sha256 != self.answer_sha256

    @property
    def current(self) -> Judgement | None:
        """The judgement, if it is of the answer as it is now."""
        return None if self.outdated else self.judgement


def read_entries(
    store: Store, item_id: str, *, reading: int = FIRST, sha256: str | None = None
) -> list[Entry]:
    """Every student's entry for an item, or only of those who gave one answer, by student."""
    rows = store.connection.execute(
        "SELECT answers.student_id, answers.sha256, judgement, change_id FROM answers "
        "LEFT JOIN judgements ON judgements.student_id = answers.student_id "
        "AND judgements.item_id = answers.item_id AND reading = ? "
        "WHERE answers.item_id = ? AND (? IS NULL OR answers.sha256 = ?) "
        "ORDER BY answers.student_id",
        (reading, item_id, sha256, sha256),
    )
    return [
        Entry(
            student_id=student_id,
            answer_sha256=answer,
            judgement=_decode(judgement) if judgement is not None else None,
            change=change or 0,
        )
        for student_id, answer, judgement, change in rows
    ]


def fingerprint(entries: Iterable[Entry]) -> str:
    """What tells whether the answers or their judgements changed since somebody looked."""
    return digest_of(*((entry.student_id, entry.answer_sha256, entry.change) for entry in entries))


def judgements_of(store: Store) -> Mapping[str, dict[str, Judgement]]:
    """The judgements that count, by student and item: first readings of the current answers."""
    found: dict[str, dict[str, Judgement]] = defaultdict(dict)
    rows = store.connection.execute(
        "SELECT answers.student_id, answers.item_id, answers.sha256, judgement FROM answers "
        "JOIN judgements USING (student_id, item_id) WHERE reading = ?",
        (FIRST,),
    )
    for student_id, item_id, sha256, encoded in rows:
        judgement = _decode(encoded)
        if judgement.answer_sha256 == sha256:
            found[student_id][item_id] = judgement
    return found


def judge(
    store: Store, item_id: str, judgement: Judgement, *, seen: str, reading: int = FIRST
) -> None:
    """Judge everybody who gave this answer; it is on the disk on return.

    Args:
        store: of the class.
        item_id: of the written item.
        judgement: of the answer with the digest in it.
        seen: the `fingerprint` of the entries that the grader had in view.
        reading: the first, which counts, or the second.

    Raises:
        ConflictError: somebody else judged the answer meanwhile, or students changed theirs.
    """
    with store.transaction():
        entries = read_entries(store, item_id, reading=reading, sha256=judgement.answer_sha256)
        if not entries or fingerprint(entries) != seen:
            raise ConflictError(_describe_conflict(entries))
        write_judgements(
            store,
            [(item_id, entry, judgement) for entry in entries],
            grader=judgement.grader,
            kind="judgement",
            reading=reading,
        )
        if reading == SECOND and all(entry.judgement is None for entry in entries):
            store.connection.execute(
                "REPLACE INTO judgements (student_id, item_id, reading, change_id, judgement) "
                "SELECT student_id, item_id, ?, change_id, judgement FROM judgements "
                "JOIN answers USING (student_id, item_id) "
                "WHERE reading = ? AND item_id = ? AND sha256 = ?",
                (COMPARED, FIRST, item_id, judgement.answer_sha256),
            )


def write_judgements(
    store: Store,
    judged: Sequence[tuple[str, Entry, Judgement]],
    *,
    grader: str,
    kind: str,
    reading: int = FIRST,
) -> None:
    """Write judgements of entries as one change, in the caller's transaction."""
    item_ids = {item_id for item_id, _, _ in judged}
    number = record_change(
        store,
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
        _put(store, entry.student_id, item_id, reading, number, judgement)


def undo(store: Store, grader: str) -> Change | None:
    """Take back a grader's newest judgement; returns it, or None without any.

    Raises:
        ConflictError: somebody judged the same answer after that.
    """
    with store.transaction():
        change = last_to_undo(store, grader)
        if change is None:
            return None
        for state in change.before:
            _require_untouched(store, state, change.number)
        record_change(
            store,
            grader=grader,
            kind="undo",
            item_id=change.item_id,
            before=change.after,
            after=change.before,
            undoes=change.number,
        )
        for state in change.before:
            place = state["student_id"], state["item_id"], state["reading"]
            if state["judgement"] is None:
                store.connection.execute(
                    "DELETE FROM judgements WHERE student_id = ? AND item_id = ? AND reading = ?",
                    place,
                )
            else:
                judgement = msgspec.convert(state["judgement"], Judgement)
                _put(store, *place, state["change"], judgement)
        return change


def _require_untouched(store: Store, state: dict[str, object], number: int) -> None:
    row = store.connection.execute(
        "SELECT change_id, judgement FROM judgements "
        "WHERE student_id = ? AND item_id = ? AND reading = ?",
        (state["student_id"], state["item_id"], state["reading"]),
    ).fetchone()
    if row is None or row[0] != number:
        later = f" by {_decode(row[1]).grader}" if row else ""
        raise ConflictError(
            f"your last judgement cannot be taken back: the answer was judged again{later}",
            next_step="look at the answer and judge it as it should be",
        )


def _put(
    store: Store, student_id: str, item_id: str, reading: int, change: int, judgement: Judgement
) -> None:
    store.connection.execute(
        "REPLACE INTO judgements (student_id, item_id, reading, change_id, judgement) "
        "VALUES (?, ?, ?, ?, ?)",
        (student_id, item_id, reading, change, msgspec.json.encode(judgement).decode()),
    )


def _state(item_id: str, entry: Entry, reading: int) -> dict[str, object]:
    return {
        "student_id": entry.student_id,
        "item_id": item_id,
        "reading": reading,
        "change": entry.change,
        "judgement": msgspec.to_builtins(entry.judgement),
    }


def _decode(encoded: str) -> Judgement:
    return msgspec.json.decode(encoded, type=Judgement)


def _describe_conflict(entries: Sequence[Entry]) -> str:
    if not entries:
        return "nobody gives this answer any more: what was handed in changed meanwhile"
    judged = [entry.judgement for entry in entries if entry.judgement is not None]
    if not judged:
        return "a judgement was taken back, or a student handed in this answer too, meanwhile"
    latest = max(judged, key=lambda judgement: judgement.judged_at)
    return f"{latest.grader} judged this answer while you had it open"
