"""What belongs to the grading of one class: its key, and the share that is graded twice."""

from __future__ import annotations

import secrets

from grader.errors import UsageError
from grader.store import Store


def secret_key(store: Store) -> bytes:
    """The class's key, which signs invitations and sessions; made when it is first needed."""
    found = _read(store, "key")
    if found is None:
        store.connection.execute(
            "INSERT OR IGNORE INTO review_settings VALUES ('key', ?)", (secrets.token_hex(32),)
        )
        found = _read(store, "key")
    assert found is not None  # noqa: S101  # it was written above
    return bytes.fromhex(found)


def double_share(store: Store) -> float:
    """The share of answers that two people grade independently, 0 to 1."""
    return float(_read(store, "double-share") or 0.0)


def set_double_share(store: Store, share: float) -> None:
    """Choose the share of answers that two people grade independently.

    Raises:
        UsageError: it is no share.
    """
    if not 0.0 <= share <= 1.0:
        raise UsageError(
            f"{share:g} is no share of the answers", next_step="give one from 0 to 1, such as 0.1"
        )
    store.connection.execute(
        "REPLACE INTO review_settings VALUES ('double-share', ?)", (repr(share),)
    )


def _read(store: Store, name: str) -> str | None:
    row = store.connection.execute(
        "SELECT value FROM review_settings WHERE name = ?", (name,)
    ).fetchone()
    return row[0] if row else None
