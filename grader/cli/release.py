"""`grade release`: the reports for students."""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console
from rich.text import Text

from grader.cli.caller import OutputPath
from grader.cli.class_settings import load_class_assignment
from grader.cli.export import read_points
from grader.cli.options import (
    assignment_option,
    class_option,
    mixed_option,
    practice_results_option,
)
from grader.cohort.gradebooks import write_gradebook
from grader.cohort.release import release as write_release
from grader.cohort.release import require_assignment
from grader.cohort.store import Store

GRADEBOOK_NAME = "grades.csv"
STUDENTS_NAME = "students"

EXAMPLES = """
\b
Examples:
  grade release -o feedback/
  grade release -o feedback/ --output spring/reports
"""


@click.command(epilog=EXAMPLES)
@click.option(
    "-o",
    "--to",
    "target",
    type=OutputPath(file_okay=False),
    required=True,
    help="A new directory to write.",
)
@assignment_option
@class_option
@practice_results_option
@mixed_option
@click.pass_context
def release(
    context: click.Context,
    /,
    target: Path,
    assignment: str,
    output: Path,
    *,
    practice: bool,
    mixed: bool,
) -> None:
    """Write what students may see: a folder for each student, in TO/students.

    Parts that the assignment hides are left out, with their points. The gradebook TO/grades.csv is
    for you: it has the points of all parts.
    """
    loaded = load_class_assignment(context, output, assignment)
    hidden = {part.id for problem in loaded.problems for part in problem.parts if part.hidden}
    with Store.open_existing(output) as store:
        summaries, column = read_points(store, practice=practice, mixed=mixed)
        require_assignment(store, loaded)
        without_grade = write_release(store, target / STUDENTS_NAME, hidden=hidden)
        write_gradebook("csv", summaries, column, target / GRADEBOOK_NAME)
    folders = len(summaries) - len(without_grade)
    click.echo(
        f"{folders} folders in {target / STUDENTS_NAME}, points in {target / GRADEBOOK_NAME}"
    )
    if without_grade:
        names = ", ".join(without_grade)
        Console(stderr=True).print(Text(f"left out, because they have no grade: {names}"))
