"""The settings of a class: kept at its first `grade batch`, and used by every later command.

So no points change because an option was forgotten or given differently.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import msgspec
from click.core import ParameterSource
from rich.console import Console

from grader.assignment.loading import load_assignment
from grader.assignment.records import Assignment
from grader.cohort.store import STORE_NAME, Store
from grader.errors import GraderError, UsageError

CHANGE = "--change-settings"
OPTIONS = {
    "assignment": "--assignment",
    "practice": "--practice",
    "seeds": "--seeds",
    "full": "--full",
    "roster": "--roster",
    "template": "--template",
    "earlier": "--earlier",
    "due": "--due",
    "timezone": "--timezone",
    "grace_minutes": "--grace-minutes",
    "penalty_per_day": "--penalty-per-day",
    "floor": "--penalty-floor",
    "maximum_days": "--maximum-days-late",
    "slip_days": "--slip-days",
    "at_deadline": "--at-deadline",
}
"""The options of `grade batch` that decide about points or likeness, by their parameters' names."""
DIGEST = "assignment_sha256"
SETTINGS_NAME = "class"
_PATHS = frozenset({"roster", "template", "earlier"})


def read_settings(output: Path) -> dict[str, Any]:
    """Return the settings of the class in this directory; {} if it was never graded."""
    if not (output / STORE_NAME).is_file():
        return {}
    with Store(output / STORE_NAME) as store:
        return kept_in(store)


def settle(context: click.Context, output: Path, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of this call of `grade batch`: as given, or else those of the class.

    Raises:
        UsageError: an option differs from the class's, and `--change-settings` was not given.
    """
    kept = read_settings(output)
    if kept:
        # A class of an earlier version was graded as if today's other options were not given.
        defaults = {each.name: each.get_default(context) for each in context.command.params}
        kept = {name: _plain(defaults[name]) for name in OPTIONS} | kept
    settled, differences = dict(given), []
    for name, option in OPTIONS.items():
        value = _plain(given[name])
        if name not in kept or value == kept[name]:
            continue
        is_given = context.get_parameter_source(name) is not ParameterSource.DEFAULT
        # A flag cannot be given as "no", so a change takes it as it is.
        if not is_given and not (given["change_settings"] and isinstance(value, bool)):
            settled[name] = _restored(name, kept[name])
        else:
            differences.append(f"{option}: {shown(kept[name])}, now {shown(value)}")
    if differences and not given["change_settings"]:
        raise UsageError(
            "this class was graded with other settings:\n"
            + "\n".join(f"  - {difference}" for difference in differences),
            next_step=f"leave these options out, or add {CHANGE}; for a trial, use another "
            "--output",
        )
    for difference in differences:
        Console(stderr=True).print(
            f"settings changed: {difference}", style="yellow", highlight=False, markup=False
        )
    return settled


@contextmanager
def kept_settings(
    store: Store, settled: Mapping[str, Any], assignment: Assignment
) -> Iterator[None]:
    """Keep the settings, before anybody is graded by them; put them back if nobody could be.

    Raises:
        UsageError: the assignment's content has changed, and `--change-settings` was not given.
    """
    before = kept_in(store)
    if _has_changed(assignment, before) and not settled["change_settings"]:
        raise UsageError(
            f"the assignment {assignment.id} has changed since this class was graded, so every "
            "student would be graded again",
            next_step=f"add {CHANGE} if that is meant; `grade diff` then lists whose grade changed",
        )
    kept = {name: _plain(settled[name]) for name in OPTIONS} | {DIGEST: assignment.digest()}
    standing, newest = store.setting(SETTINGS_NAME), store.last_number()
    if kept != before:
        store.keep_setting(SETTINGS_NAME, msgspec.json.encode(kept).decode())
    try:
        yield
    except GraderError:
        if store.last_number() == newest:
            store.keep_setting(SETTINGS_NAME, standing or "")
        raise


def load_class_assignment(context: click.Context, output: Path, name: str) -> Assignment:
    """Return the assignment by which a class was graded.

    The same one may be named at another place, as a copy of the class on another machine needs.

    Raises:
        UsageError: another one was named, or its content has changed since.
    """
    settings = read_settings(output)
    kept = settings.get("assignment", name)
    is_named = context.get_parameter_source("assignment") is not ParameterSource.DEFAULT
    if is_named and kept != name:
        named = load_assignment(name)
        if named.digest() == settings.get(DIGEST):
            return named
        raise UsageError(
            f"this class was graded by {kept}, not by {name}",
            next_step=f"leave --assignment out, or grade it again: grade batch … {CHANGE}",
        )
    assignment = load_assignment(kept)
    if _has_changed(assignment, settings):
        raise UsageError(
            f"the assignment {assignment.id} has changed since this class was graded",
            next_step=f"grade it again: grade batch … {CHANGE}; or put the earlier version back",
        )
    return assignment


def _has_changed(assignment: Assignment, kept: Mapping[str, Any]) -> bool:
    """Return True if a class was graded by other content of the assignment."""
    return DIGEST in kept and bool(kept[DIGEST] != assignment.digest())


def kept_in(store: Store) -> dict[str, Any]:
    """Return the settings in a store; {} if it has none."""
    kept = store.setting(SETTINGS_NAME)
    return msgspec.json.decode(kept, type=dict[str, Any]) if kept else {}


def _plain(value: Any) -> Any:
    """Return an option's value as JSON gives it back."""
    if isinstance(value, Path):
        return str(value)
    return [_plain(each) for each in value] if isinstance(value, tuple) else value


def _restored(name: str, value: Any) -> Any:
    if isinstance(value, list):
        return tuple(_restored(name, each) for each in value)
    return Path(value) if name in _PATHS and value is not None else value


def shown(value: Any) -> str:
    """Return a setting's value for a person to read."""
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "not given"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "not given" if value is None else str(value)
