"""Comments that those who grade an item use again and again."""

from __future__ import annotations

from grader.cohort.store import Store
from grader.review.changes import record_change

MAXIMUM_SNIPPETS = 9
"""The newest are shown, and have keys."""


def snippets_for(store: Store, item_id: str) -> list[str]:
    """The newest snippets, the oldest of them first, so that each keeps its key for a while."""
    rows = store.connection.execute(
        "SELECT text FROM snippets WHERE item_id = ? ORDER BY rowid DESC LIMIT ?",
        (item_id, MAXIMUM_SNIPPETS),
    ).fetchall()
    return [text for (text,) in reversed(rows)]


def keep_snippet(store: Store, item_id: str, text: str, *, grader: str) -> None:
    """Keep a comment for everybody who grades this item."""
    if not text:
        return
    with store.transaction():
        added = store.connection.execute(
            "INSERT OR IGNORE INTO snippets VALUES (?, ?)", (item_id, text)
        )
        if added.rowcount:
            record_change(store, grader=grader, kind="snippet", item_id=item_id, after=text)
