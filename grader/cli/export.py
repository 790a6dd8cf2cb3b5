"""`grade export FORMAT`: a class's points for a gradebook."""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console
from rich.text import Text

from grader.cli.options import output_option
from grader.errors import UsageError
from grader.report.gradebooks import FORMATS, Column
from grader.store import Store
from grader.summary import Status, StudentSummary

EXAMPLES = """
\b
Examples:
  grade export csv -o grades.csv
  grade export canvas --column "Set 4 (12345)" -o canvas.csv
  grade export moodle --output spring/reports > worksheet.csv

\b
Canvas and Moodle find students by their own ids, so give `grade batch --roster` the
gradebook that Canvas exports, or Moodle's offline grading worksheet.
"""


@click.command(epilog=EXAMPLES)
@click.argument("format_name", metavar="FORMAT", type=click.Choice(list(FORMATS)))
@click.option(
    "-o", "--file", type=click.Path(path_type=Path, dir_okay=False), help="[default: print it]"
)
@click.option("--column", help="Header of the points. [default: the assignment's title]")
@click.option("--missing-as-zero", is_flag=True, help="0 for who handed in nothing, not empty.")
@click.option("--practice", is_flag=True, help="Export results on the practice set all the same.")
@output_option
def export(
    format_name: str,
    file: Path | None,
    column: str | None,
    output: Path,
    *,
    missing_as_zero: bool,
    practice: bool,
) -> None:
    """Write the class's points as canvas, moodle, nbgrader or csv.

    The points are those after the late policy. A student without a grade gets an empty cell.
    """
    with Store.open_existing(output) as store:
        summaries = list(store.summaries())
        title = column or _assignment_title(store, summaries)
    if any(summary.practice for summary in summaries) and not practice:
        raise UsageError(
            "these results are PRACTICE and no grades",
            next_step="grade on the assignment's own data, or export them with --practice",
        )
    possible = max(summary.score.possible for summary in summaries)
    chosen = Column(title=title, points_possible=possible, missing_as_zero=missing_as_zero)
    if file is None:
        FORMATS[format_name](summaries, chosen, click.get_text_stream("stdout"))
    else:
        # Excel takes a table for UTF-8 only if it begins with a byte order mark.
        encoding = "utf-8-sig" if format_name == "csv" else "utf-8"
        with file.open("w", encoding=encoding, newline="") as stream:
            FORMATS[format_name](summaries, chosen, stream)
    _warn(summaries)


def _assignment_title(store: Store, summaries: list[StudentSummary]) -> str:
    for summary in summaries:
        result = store.result(summary.student.id)
        if result is not None:
            return result.provenance.assignment_title
    return "assignment"


def _warn(summaries: list[StudentSummary]) -> None:
    """Say on standard error what the points do not contain."""
    console = Console(stderr=True)
    for count, meaning in (
        (
            sum(summary.score.pending > 0 for summary in summaries),
            "have parts that a person must still grade; their points do not count those yet",
        ),
        (
            sum(summary.status is Status.ERROR for summary in summaries),
            "have no grade because of an error, and an empty cell",
        ),
        (
            sum(summary.late.needs_person for summary in summaries),
            "were late by an unknown time; nothing was taken off",
        ),
    ):
        if count:
            console.print(Text(f"warning: {count} students {meaning}", style="yellow"))
