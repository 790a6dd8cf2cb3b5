"""What belongs to the grading of one class: its key, and the share that is graded twice."""

from __future__ import annotations

import secrets

from grader.cohort.store import Store
from grader.errors import UsageError
from grader.review.changes import record_change


def secret_key(store: Store) -> bytes:
    """The class's key, which signs invitations and sessions; made when it is first needed."""
    found = store.setting("key")
    if found is None:
        store.connection.execute(
            "INSERT OR IGNORE INTO review_settings VALUES ('key', ?)", (secrets.token_hex(32),)
        )
        found = store.setting("key")
    assert found is not None  # noqa: S101  # it was written above
    return bytes.fromhex(found)


def double_share(store: Store) -> float:
    """The share of answers that two people grade independently, 0 to 1."""
    return float(store.setting("double-share") or 0.0)


def set_double_share(store: Store, share: float, *, by: str) -> None:
    """Choose the share of answers that two people grade independently.

    Raises:
        UsageError: it is no share.
    """
    if not 0.0 <= share <= 1.0:
        raise UsageError(
            f"{share:g} is no share of the answers", next_step="give one from 0 to 1, such as 0.1"
        )
    with store.transaction():
        record_change(
            store, grader=by, kind="double grading", before=double_share(store), after=share
        )
        store.keep_setting("double-share", repr(share))
