"""`grade DIR`: one submission, its report and its exit code."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource
from rich.console import Console

from grader.assignment.loading import load_assignment
from grader.cli.caller import CallerPath, OutputPath, caller_directory, shown_path
from grader.cli.exit_codes import EXIT_CODES, EXIT_INTERRUPTED, exit_code
from grader.cli.named_assignment import find_named_assignment
from grader.cli.options import grading_options, json_option
from grader.errors import UsageError
from grader.grading.options import Options
from grader.grading.pipeline import grade_submission
from grader.platforms.github.fence import fenced_log
from grader.report.files import write_reports
from grader.report.json import render_json
from grader.report.progress import TerminalProgress
from grader.results import Outcome
from grader.sandbox.isolation.own_work import OPTION

EXAMPLES = """
\b
Examples:
  grade .                      check your own work before you hand it in
  grade . --quick              everything but training, in seconds
  grade . --show               what was found in your files, and where
  grade . --only 2C,3G         two parts
  grade set4.ipynb --quick     one notebook with all problems
  grade . --practice           on the practice set; not a grade
  grade alice/ --data ~/mnist  with the data from a directory
  grade . --junit junit.xml    also JUnit XML, a test case for each check
  grade . --quick --json       the result for another program
  grade . --own-work           without a sandbox: macOS, Windows
"""


@click.command(epilog=EXAMPLES + EXIT_CODES)
@click.argument("directory", type=CallerPath())
@click.option("--quick", is_flag=True, help="Everything but training, in seconds.")
@click.option(
    "--show",
    is_flag=True,
    help="Print what would be graded, with file, cell or line, model and recipe; grade nothing.",
)
@click.option("-v", "--verbose", is_flag=True, help="Print a line after every epoch.")
@click.option(
    "--junit",
    type=OutputPath(dir_okay=False),
    metavar="FILE",
    help="Also write the result as JUnit XML.",
)
@json_option
@click.option(
    OPTION,
    "own_work",
    is_flag=True,
    help="Run your own work without a sandbox, on systems that have none (macOS, Windows).",
)
@grading_options
@click.pass_context
def submission(
    context: click.Context,
    /,
    directory: Path,
    assignment: str,
    output: Path,
    *,
    quiet: bool,
    verbose: bool,
    junit: Path | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Grade the submission in DIRECTORY and write a report.

    Inside GitHub Actions it also writes the run's summary and GitHub Classroom's output, and
    annotates the lines that need fixing.
    """
    error_console = Console(stderr=True)
    refuse_option_as_file(own_work=options["own_work"])
    chosen = Options(**options, may_fall_back=not os.environ.get("CI"))
    is_default = context.get_parameter_source("assignment") is ParameterSource.DEFAULT
    if is_default and (named := find_named_assignment(directory)):
        # Anybody may have written the file, so nobody is graded by it unawares.
        assignment = named
        shown = shown_path(Path(named)) if Path(named).is_absolute() else named
        said = f"the assignment is {shown}, named by grader.toml"
        error_console.print(said, style="dim", markup=False)
    loaded = load_assignment(assignment, submission=directory)
    with fenced_log():
        with TerminalProgress(error_console, quiet=quiet, verbose=verbose) as progress:
            graded = grade_submission(
                directory, loaded, chosen, progress, while_waiting=_load_report
            )
        if chosen.show:
            if as_json:
                click.echo(render_json(graded.result), nl=False)
            else:
                from grader.report.preview import print_preview  # noqa: PLC0415

                print_preview(graded.result, Console())
            return
        report = write_reports(graded.result, output / graded.result.name)
        if junit is not None:
            from grader.report.junit import render_junit  # noqa: PLC0415

            junit.parent.mkdir(parents=True, exist_ok=True)
            junit.write_text(render_junit(graded.result), encoding="utf-8")
        if not quiet and not as_json:
            from grader.report.terminal import print_summary  # noqa: PLC0415

            print_summary(graded.result, Console(), shown_path(report))
        if graded.interrupted:
            error_console.print(
                f"stopped; {shown_path(report)} holds what was finished", soft_wrap=True
            )
    if as_json:
        click.echo(render_json(graded.result), nl=False)
    from grader.platforms.github.actions import report_to_actions  # noqa: PLC0415

    report_to_actions(graded.result, directory)
    outcomes = {item.outcome for item in graded.result.items()}
    code = exit_code(error=Outcome.ERROR in outcomes, failed=Outcome.FAILED in outcomes)
    sys.exit(EXIT_INTERRUPTED if graded.interrupted else code)


def refuse_option_as_file(*, own_work: bool) -> None:
    """Raise if the option may be the name of a file, which `grade *` would put on the command line.

    Raises:
        UsageError: the option is given, and a file of that name lies in the current directory.
    """
    if own_work and os.path.lexists(caller_directory() / OPTION):
        raise UsageError(
            f"a file is named {OPTION}, so the shell may have typed that option",
            next_step="delete the file, or grade from another directory",
        )


def _load_report() -> None:
    """Load the reports' writers while the grader waits for the sandbox."""
    from grader.report.html import load_ahead  # noqa: PLC0415

    load_ahead()
    for name in ("report.terminal", "platforms.github.actions"):
        import_module(f"grader.{name}")
