"""The rubrics in force: the assignment's, with what those who grade have changed and added."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import msgspec

from grader.assignment.records import Assignment, Rubric, RubricItem
from grader.cohort.store import Store
from grader.digest import digest_of
from grader.errors import UsageError
from grader.review.answers import written_items
from grader.review.changes import ConflictError, record_change

LONGEST_TEXT = 500


def rubric_in_force(store: Store, assignment: Assignment, item_id: str) -> Rubric:
    """An item's rubric: changed texts and points in their places, added items at the end."""
    rubric = written_items(assignment)[item_id].rubric
    changed = {
        rubric_id: RubricItem(id=rubric_id, text=text, points=points)
        for rubric_id, text, points in store.connection.execute(
            "SELECT id, text, points FROM rubric_items WHERE item_id = ? ORDER BY rowid", (item_id,)
        )
    }
    kept = tuple(changed.pop(item.id, item) for item in rubric.items)
    return replace(rubric, items=(*kept, *changed.values()))


def fingerprint(rubric: Rubric) -> str:
    """What tells whether somebody changed the rubric meanwhile."""
    return digest_of(rubric.items)


def change_rubric(
    store: Store,
    assignment: Assignment,
    item_id: str,
    items: Sequence[RubricItem],
    *,
    grader: str,
    seen: str,
) -> None:
    """Change texts and points, and add items; everybody who was judged by them follows.

    Args:
        store: of the class.
        assignment: whose rubric it is.
        item_id: of the written item.
        items: all of them, old and new; one with an empty id is new.
        grader: who changes them.
        seen: the `fingerprint` of the rubric that the grader had in view.

    Raises:
        ConflictError: somebody else changed the rubric meanwhile.
        UsageError: a text is empty or too long, or an item is not of this rubric.
    """
    with store.transaction():
        before = rubric_in_force(store, assignment, item_id)
        if fingerprint(before) != seen:
            raise ConflictError(
                "the rubric was changed while you had it open",
                next_step="go back, where your changes still stand, and compare them with the "
                "rubric in another window",
            )
        known = {item.id: item for item in before.items}
        numbered = _number_new_items(items, known)
        for item in numbered:
            _require_usable(item, known)
            if known.get(item.id) != item:
                store.connection.execute(
                    "INSERT INTO rubric_items VALUES (?, ?, ?, ?) "
                    "ON CONFLICT DO UPDATE SET text = excluded.text, points = excluded.points",
                    (item_id, item.id, item.text, item.points),
                )
        after = rubric_in_force(store, assignment, item_id)
        if after != before:
            record_change(
                store,
                grader=grader,
                kind="rubric",
                item_id=item_id,
                before=msgspec.to_builtins(before.items),
                after=msgspec.to_builtins(after.items),
            )


def _number_new_items(
    items: Sequence[RubricItem], known: dict[str, RubricItem]
) -> list[RubricItem]:
    added = sum(rubric_id.startswith("added-") for rubric_id in known)
    numbered = []
    for item in items:
        if not item.id:
            added += 1
        numbered.append(item if item.id else replace(item, id=f"added-{added}"))
    return numbered


def _require_usable(item: RubricItem, known: dict[str, RubricItem]) -> None:
    if item.id not in known and not item.id.startswith("added-"):
        raise UsageError(f"this rubric has no item {item.id!r}")
    if not item.text or len(item.text) > LONGEST_TEXT:
        raise UsageError(
            f"the text of a rubric item has {len(item.text):,} characters",
            next_step=f"write 1 to {LONGEST_TEXT}",
        )
