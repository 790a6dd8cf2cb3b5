"""`grade export FORMAT`: a class's points for a gradebook."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import click
from rich.console import Console
from rich.text import Text

from grader.cli.caller import OutputPath
from grader.cli.options import class_option, mixed_option, practice_results_option
from grader.cohort.gradebooks import FORMATS, Column, write_gradebook
from grader.cohort.gradebooks.moodle import not_on_the_worksheet
from grader.cohort.store import Store
from grader.cohort.summary import Status, StudentSummary
from grader.errors import UsageError
from grader.report.wording import counted
from grader.text import clean_line

EXAMPLES = """
\b
Examples:
  grade export csv -o grades.csv
  grade export canvas --column "Set 4 (12345)" -o canvas.csv
  grade export moodle --output spring/reports > worksheet.csv

\b
Canvas and Moodle find students by their own ids: use the gradebook that Canvas
exports, or Moodle's offline grading worksheet, as the --roster of `grade batch`.
"""


@click.command(epilog=EXAMPLES)
@click.argument("format_name", metavar="FORMAT", type=click.Choice(list(FORMATS)))
@click.option(
    "-o",
    "--to",
    "--file",
    "file",
    type=OutputPath(dir_okay=False),
    help="File to write. [default: print it]",
)
@click.option("--column", help="Header of the column. [default: the assignment's title]")
@click.option(
    "--missing-as-zero", is_flag=True, help="0 points for a missing submission, not an empty cell."
)
@practice_results_option
@mixed_option
@class_option
def export(
    format_name: str,
    file: Path | None,
    column: str | None,
    output: Path,
    *,
    missing_as_zero: bool,
    practice: bool,
    mixed: bool,
) -> None:
    """Write the class's points as canvas, moodle, nbgrader or csv.

    Points include late penalties. A student without a grade gets an empty cell.
    """
    with Store.open_existing(output) as store:
        summaries, chosen = read_points(store, practice=practice, mixed=mixed)
    chosen = replace(chosen, title=column or chosen.title, missing_as_zero=missing_as_zero)
    left_out, place = [], "the roster"
    if format_name == "moodle":
        left_out, place = not_on_the_worksheet(summaries), "Moodle's worksheet"
    elif format_name == "canvas":
        left_out = [each.student.id for each in summaries if not each.student.on_roster]
    if left_out:
        names = ", ".join(map(clean_line, left_out))
        message = f"warning: left out, because they are not on {place}: {names}"
        Console(stderr=True).print(Text(message, style="yellow"))
    if file is None:
        FORMATS[format_name](summaries, chosen, sys.stdout)
    else:
        write_gradebook(format_name, summaries, chosen, file)


def read_points(
    store: Store, *, practice: bool, mixed: bool = False
) -> tuple[list[StudentSummary], Column]:
    """Return all students' points and their column; warn about points that are not final.

    Raises:
        UsageError: the store is empty, holds practice results and `practice` is false, or grades
            by several versions of the assignment and `mixed` is false.
    """
    summaries = list(store.summaries())
    if not summaries:
        raise UsageError("no class has been graded here yet", next_step="run grade batch first")
    if any(summary.practice for summary in summaries) and not practice:
        raise UsageError(
            "these results are PRACTICE, not grades",
            next_step="grade again without --practice, or add --practice here",
        )
    _warn(summaries)
    possible = max(summary.score.possible for summary in summaries)
    found = {summary.student.id: store.result(summary.student.id) for summary in summaries}
    used = {student_id: each.provenance for student_id, each in found.items() if each is not None}
    if not mixed:
        _require_one_version({name: each.assignment_sha256 for name, each in used.items()})
    titles = (each.assignment_title for each in used.values())
    return summaries, Column(title=next(titles, "assignment"), points_possible=possible)


def _require_one_version(digests: dict[str, str]) -> None:
    """Raise `UsageError` if students are graded by several versions of the assignment."""
    versions: dict[str, list[str]] = {}
    for student_id, digest in digests.items():
        versions.setdefault(digest, []).append(student_id)
    if len(versions) > 1:
        lines = [
            f"  - by {digest[:8]}: {counted(len(ids), 'student')}, {', '.join(ids[:5])}"
            f"{', …' if len(ids) > 5 else ''}"
            for digest, ids in versions.items()
        ]
        raise UsageError(
            "the students are graded by different versions of the assignment:\n"
            + "\n".join(map(clean_line, lines)),
            next_step="run the same `grade batch` again to finish the regrade, or add --mixed",
        )


def _warn(summaries: list[StudentSummary]) -> None:
    """Print a warning for each reason why the points are not final."""
    reasons = {
        "a person must still grade some parts, which count 0 until then": [
            summary.score.pending > 0 for summary in summaries
        ],
        "graded only in part (--only, or stopped), so the points are not final": [
            summary.status is Status.GRADED and not summary.complete for summary in summaries
        ],
        "no grade because of an error, so the cell is empty": [
            summary.status is Status.ERROR for summary in summaries
        ],
        "the earlier grade, because grading again failed": [
            bool(summary.kept_because) for summary in summaries
        ],
        "asked to be graded again, which is still open": [
            bool(summary.requests) for summary in summaries
        ],
        "late by an unknown time, so there is no penalty": [
            summary.late.needs_person for summary in summaries
        ],
    }
    for reason, applies in reasons.items():
        if any(applies):
            message = f"warning: {counted(sum(applies), 'student')}: {reason}"
            Console(stderr=True).print(message, style="yellow", highlight=False)
