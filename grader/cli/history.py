"""`grade history`: the runs that graded a class, and the grades of one student."""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from grader.cli.options import class_option
from grader.cohort.changes import points_of
from grader.cohort.store import Store
from grader.errors import UsageError
from grader.report.wording import minute, points
from grader.text import clean_line

EXAMPLES = """
\b
Examples:
  grade history                the runs, the newest last
  grade history alice          every grade that alice has had
  grade undo                   take the last run back
"""


@click.command(epilog=EXAMPLES)
@click.argument("student", required=False)
@class_option
def history(student: str | None, output: Path) -> None:
    """List the runs that graded a class; or, with an id, every grade of STUDENT."""
    with Store.open_existing(output) as store:
        table = _list_runs(store) if student is None else _list_grades(store, student)
    Console().print(table)


def _list_runs(store: Store) -> Table:
    table = _table("run", "when", "what", "students", "points changed")
    for run in store.runs():
        graded = list(store.gradings_of_run(run.number))
        changed = 0
        for each in graded:
            before = store.grading_before(each.summary.student.id, run.number)
            changed += before is not None and points_of(before.summary) != points_of(each.summary)
        cells = (f"{run.number}", minute(run.started_at), run.purpose)
        table.add_row(*map(Text, map(clean_line, cells)), f"{len(graded)}", f"{changed}")
    return table


def _list_grades(store: Store, student: str) -> Table:
    states = [state for of_grading in store.states(student) for state in of_grading]
    if not states:
        known = ", ".join(summary.student.id for summary in list(store.summaries())[:5])
        raise UsageError(
            f"no student of the id {student!r} was graded", next_step=f"give an id, such as {known}"
        )
    table = _table("when", "points", "state", "remark")
    for each in states:
        summary = each.summary
        found = points_of(summary)
        asked = (f"asked to be graded again: {request}" for request in summary.requests)
        remark = "; ".join((*summary.decisions, *asked)) or summary.kept_because or summary.message
        cells = (
            minute(each.at) if each.at else "",
            "" if found is None else points(found),
            summary.status.value,
            remark,
        )
        table.add_row(*map(Text, map(clean_line, cells)))
    return table


def _table(*headings: str) -> Table:
    table = Table(box=None, pad_edge=False)
    for heading in headings:
        table.add_column(heading, overflow="fold")
    return table
