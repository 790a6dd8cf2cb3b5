"""`grade gradescope`: the upload for Gradescope."""

from __future__ import annotations

from pathlib import Path

import click

from grader.assignment.loading import load_assignment
from grader.cli.options import assignment_option

START_UP_SECONDS = 60.0
"""How much sooner than the container the grading must end, its start and its end included."""
MEGABYTE = 1_000_000
GRADER_MEGABYTES = 650
"""What the grader itself takes, as measured: docs/gradescope.md."""
LEAST_QUESTION_MEGABYTES = 100
MNIST_MEGABYTES, MNIST_MINUTES = 1536, 20
"""What leaves room for training on MNIST: docs/gradescope.md."""

EXAMPLES = """
\b
Examples:
  grade gradescope build                              set4 on MNIST, as autograder.zip
  grade gradescope build --leaderboard                with accuracies and sizes of models
  grade gradescope build --assignment mine.py         your own assignment
  grade gradescope build --minutes 40 --memory 1536   as set in the assignment's settings there
"""


@click.group(epilog=EXAMPLES)
def gradescope() -> None:
    """Grade on Gradescope: build what is uploaded there."""


@gradescope.command(epilog=EXAMPLES)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("autograder.zip"),
    show_default=True,
    help="The zip file to write.",
)
@assignment_option
@click.option("--practice", is_flag=True, help="Use the embedded 5,000 digits. No grade.")
@click.option("--leaderboard", is_flag=True, help="Show accuracies and sizes of models to all.")
@click.option(
    "--minutes",
    type=click.IntRange(2, 40),
    default=10,
    show_default=True,
    help="The container's time limit, as set on Gradescope.",
)
@click.option(
    "--memory",
    "memory_megabytes",
    type=click.IntRange(min=768),
    default=768,
    show_default=True,
    help="The container's memory in MB, as set on Gradescope.",
)
@click.option(
    "--data",
    "data_directory",
    help="Directory of the image that holds MNIST, for an image of your own. Otherwise MNIST is "
    "downloaded when Gradescope builds the image.",
)
@click.option(
    "--index",
    "torch_index",
    help="Package index that torch comes from. By default PyTorch's own for machines without a "
    "GPU: PyPI's torch brings 5 GB of CUDA.",
)
def build(
    output: Path,
    assignment: str,
    *,
    practice: bool,
    leaderboard: bool,
    minutes: int,
    memory_megabytes: int,
    data_directory: str | None,
    torch_index: str | None,
) -> None:
    """Build the zip file for "Configure Autograder"."""
    from grader.platforms.gradescope.settings import Settings  # noqa: PLC0415
    from grader.platforms.gradescope.upload import CPU_INDEX, build_upload  # noqa: PLC0415

    loaded = load_assignment(assignment)
    question_megabytes = max(LEAST_QUESTION_MEGABYTES, memory_megabytes - GRADER_MEGABYTES)
    upload = build_upload(
        loaded,
        Settings(
            assignment=assignment,
            practice=practice,
            leaderboard=leaderboard,
            data_directory=data_directory,
            question_memory_bytes=question_megabytes * MEGABYTE,
            time_limit_seconds=minutes * 60 - START_UP_SECONDS,
        ),
        assignment_file=Path(assignment) if assignment.endswith(".py") else None,
        torch_index=torch_index or CPU_INDEX,
    )
    output.write_bytes(upload.content)
    click.echo(f"{output}: {len(upload.content) / MEGABYTE:.1f} MB. On Gradescope, set:")
    click.echo(f"  autograder points  {upload.automatic_points:g}")
    if upload.manual_points:
        click.echo(f"  manual grading     enabled; {upload.manual_points:g} points for people")
    click.echo(f"  container          {memory_megabytes} MB of memory or more")
    click.echo(f"  timeout            {minutes} minutes")
    if not practice and (memory_megabytes < MNIST_MEGABYTES or minutes < MNIST_MINUTES):
        click.echo(
            "That is tight for training on MNIST. Better take a container with a whole processor, "
            f"and build with --memory {MNIST_MEGABYTES} --minutes {MNIST_MINUTES}."
        )
