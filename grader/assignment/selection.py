"""Select the items to grade, and list the sandbox's questions for them."""

from __future__ import annotations

from collections.abc import Sequence

from grader.assignment.records import (
    AnswerItem,
    Assignment,
    ModelItem,
    SweepItem,
    TruthTableItem,
    VersionsItem,
)
from grader.errors import UsageError
from grader.questions import Question


def reported_id(item_id: str) -> str:
    """Return the id of the question for a model's reported accuracy."""
    return f"{item_id}:reported"


def list_questions(assignment: Assignment, selected: frozenset[str]) -> list[Question]:
    """List the sandbox's questions for the selected items; a sweep needs its model too."""
    needed = set(selected)
    for item_id, item in assignment.item_ids():
        if isinstance(item, SweepItem) and item_id in selected:
            needed.add(item.model_item)
    questions = []
    for item_id, item in assignment.item_ids():
        if item_id not in needed:
            continue
        match item:
            case AnswerItem() | VersionsItem() | SweepItem():
                questions.append(
                    Question(id=item_id, kind="answer", file=item.file, function=item.function)
                )
            case TruthTableItem():
                questions.append(
                    Question(
                        id=item_id,
                        kind="model",
                        file=item.file,
                        function=item.function,
                        weights=True,
                    )
                )
            case ModelItem():
                questions += [
                    Question(
                        id=item_id,
                        kind="model",
                        file=item.file,
                        function=item.model,
                        optimizer=item.optimizer,
                        scheduler=item.scheduler,
                        training=item.training,
                    ),
                    Question(
                        id=reported_id(item_id),
                        kind="answer",
                        file=item.file,
                        function=item.reported,
                        optional=True,
                    ),
                ]
    return questions


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
