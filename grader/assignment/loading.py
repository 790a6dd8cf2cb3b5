"""Load an assignment and report every mistake in it at once, each with the path of its field."""

from __future__ import annotations

import hashlib
import importlib
import inspect
import pkgutil
import re
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from types import ModuleType, NoneType
from typing import Any, get_args, get_type_hints

import msgspec

import grader.assignment
from grader.assignment import bundled
from grader.assignment.records import (
    AnswerItem,
    Assignment,
    FunctionsItem,
    Key,
    Practice,
    share_mistakes,
)
from grader.assignment.source_lines import add_lines, find_constructor_mistakes
from grader.errors import AssignmentError, UsageError
from grader.models.author_code import place_of
from grader.text import did_you_mean
from grader.training.data_sources.interface import DataSource
from grader.training.data_sources.named import source_mistakes

PUBLIC_HALF = "assignment.py"
PRIVATE_HALF = "key.py"


def bundled_assignments() -> list[str]:
    """Return the names of the assignments that come with the grader."""
    names = (module.name for module in pkgutil.iter_modules(bundled.__path__))
    return sorted(name for name in names if not name.startswith("_"))


def load_assignment(
    name: str, *, submission: Path | None = None, needs_key: bool = False
) -> Assignment:
    """Load a bundled assignment by name, or an author's by its path.

    An assignment in two halves is a directory with `assignment.py`, which defines `ASSIGNMENT`, and
    where it is graded also `key.py`, which defines `KEY`. Without the key, answers are not checked.

    Args:
        name: "set4", the path of such a directory, or of a file that defines `ASSIGNMENT`.
        submission: the directory being graded, from which an assignment is never read.
        needs_key: answers must be checked, as for a class.

    Raises:
        UsageError: there is no such assignment, or its file lies in the submission.
        AssignmentError: the assignment has mistakes.
    """
    file, namespace, has_key = _run_halves(name, submission)
    found, key = namespace.get("ASSIGNMENT"), namespace.get("KEY", Key())
    if not isinstance(found, Assignment):
        raise AssignmentError(
            name, [f"ASSIGNMENT: must be an Assignment, but is {type(found).__name__}"]
        )
    if not isinstance(key, Key):
        raise AssignmentError(
            name, [f"{PRIVATE_HALF}: KEY must be a Key, but is {type(key).__name__}"]
        )
    misplaced = [
        *_find_misplaced_values("assignment", found),
        *_find_misplaced_values("key", key),
    ]
    if misplaced:
        raise AssignmentError(name, misplaced)
    try:
        found = found.with_key(key)
    except ValueError as error:
        raise AssignmentError(name, [f"{PRIVATE_HALF}: {error}"]) from None
    located = found.located(file.resolve().parent)
    for _, item in located.item_ids():
        if isinstance(item, FunctionsItem):
            _require_outside(Path(item.tests_path), submission)
    mistakes = find_mistakes(located, has_key=has_key)
    if mistakes:
        raise AssignmentError(name, add_lines(mistakes, file))
    if needs_key and not located.has_key():
        raise UsageError(
            f"the key of {located.id} is not here, so no answer could be checked",
            next_step=f"give --assignment DIRECTORY with {PUBLIC_HALF} and {PRIVATE_HALF}; for a "
            "bundled assignment they lie in the grader's repository",
        )
    return located.with_facts()


def _run_file(path: Path, submission: Path | None) -> dict[str, Any]:
    if not path.is_file():
        raise UsageError(f"there is no assignment file {str(path)!r}")
    _require_outside(path, submission)
    # Not runpy: a dataclass of the author's looks its module up.
    module = ModuleType(
        f"assignment_{hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:8]}"
    )
    module.__file__ = str(path)
    sys.modules[module.__name__] = module
    try:
        exec(compile(path.read_bytes(), str(path), "exec"), vars(module))  # noqa: S102  # the author's
        return vars(module)
    except TypeError as error:
        # A misspelt field surfaces as the TypeError of a dataclass's constructor.
        mistakes = find_constructor_mistakes(path, _records())
        own = f"{place_of(error, str(path))}: {_explain_type_error(error)}"
        raise AssignmentError(str(path), mistakes or [own]) from error
    except Exception as error:
        place = place_of(error, str(path))
        raise AssignmentError(str(path), [f"{place}: {_explain_error(error)}"]) from error


