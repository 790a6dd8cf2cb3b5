"""The rubrics in force: the assignment's, with the graders' changes and additions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import msgspec

from grader.assignment.records import Assignment, Item, Rubric, RubricItem, WrittenItem
from grader.errors import UsageError
from grader.models.digest import digest_of
from grader.results import add_points
from grader.review.store import ConflictError, ReviewStore

LONGEST_TEXT = 500

_VERSIONS = "rubrics"
"""The setting with the rubrics by the digest of the assignment and by item, as JSON."""


def rubric_in_force(store: ReviewStore, assignment: Assignment, item_id: str) -> Rubric:
    """Return an item's rubric: changed items in their places, added items at the end.

    An item that only some programs leave to a person has no rubric of the assignment's.
    """
    return _with_changes(store, item_id, _own_rubric(dict(assignment.item_ids())[item_id]))


def _own_rubric(item: Item) -> Rubric:
    return item.rubric if isinstance(item, WrittenItem) else Rubric()


def _with_changes(store: ReviewStore, item_id: str, rubric: Rubric) -> Rubric:
    changed = store.rubric_items(item_id)
    kept = tuple(changed.pop(item.id, item) for item in rubric.items)
    return replace(rubric, items=(*kept, *changed.values()))


def rubrics_in_force(store: ReviewStore, assignment: Assignment) -> dict[str, Rubric]:
    """Return every rubric, by item id."""
    return {
        item_id: rubric_in_force(store, assignment, item_id) for item_id, _ in assignment.item_ids()
    }


def keep_rubrics(store: ReviewStore, assignment: Assignment) -> None:
    """Keep the rubrics of this version of an assignment, for the results that are graded by it."""
    kept = _read_versions(store)
    if assignment.digest() not in kept:
        rubrics = {item_id: _own_rubric(item) for item_id, item in assignment.item_ids()}
        kept |= dict.fromkeys(assignment.digests(), rubrics)
        store.keep_setting(_VERSIONS, msgspec.json.encode(kept).decode())


def rubric_versions(store: ReviewStore) -> dict[str, dict[str, Rubric]]:
    """Return the rubrics in force of each kept version, by the assignment's digest."""
    return {
        digest: {item_id: _with_changes(store, item_id, each) for item_id, each in rubrics.items()}
        for digest, rubrics in _read_versions(store).items()
    }


def _read_versions(store: ReviewStore) -> dict[str, dict[str, Rubric]]:
    kept = store.setting(_VERSIONS)
    return msgspec.json.decode(kept, type=dict[str, dict[str, Rubric]]) if kept else {}


def rubric_version(rubric: Rubric) -> str:
    """Return a digest that changes with the rubric."""
    return digest_of(rubric.items)


def change_rubric(
    store: ReviewStore,
    assignment: Assignment,
    item_id: str,
    items: Sequence[RubricItem],
    *,
    grader: str,
    seen: str,
) -> None:
    """Change texts and points, and add items; the points of earlier judgements follow.

    A new item has an empty id. `seen` is the `rubric_version` that the grader had in view.

    Raises:
        ConflictError: another grader changed the rubric in the meantime.
        UsageError: a text is empty or too long, an item is not in this rubric, or no answer could
            have all points.
    """
    with store.transaction():
        before = rubric_in_force(store, assignment, item_id)
        if rubric_version(before) != seen:
            raise ConflictError(
                "the rubric was changed while you had it open",
                next_step="go back, where your changes still stand, and compare them with the "
                "rubric in another window",
            )
        known = {item.id: item for item in before.items}
        added = sum(rubric_id.startswith("added-") for rubric_id in known)
        for item in items:
            if item.id and item.id not in known:
                raise UsageError(f"this rubric has no item {item.id!r}")
            if not item.text or len(item.text) > LONGEST_TEXT:
                raise UsageError(
                    f"the text of a rubric item has {len(item.text):,} characters",
                    next_step=f"write 1 to {LONGEST_TEXT}",
                )
            added += not item.id
            named = item if item.id else replace(item, id=f"added-{added}")
            if known.get(named.id) != named:
                store.keep_rubric_item(item_id, named)
        after = rubric_in_force(store, assignment, item_id)
        _require_reachable(after, dict(assignment.item_ids())[item_id].points)
        if after != before:
            store.record_change(
                grader=grader,
                kind="rubric",
                item_id=item_id,
                before=before.items,
                after=after.items,
            )


def _require_reachable(rubric: Rubric, possible: float) -> None:
    """Raise `UsageError` if nobody could earn all points, or, by deductions, lose any."""
    if rubric.starts_full:
        if rubric.items and all(item.points >= 0 for item in rubric.items):
            raise UsageError(
                "this rubric starts with all points, and no item of it takes any away",
                next_step="write deductions as negative points",
            )
        return
    best = add_points(item.points for item in rubric.items if item.points > 0)
    if best < possible:
        raise UsageError(
            f"nobody could earn all {possible:g} points: the items of this rubric add up to "
            f"{best:g}",
            next_step="raise the points of an item, or add one",
        )
