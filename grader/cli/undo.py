"""`grade undo`: take the last run that graded a class back."""

from __future__ import annotations

import sys
from pathlib import Path

import click
from rich.console import Console
from rich.text import Text

from grader.cli.class_settings import SETTINGS_NAME, read_settings
from grader.cli.options import class_option
from grader.cohort.batch import locked
from grader.cohort.changes import points_of
from grader.cohort.store import STORE_NAME, Store
from grader.cohort.undoing import Undone, find_last_run, list_undone, undo_run
from grader.errors import UsageError
from grader.report.wording import counted, minute, points
from grader.text import clean_line

EXAMPLES = """
\b
Examples:
  grade history                what was done
  grade undo                   take the last run back; asks first
  grade undo --yes             without asking, in a script
"""


@click.command(epilog=EXAMPLES)
@click.option("--yes", is_flag=True, help="Do not ask.")
@class_option
def undo(output: Path, *, yes: bool) -> None:
    """Take the last run of `grade batch` back: grades, reports and settings are as before it.

    Nothing is deleted: the grades that are taken back stay in the history.
    """
    from grader.assignment.loading import load_assignment  # noqa: PLC0415  # loads the records
    from grader.cohort.class_page import update_class_page  # noqa: PLC0415
    from grader.review.publishing import publish  # noqa: PLC0415  # slow
    from grader.review.store import ReviewStore  # noqa: PLC0415

    Store.open_existing(output).close()
    with locked(output), ReviewStore(output / STORE_NAME) as store:
        run = find_last_run(store)
        undone = list_undone(store, run)
        console = Console(stderr=True)
        what = f"run {run.number}, {minute(run.started_at)}: {run.purpose}"
        console.print(Text(clean_line(what)))
        changes = {each.after.summary.student.id: _points_around(store, each) for each in undone}
        for student_id, (after, before) in changes.items():
            if before != after:
                line = clean_line(f"{student_id}: {_shown(after)} → {_shown(before)}")
                console.print(Text(f"  {line}"))
        if not yes:
            if not sys.stdin.isatty():
                raise UsageError("nobody can be asked here", next_step="add --yes if that is meant")
            click.confirm(f"Take {counted(len(undone), 'grade')} back?", abort=True, err=True)
        undo_run(store, output, run, undone, SETTINGS_NAME)
        settings = read_settings(output)
        loaded = load_assignment(settings["assignment"])
        publish(store, loaded, output)
        template = settings.get("template")
        update_class_page(
            store,
            output,
            title=loaded.title,
            template=Path(template) if template else None,
            earlier=[Path(each) for each in settings.get("earlier", ())],
        )
        for student_id, (after, before) in changes.items():
            found = points_of(store.states(student_id)[-1][-1].summary)
            if found != before:
                line = clean_line(
                    f"{student_id}: {_shown(after)} → {_shown(found)}, not {_shown(before)} as "
                    "before the run, because of what was judged or decided since"
                )
                console.print(Text(f"  {line}", style="yellow"), soft_wrap=True)
    click.echo(f"run {run.number} is taken back, {counted(len(undone), 'grade')}")


def _points_around(store: Store, undone: Undone) -> tuple[float | None, float | None]:
    """Return a student's points now, and those that counted before the run."""
    student_id = undone.after.summary.student.id
    states = store.states(student_id)
    number = undone.before.number if undone.before else None
    counted = [
        points_of(of_grading[-1].summary)
        for grading, of_grading in zip(store.history(student_id), states, strict=True)
        if grading.number == number
    ]
    return points_of(states[-1][-1].summary), counted[0] if counted else None


def _shown(found: float | None) -> str:
    return "no grade" if found is None else points(found)
