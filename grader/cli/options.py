"""Options that several commands share, and how a shell completes them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec
from click.shell_completion import CompletionItem

from grader.assignment.records import Assignment
from grader.cli.caller import CallerPath, OutputPath, caller_directory

Command = TypeVar("Command", bound=Callable[..., Any])


def split_list(_context: click.Context, _parameter: click.Parameter, value: str) -> tuple[str, ...]:
    """Split an option's value at commas; a callback of click."""
    return tuple(name.strip() for name in value.split(",") if name.strip())


def _split_seeds(context: click.Context, parameter: click.Parameter, value: str) -> tuple[int, ...]:
    try:
        seeds = tuple(map(int, split_list(context, parameter, value)))
    except ValueError:
        raise click.BadParameter("give whole numbers, such as 1,2,3") from None
    if any(not 0 <= seed < 2**31 for seed in seeds) or len(set(seeds)) < len(seeds):
        raise click.BadParameter("give different numbers from 0 to 2147483647")
    return seeds


def _complete_assignments(
    _context: click.Context, _parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Complete bundled assignments, or else files: an author's own may be among them."""
    from grader.assignment.loading import bundled_assignments  # noqa: PLC0415 - only if needed

    names = [name for name in bundled_assignments() if name.startswith(incomplete)]
    return [CompletionItem(name) for name in names] or [CompletionItem(incomplete, type="file")]


def _complete_parts(
    context: click.Context, _parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Complete the last part of a list such as "2C,3" with parts that are not in the list yet."""
    from grader.assignment.loading import bundled_assignments, load_assignment  # noqa: PLC0415

    name = context.params["assignment"]
    if name not in bundled_assignments():  # completion must not run an author's file
        return []
    chosen, comma, begun = incomplete.rpartition(",")
    taken = chosen.lower().split(",")
    return [
        CompletionItem(f"{chosen}{comma}{part}", help=title)
        for part, title in _list_parts(load_assignment(name))
        if part.lower().startswith(begun.lower()) and part.lower() not in taken
    ]


def _list_parts(assignment: Assignment) -> Iterator[tuple[str, str]]:
    """Yield ids and titles of parts, and of the items of parts that have several."""
    for problem in assignment.problems:
        for part in problem.parts:
            yield part.id, part.title
            for item_id, item in part.item_ids():
                if item_id != part.id:
                    yield item_id, item.title


def option_group(*options: Callable[[Any], Any]) -> Callable[[Command], Command]:
    """Return a decorator that adds options, in the order in which `--help` lists them."""

    def add(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return add


def _locate_assignment(_context: click.Context, _option: click.Parameter, name: str) -> str:
    """Return the absolute path of an author's file or directory; a bundled one keeps its name."""
    from grader.assignment.loading import bundled_assignments  # noqa: PLC0415 - only if needed

    is_path = name not in bundled_assignments() and (
        name.endswith(".py") or (caller_directory() / name).is_dir()
    )
    return str(caller_directory() / name) if is_path else name


assignment_option = click.option(
    "--assignment",
    metavar="NAME|PATH",
    default="set4",
    show_default=True,
    callback=_locate_assignment,
    shell_complete=_complete_assignments,
    help="A bundled assignment, or an author's: a Python file, or a directory with assignment.py.",
)
_output = partial(
    click.option,
    "--output",
    type=OutputPath(file_okay=False),
    default=Path("reports"),
    show_default=True,
)
output_option = _output(
    "-o", help="Directory for reports: OUTPUT/NAME/report.html and result.json."
)
class_option = _output(help="The --output of `grade batch`, where the class is stored.")
data_option = click.option(
    "--data",
    "data_directory",
    type=CallerPath(),
    help="Directory with the data in torchvision's layout (MNIST/raw). By default: GRADER_DATA, "
    "then the cache, then a download.",
)
json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print the result as JSON, for other programs."
)

practice_results_option = click.option(
    "--practice", is_flag=True, help="Accept results on the practice set. They are not grades."
)
mixed_option = click.option(
    "--mixed",
    is_flag=True,
    help="Accept that students are graded by different versions of the assignment.",
)
practice_option = click.option(
    "--practice", is_flag=True, help="Use the small practice set. The result is not a grade."
)

grading_options = option_group(
    assignment_option,
    data_option,
    practice_option,
    click.option(
        "--only",
        metavar="PARTS",
        default="",
        callback=split_list,
        shell_complete=_complete_parts,
        help="Parts to grade, such as 2C,3G or 1E.network.",
    ),
    click.option(
        "--seeds",
        metavar="NUMBERS",
        default="",
        callback=_split_seeds,
        help="Train with all of these seeds, such as 1,2,3, instead of the assignment's.",
    ),
    click.option(
        "--cache/--no-cache",
        "use_cache",
        default=True,
        show_default=True,
        help="Keep training runs, and reuse them.",
    ),
    click.option(
        "--full", is_flag=True, help="Train every epoch, even after the threshold is reached."
    ),
    click.option(
        "--device",
        type=click.Choice(["auto", "cpu", "cuda"]),
        default="auto",
        show_default=True,
        help="Where to train; auto uses a GPU if there is one.",
    ),
    output_option,
    click.option("-q", "--quiet", is_flag=True, help="Print only warnings and errors."),
)
"""The options of `grade DIR` and `grade batch`: the fields of `Options`, and others."""


def print_json(value: Any) -> None:
    """Print records as JSON."""
    click.echo(msgspec.json.format(msgspec.json.encode(value, enc_hook=str), indent=2))