def _require_outside(path: Path, submission: Path | None) -> None:
    """Raise `UsageError` if a file of the author's lies in the submission."""
    if submission is not None and path.resolve().is_relative_to(submission.resolve()):
        raise UsageError(
            f"{str(path)!r} lies in the submission, and an assignment is never read from there",
            next_step="keep the assignment outside the directory that students submit",
        )


def _run_halves(name: str, submission: Path | None) -> tuple[Path, dict[str, Any], bool]:
    """Return an assignment's file, what its halves define, and True unless the key is missing."""
    if name in bundled_assignments():
        module = importlib.import_module(f"grader.assignment.bundled.{name}")
        return Path(str(module.__file__)), vars(module), "KEY" in vars(module)
    file = _public_file(name)
    if file.suffix != ".py" or (Path(name).is_dir() and not file.is_file()):
        raise UsageError(
            f"there is no assignment {name!r}{did_you_mean(name, bundled_assignments())}",
            next_step="name a bundled assignment, a Python file, or a directory with "
            f"{PUBLIC_HALF}; bundled: " + ", ".join(bundled_assignments()),
        )
    namespace = _run_file(file, submission)
    key_file = file.with_name(PRIVATE_HALF)
    if file.name != PUBLIC_HALF:
        return file, namespace, True
    if not key_file.is_file():
        return file, namespace, "KEY" in namespace
    return file, namespace | {"KEY": _run_file(key_file, submission).get("KEY")}, True


def _public_file(name: str) -> Path:
    """Return the file of an author's assignment, named itself or by its directory."""
    return Path(name) / PUBLIC_HALF if Path(name).is_dir() else Path(name)


def home_of(name: str) -> Path:
    """Return the directory of an assignment's file."""
    if name in bundled_assignments():
        return Path(bundled.__file__).parent / name
    return _public_file(name).resolve().parent


def author_files(name: str, assignment: Assignment) -> dict[str, Path]:
    """Return the files of a loaded assignment, both halves, by their paths beside `assignment.py`.

    A bundled assignment has none of its own.
    """
    if name in bundled_assignments():
        return {}
    path = _public_file(name)
    key = path.with_name(PRIVATE_HALF)
    files = {PUBLIC_HALF: path}
    if path.name == PUBLIC_HALF and key.is_file():
        files[PRIVATE_HALF] = key
    for _, item in assignment.item_ids():
        if isinstance(item, FunctionsItem):
            tests = Path(item.tests).parent
            beside = Path(item.tests_path).parent.glob("*")
            files |= {str(tests / file.name): file for file in beside if file.is_file()}
    for source in assignment.all_sources():
        files |= source.author_files()
    return files


def _records() -> dict[str, type[Any]]:
    """Return the records that an author can write, by their names."""
    named = {name: getattr(grader.assignment, name) for name in grader.assignment.__all__}
    return {
        name: each for name, each in named.items() if isinstance(each, type) and is_dataclass(each)
    }


def _explain_error(error: Exception) -> str:
    """Return an error of an author's file; a module that has moved is named with its new place."""
    if isinstance(error, ModuleNotFoundError) and (error.name or "").startswith("grader."):
        return f'{error}; write "from grader.assignment import …"'
    return f"{type(error).__name__}: {error}"


def _explain_type_error(error: TypeError) -> str:
    match = re.match(r"(\w+)\.__init__\(\) got an unexpected keyword argument '(\w+)'", str(error))
    if not match:
        return str(error)
    class_name, argument = match.groups()
    described = getattr(grader.assignment, class_name, None)
    known = [field.name for field in fields(described)] if described else []
    return f"{class_name}.{argument}: there is no such field{did_you_mean(argument, known)}"


def find_mistakes(assignment: Assignment, *, has_key: bool = True) -> list[str]:
    """Return every mistake in an assignment, one sentence each, led by the field's path.

    Args:
        assignment: the assignment.
        has_key: the private half is here, so that every answer needs an accepted value.
    """
    misplaced = list(_find_misplaced_values("assignment", assignment))
    # The rules about values take the types for granted.
    if misplaced:
        return misplaced
    empty = [
        f"item {item_id}.accepted: is empty, so no answer could be right"
        for item_id, item in assignment.item_ids()
        if has_key and isinstance(item, AnswerItem) and not item.accepted
    ]
    return [*_find_broken_rules(assignment), *empty]


