"""`grade batch SUBMISSIONS/`: a class, its store and its page."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from grader.assignment.loading import load_assignment
from grader.cli.caller import CallerPath, shown_path
from grader.cli.class_progress import ClassProgress
from grader.cli.class_settings import CHANGE, SETTINGS_NAME, kept_settings, settle
from grader.cli.exit_codes import EXIT_CODES, EXIT_INTERRUPTED, exit_code
from grader.cli.options import grading_options, json_option, option_group, print_json, split_list
from grader.cohort.batch import (
    ALL_STUDENTS,
    ClassRequest,
    ClassTotals,
    count_totals,
    grade_class,
    locked,
)
from grader.cohort.class_page import is_page_current, update_class_page
from grader.cohort.late_policy import LatePolicy, find_timezone, read_time
from grader.cohort.store import STORE_NAME
from grader.errors import UsageError
from grader.grading.options import Options
from grader.intake.roster import read_roster
from grader.platforms.github.fence import fenced_log
from grader.report.files import CLASS_PAGE_NAME
from grader.review.store import ReviewStore
from grader.sandbox.isolation.own_work import OPTION

EXAMPLES = """
\b
Examples:
  grade batch class/                      the first time
  grade batch class/                      later: only new work
  grade batch class.zip --roster all.csv  with a roster
  grade batch class/ --regrade alice,bob  these two again
  grade batch class/ --due 2026-03-01 --penalty-per-day 0.1
"""

_late_options = option_group(
    click.option(
        "--due",
        metavar="TIME",
        help="Deadline, such as '2026-03-01 23:59'. Without it, no submission is late.",
    ),
    click.option(
        "--timezone",
        metavar="NAME",
        help="Time zone of --due and of the roster. [default: this machine's]",
    ),
    click.option(
        "--grace-minutes",
        metavar="MINUTES",
        type=click.IntRange(min=0),
        default=0,
        show_default=True,
        help="Minutes after the deadline that still count as in time.",
    ),
    click.option(
        "--penalty-per-day",
        metavar="SHARE",
        type=click.FloatRange(0, 1),
        default=0.0,
        show_default=True,
        help="Share of the earned points that each started day takes.",
    ),
    click.option(
        "--penalty-floor",
        "floor",
        metavar="SHARE",
        type=click.FloatRange(0, 1),
        default=0.0,
        show_default=True,
        help="Share of the earned points that always remains.",
    ),
    click.option(
        "--maximum-days-late",
        "maximum_days",
        metavar="DAYS",
        type=click.IntRange(min=0),
        help="No points if the submission is more days late than this.",
    ),
    click.option(
        "--slip-days",
        metavar="DAYS",
        type=click.IntRange(min=0),
        default=0,
        show_default=True,
        help="Free late days of each student over the term, less the roster's slip_days_used.",
    ),
    click.option(
        "--at-deadline",
        is_flag=True,
        help="Of a Git clone, grade the last commit before the deadline, by the committer's clock.",
    ),
)


OPEN_SCHEDULER = (
    "everyone who reaches this scheduler can run programs as you, on its workers and here. Start "
    "it with --protocol tls, and name it as tls://HOST:PORT; docs/scaling.md says how."
)


def _refuse_own_work(_context: click.Context, _option: click.Parameter, value: bool) -> None:  # noqa: FBT001 - click passes it so
    if value:
        raise UsageError(
            f"{OPTION} is refused: a class's code runs in a sandbox only",
            next_step="grade the class on Linux, or in WSL2 on Windows",
        )


@click.command(epilog=EXAMPLES + EXIT_CODES)
@click.argument("submissions", type=CallerPath())
@click.option(
    "--roster",
    type=CallerPath(dir_okay=False),
    help="CSV of the students: id, name, email and any other columns.",
)
@click.option(
    "--regrade",
    metavar="IDS",
    default="",
    callback=split_list,
    help=f"Ids of students to grade again, such as alice,bob, or {ALL_STUDENTS}.",
)
@click.option(
    "--template",
    type=CallerPath(file_okay=False, exists=True),
    help="Directory with the starter code. Ignored when submissions are compared.",
)
@click.option(
    "--earlier",
    type=CallerPath(),
    multiple=True,
    help="The --output of an earlier term, whose work is compared with this class's. Repeatable.",
)
@click.option(
    "--scheduler",
    metavar="ADDRESS",
    help="Train on the workers of the Dask scheduler at tcp://HOST:PORT or tls://HOST:PORT.",
)
@click.option(OPTION, is_flag=True, hidden=True, expose_value=False, callback=_refuse_own_work)
@click.option(CHANGE, is_flag=True, help="Grade by other settings than this class's so far.")
@_late_options
@grading_options
@json_option
@click.pass_context
def batch(
    context: click.Context,
    /,
    submissions: Path,
    output: Path,
    regrade: tuple[str, ...],
    *,
    quiet: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Grade every student in SUBMISSIONS and write the class page OUTPUT/index.html.

    SUBMISSIONS holds a folder or an archive for each student, or is a download from Canvas, Moodle
    or Gradescope. Run the command again after an interruption, or after new submissions: it grades
    only submissions that are new, have changed or ended in an error. What was
    given the first time (assignment, roster, due date, seeds, --practice) holds until
    --change-settings; `grade class show` prints it.
    """
    error_console = Console(stderr=True)
    settled = settle(context, output, options)
    assignment = load_assignment(settled["assignment"], submission=submissions, needs_key=True)
    roster, template, earlier = (settled[name] for name in ("roster", "template", "earlier"))
    options = {
        name: value
        for name, value in settled.items()
        if name not in {"assignment", "roster", "template", "earlier", "change_settings"}
    }
    request = ClassRequest(
        directory=submissions,
        output=output,
        at_deadline=options["at_deadline"],
        late_policy=_late_policy(options),
        assignment=assignment,
        options=Options(**options, may_fall_back=False, shows_hidden=True),
        roster=read_roster(roster) if roster else None,
        regrade=frozenset(regrade),
    )
    page = output / CLASS_PAGE_NAME
    with fenced_log(), ClassProgress(error_console, quiet=quiet) as progress:
        if is_open_scheduler(request.options.scheduler or ""):
            progress.warn(OPEN_SCHEDULER)
        try:
            with locked(output), ReviewStore(output / STORE_NAME) as store:
                store.begin_run(_purpose_of(request), SETTINGS_NAME)
                with kept_settings(store, settled, assignment):
                    try:
                        grade_class(request, store, progress)
                    finally:
                        _write_page(request, store, template, earlier, progress)
                totals = count_totals(store.summaries())
        except KeyboardInterrupt:
            error_console.print(
                f"stopped; finished students are in {page}. Run the same command to continue",
                soft_wrap=True,
            )
            sys.exit(EXIT_INTERRUPTED)
    if as_json:
        print_json(totals)
    elif not quiet:
        _print_totals(totals, page)
    sys.exit(exit_code(error=totals.error > 0, failed=totals.fell_short + totals.unusable > 0))


