"""`grade diff`: the grades that the last regrade changed."""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console
from rich.text import Text

from grader.cli.options import class_option, json_option, print_json
from grader.cohort.changes import GradeChange, changed_grades
from grader.cohort.store import Store
from grader.text import clean_line

EXAMPLES = """
\b
Examples:
  grade batch submissions/ --regrade all && grade diff
  grade diff --output spring/reports --json
"""


@click.command(epilog=EXAMPLES)
@class_option
@json_option
def diff(output: Path, *, as_json: bool) -> None:
    """List the students whose grade changed, by how much, and the checks that changed.

    Compares every student's current grading with the one before it.
    """
    with Store.open_existing(output) as store:
        changes = list(changed_grades(store))
    if as_json:
        print_json(changes)
        return
    console = Console()
    for change in changes:
        _print(change, console)
    if not changes:
        console.print("no grade has changed")


def _print(change: GradeChange, console: Console) -> None:
    name = clean_line(change.student.name or change.student.id)
    points = f"{_points(change.before)} → {_points(change.after)} ({change.difference:+g})"
    console.print(Text(f"{name}: {points}", style="bold"), soft_wrap=True)
    if change.reason:
        console.print(Text(f"  {change.reason}"), soft_wrap=True)
    for item in change.items:
        line = f"  {item.id}: {item.before or 'not graded'} → {item.after or 'not graded'}"
        console.print(Text(line), soft_wrap=True)
        for check in item.checks:
            console.print(Text(f"    {clean_line(check)}", style="dim"), soft_wrap=True)


def _points(points: float | None) -> str:
    return "no grade" if points is None else f"{points:g}"
