"""`grade assignment`: write, check, calibrate and publish an assignment."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from grader.assignment.loading import bundled_assignments, home_of, load_assignment
from grader.assignment.records import Assignment
from grader.cli.caller import CallerPath, OutputPath, caller_directory, shown_path
from grader.cli.options import data_option, practice_option
from grader.errors import UsageError
from grader.grading.options import Options
from grader.results import CheckResult

EXAMPLES = """
\b
Examples:
  grade assignment new course           a small complete assignment to change
  grade assignment check course         its mistakes, with file and line
  grade assignment calibrate course     thresholds for its models
  grade assignment template course      files for students to begin with
  grade assignment publish course -o kit
  grade batch submissions --assignment course
"""


def _locate(_context: click.Context, _parameter: click.Parameter, name: str) -> str:
    return name if name in bundled_assignments() else str(caller_directory() / name)


assignment_argument = click.argument("name", metavar="ASSIGNMENT", callback=_locate)
reference_option = click.option(
    "--reference",
    type=CallerPath(exists=True, file_okay=False),
    help="Your own solution. By default reference/ beside the assignment.",
)


@click.group(epilog=EXAMPLES)
def assignment() -> None:
    """Write, check, calibrate and publish an assignment.

    ASSIGNMENT is a directory with assignment.py, a Python file, or a bundled assignment's name.
    """


@assignment.command(epilog=EXAMPLES)
@click.argument("directory", type=OutputPath(file_okay=False))
def new(directory: Path) -> None:
    """Write a small complete assignment into DIRECTORY, on images that need no download.

    It has one item of each kind, a key, tests, a reference and a template, and can be graded.
    """
    from grader.authoring.starter import write_assignment  # noqa: PLC0415  # only if needed

    for file in write_assignment(directory):
        click.echo(f"{shown_path(directory)}/{file}")
    shown = shown_path(directory)
    click.echo(
        f"\nNext: change {shown}/assignment.py, {shown}/key.py and {shown}/reference/, then\n"
        f"  grade assignment check {shown}\n"
        f"  grade {shown}/reference --assignment {shown}"
    )


@assignment.command(epilog=EXAMPLES)
@assignment_argument
@reference_option
@click.option(
    "--template",
    type=CallerPath(exists=True, file_okay=False),
    help="The files that students begin with. By default template/ beside the assignment.",
)
@data_option
@practice_option
def check(
    name: str,
    reference: Path | None,
    template: Path | None,
    data_directory: Path | None,
    *,
    practice: bool,
) -> None:
    """Find the mistakes of ASSIGNMENT: each with file and line, all at once.

    Then grade the reference, which must earn everything, and the template, which must earn nothing.
    """
    from grader.authoring.checking import Sides, check_assignment, find_sides  # noqa: PLC0415
    from grader.report.progress import TerminalProgress  # noqa: PLC0415
    from grader.report.wording import counted  # noqa: PLC0415

    found = find_sides(name)
    sides = Sides(reference=reference or found.reference, template=template or found.template)
    options = Options(data_directory=data_directory, practice=practice)
    console = Console(stderr=True)
    with TerminalProgress(console, quiet=False, verbose=False) as progress:
        faults = list(check_assignment(name, sides, options, progress))
    for fault in faults:
        click.echo(f"{fault.where}: {fault.message}")
        if fault.next_step:
            click.echo(f"  next step: {fault.next_step}")
    if faults:
        click.echo(f"\n{counted(len(faults), 'mistake')}")
        sys.exit(1)
    click.echo("No mistake: the reference earns every point, the template none.")


@assignment.command(epilog=EXAMPLES)
@assignment_argument
@reference_option
@click.option(
    "--seeds",
    default=10,
    show_default=True,
    type=click.IntRange(3, 100),
    help="Runs of each model.",
)
@data_option
@practice_option
def calibrate(
    name: str,
    reference: Path | None,
    seeds: int,
    data_directory: Path | None,
    *,
    practice: bool,
) -> None:
    """Train the reference's models from many seeds, and propose thresholds.

    The chance is that of a model as good as the reference to fail, by the spread of its seeds.
    """
    from grader.authoring.calibration import (  # noqa: PLC0415
        calibrate as calibrated,
    )
    from grader.authoring.calibration import calibrated_items, write_patch  # noqa: PLC0415
    from grader.authoring.checking import find_sides  # noqa: PLC0415
    from grader.grading.pipeline import grade_submission  # noqa: PLC0415
    from grader.report.progress import TerminalProgress  # noqa: PLC0415

    loaded = load_assignment(name)
    directory = reference or find_sides(name).reference
    if directory is None:
        raise UsageError("there is no reference to train", next_step="give --reference DIRECTORY")
    items = calibrated_items(loaded)
    if not items:
        click.echo("Nothing is trained in this assignment, so there is nothing to calibrate.")
        return
    options = Options(
        data_directory=data_directory,
        practice=practice,
        may_fall_back=False,
        seeds=tuple(range(1, seeds + 1)),
        full=True,
        only=tuple(items),
    )
    with TerminalProgress(Console(stderr=True), quiet=False, verbose=False) as progress:
        graded = grade_submission(directory, loaded, options, progress).result
    practised = loaded.for_practice() if practice else loaded
    rows = list(calibrated(practised, graded))
    missing = [item_id for item_id in items if item_id not in {row.item_id for row in rows}]
    table = Table(box=None, pad_edge=False)
    for heading in ("item", "mean", "std", "threshold", "fails by chance", "proposed", "time"):
        table.add_column(heading, justify="left" if heading == "item" else "right")
    for row in rows:
        show = row.metric.show
        table.add_row(
            row.item_id,
            show(row.mean),
            show(row.deviation),
            show(row.threshold),
            f"{row.chance:.1%}",
            show(row.proposed),
            f"{row.seconds:.1f} s",
        )
    Console().print(table)
    click.echo(
        f"\n{seeds} seeds. A student's model costs about the time shown on one core of this "
        "machine. A model as good as the reference fails a proposed threshold in at most 1% of "
        "gradings."
    )
    for item_id in missing:
        click.echo(
            f"{item_id}: the reference's model was not trained; see `grade assignment check`"
        )
    proposed = {row.item_id: row.proposed for row in rows if row.proposed != row.threshold}
    file = home_of(name) / "assignment.py" if Path(name).is_dir() else Path(name)
    if proposed and not practice and file.is_file():
        click.echo(write_patch(file, proposed), nl=False)


@assignment.command(epilog=EXAMPLES)
@assignment_argument
@reference_option
@click.option(
    "-o",
    "--output",
    type=OutputPath(file_okay=False),
    help="A new directory. By default template/ beside the assignment.",
)
@click.option("--overwrite", is_flag=True, help="Replace files that are already there.")
def template(name: str, reference: Path | None, output: Path | None, *, overwrite: bool) -> None:
    """Write the files that students begin with, from ASSIGNMENT and its reference.

    Regions between `# BEGIN SOLUTION` and `# END SOLUTION`, and lines that end in `# SOLUTION`,
    become `# YOUR CODE`. A file without such marks keeps its imports, signatures and docstrings.
    """
    from grader.authoring.checking import find_sides  # noqa: PLC0415
    from grader.authoring.kit import write_files  # noqa: PLC0415
    from grader.authoring.stubs import make_template  # noqa: PLC0415

    loaded = load_assignment(name)
    directory = reference or find_sides(name).reference or Path("no reference")
    files = make_template(loaded, directory)
    target = output or home_of(name) / "template"
    if not overwrite and target.is_dir() and any(target.iterdir()):
        raise UsageError(
            f"{shown_path(target)} is not empty",
            next_step="give --overwrite to replace its files, or name another directory with -o",
        )
    write_files({file: text.encode() for file, text in files.items()}, target, overwrite=True)
    for file in files:
        click.echo(f"{shown_path(target)}/{file}")


@assignment.command(epilog=EXAMPLES)
@assignment_argument
def show(name: str) -> None:
    """Print what ASSIGNMENT asks for, as Markdown for a handout."""
    from grader.authoring.handout import write_handout  # noqa: PLC0415

    click.echo(write_handout(load_assignment(name)), nl=False)


@assignment.command(epilog=EXAMPLES)
@assignment_argument
@click.option(
    "-o",
    "--output",
    type=OutputPath(file_okay=False),
    required=True,
    help="A new directory for the kit.",
)
@click.option(
    "--template",
    "template_directory",
    type=CallerPath(exists=True, file_okay=False),
    help="The files that students begin with. By default template/ beside the assignment.",
)
@click.option(
    "--install",
    metavar="SPEC",
    default="PATH_OF_THE_GRADER",
    help="What `pip install` is given in the kit's README: an address that begins with "
    "git+https://, or a wheel.",
)
def publish(name: str, output: Path, template_directory: Path | None, install: str) -> None:
    """Write the students' kit, and prove that nothing private is in it.

    The kit holds the public half of ASSIGNMENT, its visible tests, the template, the tasks, a
    workflow for GitHub and a README. No accepted value, model answer or hidden test may be found in
    it, or nothing is written.
    """
    from grader.authoring.checking import find_sides  # noqa: PLC0415
    from grader.authoring.kit import find_leaks, make_kit, unsearched, write_files  # noqa: PLC0415

    loaded = load_assignment(name, needs_key=True)
    directory = template_directory or find_sides(name).template
    if directory is None:
        raise UsageError(
            "there is no template for students to begin with",
            next_step="write it with `grade assignment template`, or give --template DIRECTORY",
        )
    tests = _rehearse(loaded)
    files = make_kit(name, loaded, directory, tests, install)
    leaks = list(find_leaks(files, loaded, [each for checks in tests.values() for each in checks]))
    if leaks:
        for leak in leaks:
            click.echo(f"{leak.file}:{leak.line}: holds {leak.what}")
        raise UsageError(
            "the kit would give answers away, so it was not written",
            next_step="take them out of the public half, the visible tests and the template",
        )
    write_files(files, output)
    for file in sorted(files):
        click.echo(f"{shown_path(output)}/{file}")
    click.echo("\nNo accepted value, model answer or hidden test was found in these files.")
    if short := unsearched(loaded):
        click.echo(f"Too short to search for: the accepted values of {', '.join(short)}.")
    if install == "PATH_OF_THE_GRADER":
        click.echo("Give --install, so that the README says how students get the grader.")
    click.echo("Put the owner and the commit of your copy of the grader into the workflow.")


def _rehearse(loaded: Assignment) -> Mapping[str, tuple[CheckResult, ...]]:
    """Return the tests of every item of functions, as they are before they are run."""
    from grader.grading.stages import start_tests  # noqa: PLC0415

    with start_tests(loaded, Options()) as tests:
        return tests.require_sound_tests().checks
