"""The `grade` command: options, exit codes, and all that is printed."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.text import Text

import grader
from grader.authoring import load_assignment
from grader.cache_directory import default_cache_directory
from grader.errors import GraderError
from grader.pipeline import Options, grade_submission
from grader.progress import TerminalProgress
from grader.report.json import write_json
from grader.report.terminal import print_summary
from grader.results import Outcome, SubmissionResult
from grader.run_cache import CacheInfo, cache_info, clear_cache

EXIT_PASSED, EXIT_FELL_SHORT, EXIT_NO_GRADE, EXIT_INTERRUPTED = 0, 1, 3, 130

EXIT_CODES = """
\b
Exit codes:
  0    every automatic part that was graded passed
  1    graded, and something fell short
  2    the command was used wrongly
  3    the grader or the machine failed, so there is no grade
  130  stopped by Ctrl-C; what was finished is in the report
"""

EXAMPLES = """
\b
Examples:
  grade .                         check your own work before you hand it in
  grade . --quick                 everything but training, in seconds
  grade . --only 2C,3G            two parts
  grade . --practice              on the small practice set, without MNIST
  grade alice/ --data ~/mnist     with MNIST from a directory
"""


class _DefaultCommand(click.Group):
    """A group that takes `grade DIR` for `grade submission DIR`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] not in {"--help", "--version", "-h"}:
            args = ["submission", *args]
        return super().parse_args(ctx, args)


def _split(_context: click.Context, _parameter: click.Parameter, value: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in value.split(",") if name.strip())


def _split_seeds(
    _context: click.Context, _parameter: click.Parameter, value: str
) -> tuple[int, ...]:
    try:
        seeds = tuple(int(seed) for seed in value.split(",") if seed.strip())
    except ValueError:
        raise click.BadParameter("give whole numbers, such as 1,2,3") from None
    if any(not 0 <= seed < 2**31 for seed in seeds) or len(set(seeds)) < len(seeds):
        raise click.BadParameter("give different numbers from 0 to 2147483647")
    return seeds


@click.group(
    cls=_DefaultCommand,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=EXAMPLES + EXIT_CODES,
)
@click.version_option(grader.__version__, prog_name="grade")
def cli() -> None:
    """Grade deep-learning assignments whose answers are PyTorch models.

    `grade DIR` grades one submission: it runs the student's files in a sandbox, checks and trains
    their models, and leaves a report. See `grade submission --help` for its options.
    """


@cli.command(epilog=EXAMPLES + EXIT_CODES)
@click.argument("directory", type=click.Path(path_type=Path))
@click.option("--assignment", default="set4", show_default=True, help="Name, or an author's file.")
@click.option(
    "--data",
    "data_directory",
    type=click.Path(path_type=Path),
    help="Directory that holds MNIST in torchvision's layout (MNIST/raw). Otherwise GRADER_DATA, "
    "the cache and torchvision's download are tried.",
)
@click.option("--practice", is_flag=True, help="Use the embedded 5,000 digits. No grade.")
@click.option(
    "--only", default="", callback=_split, help="Parts to grade, such as 2C,3G or 1E.network."
)
@click.option(
    "--seeds",
    default="",
    callback=_split_seeds,
    help="Train with exactly these seeds, all of them, instead of the assignment's.",
)
@click.option("--quick", is_flag=True, help="Everything but training: what to run while writing.")
@click.option(
    "--cache/--no-cache",
    "use_cache",
    default=True,
    show_default=True,
    help="Keep training runs, and train nothing twice.",
)
@click.option("--full", is_flag=True, help="Train every epoch, even past a met threshold.")
@click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda"]),
    default="auto",
    show_default=True,
    help="Where to train; auto takes a GPU if there is one.",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("reports"),
    show_default=True,
    help="Where reports go: OUTPUT/NAME/report.html and result.json.",
)
@click.option("--unsafe-no-sandbox", "unsafe", is_flag=True, help="Run student code unprotected.")
@click.option("-q", "--quiet", is_flag=True, help="Print nothing but warnings and errors.")
@click.option("-v", "--verbose", is_flag=True, help="A line after every epoch.")
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
        graded = grade_submission(directory, loaded, chosen, progress)
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


@cli.group()
def cache() -> None:
    """Look at or clear the kept training runs."""


@cache.command("info")
def show_cache() -> None:
    """Say where the runs are kept, how many, and how large they are."""
    _say_cache(cache_info(default_cache_directory()))


@cache.command("clear")
def empty_cache() -> None:
    """Remove every kept run; data sets stay."""
    _say_cache(clear_cache(default_cache_directory()), "removed: ")


def _say_cache(info: CacheInfo, prefix: str = "") -> None:
    click.echo(f"{prefix}{info.entries} runs, {info.size_bytes / 1e6:.1f} MB, {info.directory}")


def exit_code(result: SubmissionResult) -> int:
    """The exit code of a finished grading."""
    outcomes = {item.outcome for item in result.items()}
    if Outcome.ERROR in outcomes:
        return EXIT_NO_GRADE
    return EXIT_FELL_SHORT if Outcome.FAILED in outcomes else EXIT_PASSED


def main() -> None:
    """Run the command; every error of the grader becomes a message and an exit code."""
    console = Console(stderr=True)
    try:
        cli.main(standalone_mode=False)
    except click.exceptions.Abort:
        console.print("stopped before anything was graded")
        sys.exit(EXIT_INTERRUPTED)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except GraderError as error:
        console.print(Text(f"error: {error}", style="bold red"), soft_wrap=True)
        if error.next_step:
            console.print(Text(f"what to do: {error.next_step}"), soft_wrap=True)
        sys.exit(error.exit_code)
