"""`grade completion SHELL`, and what is completed. Nothing here loads torch: it must be quick."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
from click.shell_completion import (
    BashComplete,
    CompletionItem,
    FishComplete,
    ShellComplete,
    ZshComplete,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from grader.assignment.records import Assignment


class _FishComplete(FishComplete):
    """click's own, but that what is completed may contain commas, as a list of parts does."""

    source_template = FishComplete.source_template.replace(
        'string split ","', 'string split --max 1 ","'
    )


_WRITERS: dict[str, type[ShellComplete]] = {
    "bash": BashComplete,
    "zsh": ZshComplete,
    "fish": _FishComplete,
}

EXAMPLES = """
\b
Examples:
  bash   mkdir -p ~/.local/share/bash-completion/completions
         grade completion bash > ~/.local/share/bash-completion/completions/grade
  zsh    mkdir -p ~/.zfunc
         grade completion zsh > ~/.zfunc/_grade
         and in ~/.zshrc, before compinit: fpath+=(~/.zfunc)
  fish   mkdir -p ~/.config/fish/completions
         grade completion fish > ~/.config/fish/completions/grade.fish

\b
Only for the shell that you are in:
  source <(grade completion bash)
  source <(grade completion zsh)
  grade completion fish | source
"""


@click.command(epilog=EXAMPLES)
@click.argument("shell", type=click.Choice(list(_WRITERS)))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the script with which SHELL completes `grade`: bash 4.4 or later, zsh, or fish.

    It completes commands, options, files, names of assignments, and parts after --only. Write it to
    where your shell looks, once, and open a new shell.
    """
    writer = _WRITERS[shell](context.find_root().command, {}, "grade", "_GRADE_COMPLETE")
    click.echo(writer.source())


def complete_assignments(
    _context: click.Context, _parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """The bundled assignments that begin like this, or else files, which may be an author's."""
    from grader.assignment.loading import bundled_assignments  # noqa: PLC0415 - only when completing

    names = [name for name in bundled_assignments() if name.startswith(incomplete)]
    return [CompletionItem(name) for name in names] or [CompletionItem(incomplete, type="file")]


def complete_parts(
    context: click.Context, _parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """The parts that can follow in a list such as "2C,3"; none twice.

    Only of a bundled assignment: completion runs no file.
    """
    from grader.assignment.loading import bundled_assignments, load_assignment  # noqa: PLC0415

    name = context.params["assignment"]
    if name not in bundled_assignments():
        return []
    chosen, comma, begun = incomplete.rpartition(",")
    taken = chosen.lower().split(",")
    return [
        CompletionItem(f"{chosen}{comma}{part}", help=title)
        for part, title in _list_parts(load_assignment(name))
        if part.lower().startswith(begun.lower()) and part.lower() not in taken
    ]


def _list_parts(assignment: Assignment) -> Iterator[tuple[str, str]]:
    """What --only understands, with titles: parts, and the items of those that have several."""
    for problem in assignment.problems:
        for part in problem.parts:
            yield part.id, part.title
            for item_id, item in part.item_ids():
                if item_id != part.id:
                    yield item_id, item.title
