"""`grade diff`: whose grade changed by the last regrade."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec
from rich.console import Console
from rich.text import Text

from grader.cli.options import json_option, output_option
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
@output_option
@json_option
def diff(output: Path, *, as_json: bool) -> None:
    """List whose grade changed, by how much, and which check did it.

    The current grading of every student is compared with the one before it.
    """
    with Store.open_existing(output) as store:
        changes = list(changed_grades(store))
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(changes), indent=2))
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