def _find_misplaced_values(path: str, record: Any) -> Iterator[str]:
    """Yield values of a record that are not plain data, or not of their field's type."""
    hints = get_type_hints(type(record), vars(sys.modules[type(record).__module__]))
    for field in fields(record):
        value = getattr(record, field.name)
        where = f"{path}.{field.name}"
        found = list(_find_live_values(where, value))
        yield from found
        # Records were checked above, accepted answers have any type, data sets have checks of
        # their own, and msgspec refuses to look at an empty tuple of records of several classes.
        if found or _holds_records(value) or value == () or field.name in {"accepted", "dataset"}:
            continue
        if value is None and NoneType in get_args(hints[field.name]):
            continue
        try:
            msgspec.convert(value, hints[field.name])
        except TypeError:  # msgspec does not know the type: it holds a data set's
            expected = inspect.formatannotation(hints[field.name])
            yield f"{where}: expected `{expected}`, got `{type(value).__name__}` (it is {value!r})"
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
    entries = assignment.item_ids()
    for item_id, count in Counter(item_id for item_id, _ in entries).items():
        if count > 1:
            yield f"item {item_id}: the id is used {count} times"
    items = dict(entries)
    code = {item.file for item in items.values() if item.suffix == ".py"}
    for file, _ in assignment.file_names:
        if file not in code:
            yield f"file_names: no item reads {file!r}{did_you_mean(file, code)}"
    yield from _find_wrong_data(assignment)
    models = [item_id for item_id, item in items.items() if item.has_accuracy]
    for item_id, threshold in assignment.practice.thresholds if assignment.practice else ():
        if item_id not in models:
            hint = did_you_mean(item_id, models)
            yield f"practice.thresholds: there is no model item {item_id!r}{hint}"
        elif items[item_id].predicts_classes:
            yield from share_mistakes(f"practice.thresholds[{item_id}]", threshold)
    for item_id, item in entries:
        for mistake in item.mistakes(items):
            yield f"item {item_id}.{mistake}"


def _find_wrong_totals(assignment: Assignment) -> Iterator[str]:
    total = sum(item.points for _, item in assignment.item_ids())
    if abs(total - assignment.points) > 1e-9:
        yield f"assignment.points: is {assignment.points:g}, but the items add up to {total:g}"
    if not assignment.seeds:
        yield "assignment.seeds: is empty; at least one seed is needed"
    if len(set(assignment.seeds)) < len(assignment.seeds):
        yield f"assignment.seeds: {assignment.seeds} names a seed twice"


def _find_wrong_data(assignment: Assignment) -> Iterator[str]:
    """Yield mistakes in naming data sets, or else items that do not fit their data sets."""
    items, practice = dict(assignment.item_ids()), assignment.practice
    named = {"assignment.dataset": assignment.dataset}
    if practice is not None:
        named["assignment.practice.dataset"] = practice.dataset
    named |= {f"item {item_id}.dataset": item.own_dataset() for item_id, item in items.items()}
    wrong = [
        f"{path}: {mistake}"
        for path, dataset in named.items()
        if dataset is not None
        for mistake in source_mistakes(dataset)
    ]
    if wrong:
        yield from wrong
        return
    sources = assignment.sources()
    for item_id, item in items.items():
        if item.trained_item(item_id) == item_id and item_id not in sources:
            yield f"item {item_id}.dataset: is missing, and the assignment has none either"
    yield from _find_misfits(assignment, sources)
    if practice is not None:
        yield from _find_misfits_in_practice(assignment.for_practice(), practice)


def _find_misfits(assignment: Assignment, sources: Mapping[str, DataSource]) -> Iterator[str]:
    """Yield what does not fit the data set of its item, as far as the data is known yet."""
    items = dict(assignment.item_ids())
    for item_id, source in sources.items():
        facts = source.facts()
        if facts is not None:
            for misfit in items[item_id].find_misfits(source.id, facts):
                yield f"item {item_id}.{misfit}"


def _find_misfits_in_practice(practised: Assignment, practice: Practice) -> Iterator[str]:
    thresholds, sources = dict(practice.thresholds), practised.sources()
    chosen = {item_id: source for item_id, source in sources.items() if item_id in thresholds}
    for misfit in _find_misfits(practised, chosen):
        yield f"assignment.practice.dataset: {misfit}"
    for item_id, source in sources.items():
        if item_id not in thresholds and not source.is_at_hand:
            yield (
                f"practice.thresholds: {item_id} has none, and its data set {source.id} is not at "
                "hand to practise on"
            )
