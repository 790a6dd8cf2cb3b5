"""Load an assignment and report every mistake in it at once, each with the path of its field."""

from __future__ import annotations

import importlib
import keyword
import pkgutil
import re
import runpy
from collections import Counter
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path, PurePosixPath
from typing import Any, get_type_hints

import msgspec

from grader.assignment import bundled, constraints, records
from grader.assignment.records import (
    AnswerItem,
    Assignment,
    ModelItem,
    SweepItem,
    TruthTableItem,
    WrittenItem,
)
from grader.errors import AssignmentError, UsageError
from grader.text import did_you_mean

DATASETS = ("mnist", "mnist-5k")


def bundled_assignments() -> list[str]:
    """Return the names of the assignments that come with the grader."""
    names = (module.name for module in pkgutil.iter_modules(bundled.__path__))
    return sorted(name for name in names if not name.startswith("_"))


def load_assignment(name: str, *, submission: Path | None = None) -> Assignment:
    """Load a bundled assignment by name, or one from an author's Python file by its path.

    Args:
        name: "set4", or the path of a file that defines `ASSIGNMENT`.
        submission: the directory being graded, from which an assignment is never read.

    Raises:
        UsageError: there is no such assignment, or its file lies in the submission.
        AssignmentError: the assignment has mistakes.
    """
    if name in bundled_assignments():
        namespace = vars(importlib.import_module(f"grader.assignment.bundled.{name}"))
    elif name.endswith(".py"):
        namespace = _run_file(Path(name), submission)
    else:
        raise UsageError(
            f"there is no assignment {name!r}{did_you_mean(name, bundled_assignments())}",
            next_step="name a bundled assignment or give the path of a Python file; bundled: "
            + ", ".join(bundled_assignments()),
        )
    found = namespace.get("ASSIGNMENT")
    if not isinstance(found, Assignment):
        raise AssignmentError(
            name, [f"ASSIGNMENT: must be an Assignment, but is {type(found).__name__}"]
        )
    mistakes = find_mistakes(found)
    if mistakes:
        raise AssignmentError(name, mistakes)
    return found


def _run_file(path: Path, submission: Path | None) -> dict[str, Any]:
    if not path.is_file():
        raise UsageError(f"there is no assignment file {str(path)!r}")
    if submission is not None and path.resolve().is_relative_to(submission.resolve()):
        raise UsageError(
            f"{str(path)!r} lies in the submission, and an assignment is never read from there",
            next_step="keep the assignment outside the directory that students hand in",
        )
    try:
        return runpy.run_path(str(path))
    except TypeError as error:
        # A misspelt field surfaces as the TypeError of a dataclass's constructor.
        raise AssignmentError(str(path), [_explain_type_error(error)]) from error
    except Exception as error:
        raise AssignmentError(str(path), [f"{type(error).__name__}: {error}"]) from error


def _explain_type_error(error: TypeError) -> str:
    match = re.match(r"(\w+)\.__init__\(\) got an unexpected keyword argument '(\w+)'", str(error))
    if not match:
        return str(error)
    class_name, argument = match.groups()
    described = getattr(records, class_name, None) or getattr(constraints, class_name, None)
    known = [field.name for field in fields(described)] if described else []
    return f"{class_name}.{argument}: there is no such field{did_you_mean(argument, known)}"


def find_mistakes(assignment: Assignment) -> list[str]:
    """Return every mistake in an assignment, one sentence each, led by the field's path."""
    misplaced = list(_find_misplaced_values("assignment", assignment))
    # The rules about values take the types for granted.
    return misplaced or list(_find_broken_rules(assignment))


