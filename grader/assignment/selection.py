"""Select the items to grade, and list the sandbox's questions for them."""

from __future__ import annotations

from collections.abc import Sequence

from grader.assignment.records import Assignment
from grader.errors import UsageError
from grader.models.questions import Question


def list_questions(assignment: Assignment, selected: frozenset[str]) -> list[Question]:
    """Return the sandbox's questions for the selected items and the items that these need."""
    needed = needed_items(assignment, selected)
    return [
        question
        for item_id, item in assignment.item_ids()
        if item_id in needed
        for question in item.questions(item_id)
    ]


def needed_items(assignment: Assignment, selected: frozenset[str]) -> frozenset[str]:
    """Return the selected items with the items that these need, such as a sweep's model."""
    items = dict(assignment.item_ids())
    return selected.union(*(items[item_id].needed_items() for item_id in selected))


def select_items(assignment: Assignment, only: Sequence[str]) -> frozenset[str]:
    """Return the ids of the items in `only`: problems ("2"), parts ("2C") or items ("1E.text").

    Raises:
        UsageError: a name matches nothing.
    """
    names = [item_id for item_id, _ in assignment.item_ids()]
    if not only:
        return frozenset(names)
    groups: dict[str, list[str]] = {}
    for problem in assignment.problems:
        for part in problem.parts:
            ids = [item_id for item_id, _ in part.item_ids()]
            groups.setdefault(problem.id.lower(), []).extend(ids)
            groups.setdefault(part.id.lower(), []).extend(ids)
            for item_id in ids:
                groups.setdefault(item_id.lower(), [item_id])
    unknown = [name for name in only if name.lower() not in groups]
    if unknown:
        parts = [part.id for problem in assignment.problems for part in problem.parts]
        raise UsageError(
            f"{assignment.id} has no part {unknown[0]!r}",
            next_step=f"its parts are {', '.join(parts)}",
        )
    return frozenset(item_id for name in only for item_id in groups[name.lower()])
