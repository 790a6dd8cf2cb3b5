"""`grade gradescope`: the upload for Gradescope."""

from __future__ import annotations

from pathlib import Path

import click

from grader.assignment.loading import author_files, load_assignment
from grader.assignment.records import Assignment
from grader.cli.caller import OutputPath, shown_path
from grader.cli.options import assignment_option, practice_option
from grader.platforms.gradescope.settings import Settings
from grader.platforms.gradescope.upload import CPU_INDEX, build_upload

START_UP_SECONDS = 60.0
"""The grading must end this long before the container, start and end included."""
MEGABYTE = 1_000_000
GRADER_MEGABYTES = 650
"""Memory of the grader itself, as measured in docs/gradescope.md."""
LEAST_QUESTION_MEGABYTES = 100
MNIST_MEGABYTES, MNIST_MINUTES = 1536, 20
"""Enough for training on MNIST, as measured in docs/gradescope.md."""
MNIST_DATA_MEGABYTES = 54

EXAMPLES = """
\b
Examples:
  grade gradescope build                       set4
  grade gradescope build --leaderboard         with a leaderboard
  grade gradescope build --assignment mine.py  your own assignment
  grade gradescope build --minutes 40 --memory 1536
"""


@click.group(epilog=EXAMPLES)
def gradescope() -> None:
    """Grade on Gradescope: build the upload."""


@gradescope.command(epilog=EXAMPLES)
@click.option(
    "-o",
    "--to",
    "--output",
    "file",
    type=OutputPath(dir_okay=False),
    default=Path("autograder.zip"),
    show_default=True,
    help="The zip file to write.",
)
@assignment_option
@practice_option
@click.option(
    "--leaderboard", is_flag=True, help="Show all students the accuracies and sizes of the models."
)
@click.option(
    "--minutes",
    type=click.IntRange(2, 40),
    default=10,
    show_default=True,
    help="Time limit of the container, as set on Gradescope.",
)
@click.option(
    "--memory",
    "memory_megabytes",
    type=click.IntRange(min=768),
    default=768,
    show_default=True,
    help="Memory of the container in MB, as set on Gradescope.",
)
@click.option(
    "--data",
    "data_directory",
    help="Directory with the data in your own image. By default Gradescope downloads it when it "
    "builds the image.",
)
@click.option(
    "--index",
    "torch_index",
    default=CPU_INDEX,
    show_default=True,
    help="Package index for torch. PyPI's torch brings 5 GB of CUDA.",
)
def build(
    file: Path,
    assignment: str,
    *,
    practice: bool,
    leaderboard: bool,
    minutes: int,
    memory_megabytes: int,
    data_directory: str | None,
    torch_index: str,
) -> None:
    """Build the zip file for "Configure Autograder"."""
    loaded = load_assignment(assignment, needs_key=True)
    question_megabytes = max(LEAST_QUESTION_MEGABYTES, memory_megabytes - GRADER_MEGABYTES)
    upload = build_upload(
        Settings(
            assignment=assignment,
            practice=practice,
            leaderboard=leaderboard,
            data_directory=data_directory,
            question_memory_bytes=question_megabytes * MEGABYTE,
            time_limit_seconds=minutes * 60 - START_UP_SECONDS,
        ),
        author_files=author_files(assignment, loaded),
        torch_index=torch_index,
    )
    file.write_bytes(upload)
    manual = sum(item.points for _, item in loaded.item_ids() if item.graded_by_person)
    click.echo(f"{shown_path(file)}: {len(upload) / MEGABYTE:.1f} MB. On Gradescope, set:")
    click.echo(f"  autograder points  {loaded.points - manual:g}")
    if manual:
        click.echo(f"  manual grading     enabled; people give {manual:g} points")
    click.echo(f"  container          {memory_megabytes} MB of memory or more")
    click.echo(f"  timeout            {minutes} minutes")
    graded = loaded.for_practice() if practice else loaded
    _advise_on_size(graded, memory_megabytes=memory_megabytes, minutes=minutes)


def _advise_on_size(assignment: Assignment, *, memory_megabytes: int, minutes: int) -> None:
    """Print what a large data set needs, if the container has less."""
    sizes = {
        source.id: facts.megabytes
        for source in assignment.sources().values()
        if (facts := source.facts()) is not None
    }
    total = sum(sizes.values())
    # A data set is in memory twice, as in the doctor's check; MNIST's share was measured.
    needed = MNIST_MEGABYTES + 2 * max(0, round(total - MNIST_DATA_MEGABYTES))
    if total < MNIST_DATA_MEGABYTES:
        return
    if memory_megabytes < needed or minutes < MNIST_MINUTES:
        click.echo(
            f"That is little for training on {', '.join(sizes)}. Use a container with a whole "
            f"processor, and build with --memory {needed} --minutes {MNIST_MINUTES}."
        )