def _find_misplaced_values(path: str, record: Any) -> Iterator[str]:
    """Yield values of a record that are not plain data, or not of their field's type."""
    hints = get_type_hints(type(record))
    for field in fields(record):
        value = getattr(record, field.name)
        where = f"{path}.{field.name}"
        found = list(_find_live_values(where, value))
        yield from found
        # Records were checked above, accepted answers have any type, and msgspec refuses to look
        # at an empty tuple of records of several classes.
        if found or _holds_records(value) or value == () or field.name == "accepted":
            continue
        try:
            msgspec.convert(value, hints[field.name])
        except msgspec.ValidationError as error:
            message = str(error)
            yield f"{where}: {message[:1].lower()}{message[1:]} (it is {value!r})"


def _find_live_values(path: str, value: Any) -> Iterator[str]:
    if is_dataclass(value) and not isinstance(value, type):
        yield from _find_misplaced_values(path, value)
    elif isinstance(value, tuple):
        for index, item in enumerate(value):
            yield from _find_live_values(f"{path}[{index}]", item)
    elif callable(value):
        yield f"{path}: is a callable ({value!r}); an assignment holds plain data only"
    elif isinstance(value, list):
        yield f"{path}: is a list; write a tuple, so that the assignment cannot change"
    elif not isinstance(value, None | bool | int | float | str):
        yield f"{path}: is a {type(value).__name__}; an assignment holds plain data only"


def _holds_records(value: Any) -> bool:
    return any(map(_holds_records, value)) if isinstance(value, tuple) else is_dataclass(value)


def _find_broken_rules(assignment: Assignment) -> Iterator[str]:
    yield from _find_wrong_totals(assignment)
    for item_id, count in Counter(item_id for item_id, _ in assignment.item_ids()).items():
        if count > 1:
            yield f"item {item_id}: the id is used {count} times"
    model_ids = [item_id for item_id, item in assignment.item_ids() if isinstance(item, ModelItem)]
    yield from _find_wrong_practice(assignment, model_ids)
    for item_id, item in assignment.item_ids():
        if item.points < 0:
            yield f"item {item_id}.points: is {item.points:g}, but cannot be negative"
        yield from _find_wrong_names(item_id, item)
        if isinstance(item, ModelItem | TruthTableItem):
            yield from _find_wrong_constraints(item_id, item)
        match item:
            case ModelItem():
                yield from _find_wrong_recipe(item_id, item)
            case SweepItem():
                yield from _find_wrong_sweep(item_id, item, model_ids)
            case TruthTableItem():
                yield from _find_wrong_rows(item_id, item)
            case WrittenItem():
                yield from _find_wrong_rubric(item_id, item)
            case AnswerItem(accepted=()):
                yield f"item {item_id}.accepted: is empty, so no answer could be right"


def _find_wrong_practice(assignment: Assignment, model_ids: list[str]) -> Iterator[str]:
    for item_id, threshold in assignment.practice.thresholds:
        if item_id not in model_ids:
            yield f"practice.thresholds: {_no_model(item_id, model_ids)}"
        yield from _find_wrong_share(f"practice.thresholds[{item_id}]", threshold)


def _find_wrong_constraints(item_id: str, item: ModelItem | TruthTableItem) -> Iterator[str]:
    for index, constraint in enumerate(item.constraints):
        for mistake in constraint.mistakes():
            yield f"item {item_id}.constraints[{index}]: {mistake}"


def _find_wrong_rows(item_id: str, item: TruthTableItem) -> Iterator[str]:
    if not item.rows:
        yield f"item {item_id}.rows: is empty"
    for index, row in enumerate(item.rows):
        if (row.equals is None) == (row.at_least is None):
            yield f"item {item_id}.rows[{index}]: give exactly one of equals and at_least"
        if len(row.inputs) != len(item.rows[0].inputs):
            yield f"item {item_id}.rows[{index}].inputs: has another length than in row 0"