def _purpose_of(request: ClassRequest) -> str:
    """Return what a run of the command does, for `grade history`."""
    purpose = f"graded by {request.assignment.id}"
    if request.options.only:
        purpose += f", only {', '.join(request.options.only)}"
    if request.regrade:
        purpose += f", again for {', '.join(sorted(request.regrade))}"
    return purpose


def is_open_scheduler(address: str) -> bool:
    """Return True if other machines can reach a scheduler without a certificate."""
    host = urlsplit(address).hostname or ""
    return address.startswith("tcp:") and host not in {"localhost", "127.0.0.1", "::1"}


def _write_page(
    request: ClassRequest,
    store: ReviewStore,
    template: Path | None,
    earlier: Sequence[Path],
    progress: ClassProgress,
) -> None:
    """Apply people's judgements to new gradings and write the class page, unless it is current."""
    if is_page_current(store, request.output, template, earlier):
        return
    from grader.review.publishing import hand_on_judgements, publish  # noqa: PLC0415 - slow
    from grader.review.rubrics import keep_rubrics  # noqa: PLC0415 - slow

    progress.stage("writing the class page")
    keep_rubrics(store, request.assignment)
    hand_on_judgements(store, request.output)
    publish(store, request.assignment, request.output)
    title = request.assignment.title
    remarks = update_class_page(
        store, request.output, title=title, template=template, earlier=earlier
    )
    for remark in remarks:
        progress.warn(remark)


_RULES = ("penalty_per_day", "floor", "maximum_days", "slip_days")


def _late_policy(options: dict[str, Any]) -> LatePolicy | None:
    """Remove the options of the late policy from `options`, and return the policy.

    Raises:
        UsageError: the deadline cannot be read, or a rule is given without a deadline.
    """
    names = "due", "timezone", "grace_minutes", "at_deadline"
    due, timezone, minutes, at_deadline = (options.pop(name) for name in names)
    rules = {name: options.pop(name) for name in _RULES}
    if due is not None:
        moment = read_time(due, find_timezone(timezone), what="--due")
        return LatePolicy(due=moment, grace=timedelta(minutes=minutes), **rules)
    if timezone or minutes or at_deadline or any(rules.values()) or rules["maximum_days"] == 0:
        raise UsageError("the late policy needs a deadline", next_step="give it with --due")
    return None


def _print_totals(totals: ClassTotals, page: Path) -> None:
    table = Table.grid(padding=(0, 2, 0, 0))
    for count, meaning in (
        (totals.passed, "passed every automatic part"),
        (totals.fell_short, "failed at least one part"),
        (totals.unusable, "submitted nothing that can be graded"),
        (totals.error, "have no grade or an earlier one, because grading failed; run it again"),
        (totals.unknown, "are nobody's for certain; see `Needs a person` on the class page"),
        (totals.missing, "are on the roster but submitted nothing"),
        (totals.pending, "have answers that a person must grade"),
        (totals.borderline, "have an accuracy so close to its threshold that chance may decide"),
    ):
        if count:
            table.add_row(Text(f"{count}", justify="right"), meaning)
    console = Console()
    console.print(table)
    console.print(f"class page: {shown_path(page)}", soft_wrap=True)
