"""`grade DIR`: one submission, its report and its exit code."""

from __future__ import annotations

import os
import sys
from functools import partial
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from grader.authoring import load_assignment
from grader.cli.exit_codes import EXIT_CODES, EXIT_INTERRUPTED, exit_code
from grader.cli.options import grading_options
from grader.pipeline import grade_submission
from grader.progress import TerminalProgress
from grader.report.json import write_json
from grader.report.terminal import print_summary
from grader.stages import Options

EXAMPLES = """
\b
Examples:
  grade .                         check your own work before you hand it in
  grade . --quick                 everything but training, in seconds
  grade . --only 2C,3G            two parts
  grade . --practice              on the small practice set, without MNIST
  grade alice/ --data ~/mnist     with MNIST from a directory
"""


@click.command(epilog=EXAMPLES + EXIT_CODES)
@click.argument("directory", type=click.Path(path_type=Path))
@click.option("--quick", is_flag=True, help="Everything but training: what to run while writing.")
@click.option("-v", "--verbose", is_flag=True, help="A line after every epoch.")
@grading_options
def submission(
    directory: Path,
    assignment: str,
    output: Path,
    *,
    quiet: bool,
    verbose: bool,
    **options: Any,
) -> None:
    """Grade the submission in DIRECTORY and write a report."""
    error_console = Console(stderr=True)
    chosen = Options(**options, may_fall_back=not os.environ.get("CI"))
    loaded = load_assignment(assignment, submission=directory)
    with TerminalProgress(error_console, quiet=quiet, verbose=verbose) as progress:
        graded = grade_submission(
            directory, loaded, chosen, progress, meanwhile=partial(_load_report, chosen)
        )
    from grader.report.html import write_html  # noqa: PLC0415  # its plots need half a second

    folder = output / graded.result.name
    report = folder / "report.html"
    folder.mkdir(parents=True, exist_ok=True)
    write_json(graded.result, folder / "result.json")
    write_html(graded.result, report)
    if not quiet:
        print_summary(graded.result, Console(), report)
    if graded.interrupted:
        error_console.print(f"stopped; what was finished is in {report}")
        sys.exit(EXIT_INTERRUPTED)
    sys.exit(exit_code(graded.result))


def _load_report(options: Options) -> None:
    """Load what writes the report, while there is nothing else to do."""
    from grader.report.html import load_ahead  # noqa: PLC0415

    load_ahead(charts=not options.quick)
