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
from grader.cohort.feedback import Written, write_canvas, write_mail, write_moodle
from grader.cohort.gradebooks import write_gradebook
from grader.cohort.release import release as write_release
from grader.cohort.release import require_assignment
from grader.cohort.store import Store
from grader.text import clean_line

GRADEBOOK_NAME = "grades.csv"
STUDENTS_NAME = "students"

EXAMPLES = """
\b
Examples:
  grade release -o feedback/
  grade release -o feedback/ --output spring/reports
  grade release -o feedback/ --for moodle

\b
Moodle's zip goes to "Upload multiple feedback files in a zip", its worksheet to
"Upload grading worksheet", Canvas's zip to "Upload Submissions".
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
@click.option(
    "--for",
    "platform",
    type=click.Choice(["folders", "moodle", "canvas", "mail"]),
    default="folders",
    show_default=True,
    help="What to write beside the folders: a zip for Moodle or Canvas, or a table to mail from.",
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
    platform: str,
    assignment: str,
    output: Path,
    *,
    practice: bool,
    mixed: bool,
) -> None:
    """Write what students may see: a folder for each student, in TO/students.

    Parts that the assignment hides are left out, with their points. The gradebook TO/grades.csv is
    for you: it has the points of all parts. A student without a grade gets the reason.
    """
    loaded = load_class_assignment(context, output, assignment)
    hidden = {part.id for problem in loaded.problems for part in problem.parts if part.hidden}
    files = [
        file
        for problem in loaded.problems
        for part in problem.parts
        if not part.hidden
        for _, item in part.items
        for file in item.files()
    ]
    with Store.open_existing(output) as store:
        summaries, column = read_points(store, practice=practice, mixed=mixed)
        require_assignment(store, loaded)
        released = write_release(
            store, target / STUDENTS_NAME, hidden=hidden, files=list(dict.fromkeys(files))
        )
        write_gradebook("csv", summaries, column, target / GRADEBOOK_NAME)
    click.echo(
        f"{len(released)} folders in {target / STUDENTS_NAME}, points in {target / GRADEBOOK_NAME}"
    )
    written = Written(files=())
    if platform == "moodle":
        written = write_moodle(released, column, target, STUDENTS_NAME)
    elif platform == "canvas":
        written = write_canvas(released, target, STUDENTS_NAME)
    elif platform == "mail":
        written = write_mail(released, target, STUDENTS_NAME)
    for name in written.files:
        click.echo(f"for {platform}: {target / name}")
    console = Console(stderr=True)
    for warning in written.warnings:
        console.print(Text(f"warning: {warning}", style="yellow"))
    if without_grade := [each.summary.student.id for each in released if each.points is None]:
        names = ", ".join(map(clean_line, without_grade))
        console.print(Text(f"without a grade, so the report says why: {names}"))
