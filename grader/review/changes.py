"""The record of every change: who, when, what it was before and what it is now. Append only."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec

from grader.cohort.store import Store
from grader.errors import UsageError


class ConflictError(UsageError):
    """Somebody else changed the same thing meanwhile, and nothing was overwritten."""


@dataclass(frozen=True, kw_only=True)
class Change:
    """One change.

    Attributes:
        number: increases with every change.
        changed_at: ISO 8601, UTC.
        grader: who made it.
        kind: "judgement", "undo", "rubric", "import", "snippet", "invitation", "revocation",
            "double grading".
        item_id: of the written item, or empty.
        before, after: what changed, as plain data.
        undoes: the number of the change that this one took back, or None.
    """

    number: int
    changed_at: str
    grader: str
    kind: str
    item_id: str
    before: Any
    after: Any
    undoes: int | None


_COLUMNS = "id, changed_at, grader, kind, item_id, before, after, undoes"


def now() -> str:
    """ISO 8601, UTC, in seconds."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def record_change(
    store: Store,
    *,
    grader: str,
    kind: str,
    item_id: str = "",
    before: Any = None,
    after: Any = None,
    undoes: int | None = None,
) -> int:
    """Add a change, in the caller's transaction; returns its number."""
    cursor = store.connection.execute(
        "INSERT INTO changes (changed_at, grader, kind, item_id, before, after, undoes) "
        "VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            now(),
            grader,
            kind,
            item_id,
            msgspec.json.encode(before).decode(),
            msgspec.json.encode(after).decode(),
            undoes,
        ),
    )
    assert cursor.lastrowid is not None  # noqa: S101  # an INSERT has one
    return cursor.lastrowid


def last_change(store: Store) -> int:
    """The number of the newest change, or 0."""
    (number,) = store.connection.execute("SELECT coalesce(max(id), 0) FROM changes").fetchone()
    return int(number)


def newest_changes(store: Store, limit: int) -> list[Change]:
    """The newest changes, the newest first."""
    return list(_select(store, "ORDER BY id DESC LIMIT ?", limit))


def last_to_undo(store: Store, grader: str) -> Change | None:
    """The newest judgement of a grader that was not taken back, or None."""
    found = _select(
        store,
        "WHERE grader = ? AND kind = 'judgement' AND id NOT IN "
        "(SELECT undoes FROM changes WHERE undoes IS NOT NULL) ORDER BY id DESC LIMIT 1",
        grader,
    )
    return next(found, None)


def _select(store: Store, condition: str, *values: object) -> Iterator[Change]:
    query = f"SELECT {_COLUMNS} FROM changes {condition}"  # noqa: S608  # ours
    for row in store.connection.execute(query, values):
        number, changed_at, grader, kind, item_id, before, after, undoes = row
        yield Change(
            number=number,
            changed_at=changed_at,
            grader=grader,
            kind=kind,
            item_id=item_id,
            before=msgspec.json.decode(before),
            after=msgspec.json.decode(after),
            undoes=undoes,
        )
