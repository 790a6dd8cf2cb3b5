"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from grader.cli.completion import complete_assignments, complete_parts

Command = TypeVar("Command", bound=Callable[..., Any])


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


assignment_option = click.option(
    "--assignment",
    default="set4",
    show_default=True,
    shell_complete=complete_assignments,
    help="Name, or an author's file.",
)
output_option = click.option(
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("reports"),
    show_default=True,
    help="Where reports go: OUTPUT/NAME/report.html and result.json.",
)
data_option = click.option(
    "--data",
    "data_directory",
    type=click.Path(path_type=Path),
    help="Directory that holds MNIST in torchvision's layout (MNIST/raw). Otherwise GRADER_DATA, "
    "the cache and torchvision's download are tried.",
)
json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print the result as JSON, for other programs."
)

practice_results_option = click.option(
    "--practice", is_flag=True, help="Take results on the practice set too, which are no grades."
)

_GRADING_OPTIONS = (
    assignment_option,
    data_option,
    click.option("--practice", is_flag=True, help="Use the embedded 5,000 digits. No grade."),
    click.option(
        "--only",
        default="",
        callback=_split,
        shell_complete=complete_parts,
        help="Parts to grade, such as 2C,3G or 1E.network.",
    ),
    click.option(
        "--seeds",
        default="",
        callback=_split_seeds,
        help="Train with exactly these seeds, all of them, instead of the assignment's.",
    ),
    click.option(
        "--cache/--no-cache",
        "use_cache",
        default=True,
        show_default=True,
        help="Keep training runs, and train nothing twice.",
    ),
    click.option("--full", is_flag=True, help="Train every epoch, even past a met threshold."),
    click.option(
        "--device",
        type=click.Choice(["auto", "cpu", "cuda"]),
        default="auto",
        show_default=True,
        help="Where to train; auto takes a GPU if there is one.",
    ),
    output_option,
    click.option(
        "--unsafe-no-sandbox", "unsafe", is_flag=True, help="Run student code unprotected."
    ),
    click.option("-q", "--quiet", is_flag=True, help="Print nothing but warnings and errors."),
)


def grading_options(command: Command) -> Command:
    """Add what `grade DIR` and `grade batch` have in common: the fields of `pipeline.Options`,
    the assignment, the output and `--quiet`.
    """
    for option in reversed(_GRADING_OPTIONS):
        command = option(command)
    return command