def _find_wrong_totals(assignment: Assignment) -> Iterator[str]:
    total = sum(item.points for _, item in assignment.item_ids())
    if abs(total - assignment.points) > 1e-9:
        yield f"assignment.points: is {assignment.points:g}, but the items add up to {total:g}"
    if not assignment.seeds:
        yield "assignment.seeds: is empty; at least one seed is needed"
    if len(set(assignment.seeds)) < len(assignment.seeds):
        yield f"assignment.seeds: {assignment.seeds} names a seed twice"
    for path, dataset in (
        ("assignment.dataset", assignment.dataset),
        ("assignment.practice.dataset", assignment.practice.dataset),
    ):
        if dataset not in DATASETS:
            yield f"{path}: there is no data set {dataset!r}{did_you_mean(dataset, DATASETS)}"


def _find_wrong_names(item_id: str, item: Any) -> Iterator[str]:
    suffix = ".md" if isinstance(item, WrittenItem) else ".py"
    path = PurePosixPath(item.file)
    if path.is_absolute() or ".." in path.parts or path.suffix != suffix:
        yield f"item {item_id}.file: {item.file!r} must be a relative path that ends in {suffix}"
    names = ("function", "model", "optimizer", "scheduler", "training", "reported")
    for name in names:
        value = getattr(item, name, None)
        if value is not None and (not value.isidentifier() or keyword.iskeyword(value)):
            yield f"item {item_id}.{name}: {value!r} cannot be the name of a function"


def _find_wrong_recipe(item_id: str, item: ModelItem) -> Iterator[str]:
    recipe = item.recipe
    yield from _find_wrong_share(f"item {item_id}.threshold.accuracy", item.threshold.accuracy)
    path = f"item {item_id}.recipe"
    yield from _find_wrong_number(f"{path}.epochs", recipe.epochs, 1, recipe.maximum_epochs)
    sizes = (recipe.batch_size, recipe.minimum_batch_size, recipe.maximum_batch_size)
    yield from _find_wrong_number(f"{path}.batch_size", *sizes)
    if recipe.minimum_batch_size < 1:
        yield f"{path}.minimum_batch_size: is {recipe.minimum_batch_size}, but must be at least 1"
    if item.training is None and not recipe.fixed:
        yield f"item {item_id}.training: is None, so the recipe must be fixed"


def _find_wrong_sweep(item_id: str, item: SweepItem, model_ids: list[str]) -> Iterator[str]:
    if item.model_item not in model_ids:
        yield f"item {item_id}.model_item: {_no_model(item.model_item, model_ids)}"
    for index, probability in enumerate(item.probabilities):
        yield from _find_wrong_share(f"item {item_id}.probabilities[{index}]", probability)
    path, maximum = f"item {item_id}.minimum_agreeing", len(item.probabilities)
    yield from _find_wrong_number(path, item.minimum_agreeing, 0, maximum)


def _find_wrong_rubric(item_id: str, item: WrittenItem) -> Iterator[str]:
    path = f"item {item_id}.rubric"
    rubric_items = item.rubric.items
    for rubric_id, count in Counter(rubric_item.id for rubric_item in rubric_items).items():
        if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,40}", rubric_id):
            yield f"{path}: the id {rubric_id!r} must be of small letters, digits and hyphens"
        if count > 1:
            yield f"{path}: the id {rubric_id!r} is used {count} times"
    if not rubric_items or item.rubric.starts_full:
        return
    most = sum(max(rubric_item.points, 0.0) for rubric_item in rubric_items)
    if most < item.points - 1e-9:
        yield f"{path}: gives at most {most:g} of the item's {item.points:g} points"


def _no_model(item_id: str, model_ids: list[str]) -> str:
    return f"there is no model item {item_id!r}{did_you_mean(item_id, model_ids)}"


def _find_wrong_number(path: str, value: int, minimum: int, maximum: int) -> Iterator[str]:
    if not minimum <= value <= maximum:
        yield f"{path}: is {value}, but must be from {minimum} to {maximum}"


def _find_wrong_share(path: str, value: float) -> Iterator[str]:
    if not 0.0 <= value <= 1.0:
        percent = " (write 0.975, not 97.5)" if 1.0 < value <= 100.0 else ""
        yield f"{path}: is {value:g}, but must be a share from 0 to 1{percent}"
