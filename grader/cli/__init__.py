"""The `grade` command: options, exit codes, and all that is printed.

Each command is a module of this package. It is loaded only when it is used, so that no command
waits for what another one needs.
"""

from __future__ import annotations

import importlib
import io
import os
import sys
import traceback

import click
from click.shell_completion import CompletionItem, FishComplete, add_completion_class
from rich.console import Console
from rich.text import Text

import grader
from grader.cli.caller import caller_directory
from grader.cli.exit_codes import EXIT_CODES, EXIT_INTERRUPTED, EXIT_NO_GRADE
from grader.errors import GraderError
from grader.platforms.github.fence import fenced_log
from grader.text import clean_line, did_you_mean

DEFAULT_COMMAND = "submission"

_COMMANDS = {
    "submission": "Grade one submission; `grade DIR` does the same.",
    "batch": "Grade a class, and write the class page.",
    "assignment": "Write, check, calibrate and publish an assignment.",
    "class": "Show a class's settings, and say who is in it.",
    "history": "List the runs that graded a class, or a student's grades.",
    "undo": "Take the last run that graded a class back.",
    "diff": "List the students whose grade changed in the last regrade.",
    "review": "Grade written answers on a local web page.",
    "override": "Decide the points of an item, a part or the whole.",
    "release": "Write the reports for students, and the gradebook.",
    "export": "Write the class's points for a gradebook.",
    "backup": "Write all that is known of a class to one file.",
    "cache": "Show or clear the cached training runs.",
    "gradescope": "Build the upload for grading on Gradescope.",
    "doctor": "Check this machine, and say how to fix what does not work.",
}
"""The purpose of each command, by its name; its module and its function have the same name."""
_RENAMED = {"class": ("classes", "class_group")}
"""Modules and functions of commands whose names are Python's."""

EXAMPLES = """
\b
Examples:
  grade .                  check your own work
  grade . --quick          everything but training
  grade submission --help  all options for one submission
  grade doctor             check this machine
"""

COMPLETION = """
\b
Tab completion, by a line in your shell's start-up file:
  bash  eval "$(_GRADE_COMPLETE=bash_source grade)"
  zsh   eval "$(_GRADE_COMPLETE=zsh_source grade)"
  fish  _GRADE_COMPLETE=fish_source grade | source
"""


@add_completion_class
class _FishComplete(FishComplete):
    """Let completed values contain commas, as a list of parts does; click's script cuts there."""

    source_template = FishComplete.source_template.replace(
        'string split ","', 'string split --max 1 ","'
    )


class _LazyGroup(click.Group):
    """A group that loads a command when it is used; `grade DIR` means `grade submission DIR`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and args[0] not in _COMMANDS and args[0] not in {"--help", "--version", "-h"}:
            _refuse_mistyped(args[0])
            args = [DEFAULT_COMMAND, *args]
        return super().parse_args(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module, name = _RENAMED.get(cmd_name, (cmd_name, cmd_name))
        command = getattr(importlib.import_module(f"{__name__}.{module}"), name)
        assert isinstance(command, click.Command)  # noqa: S101  # _COMMANDS is ours
        return command

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete commands, or else directories; load no command."""
        if incomplete.startswith("-"):
            return click.Command.shell_complete(self, ctx, incomplete)
        commands = [
            CompletionItem(name, help=purpose)
            for name, purpose in _COMMANDS.items()
            if name.startswith(incomplete)
        ]
        return commands or [CompletionItem(incomplete, type="dir")]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))


def _refuse_mistyped(word: str) -> None:
    """Raise `click.UsageError` for a word that is nearly a command, and no directory."""
    hint = did_you_mean(word, _COMMANDS)
    if word.isalpha() and hint and not (caller_directory() / word).exists():
        raise click.UsageError(f"there is no command and no directory {word!r}{hint}")


@click.group(
    cls=_LazyGroup,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=EXAMPLES + COMPLETION + EXIT_CODES,
)
@click.version_option(grader.__version__, prog_name="grade")
def cli() -> None:
    """Grade deep-learning assignments whose answers are PyTorch models.

    `grade DIR` grades one submission: it runs the student's files in a sandbox, checks and trains
    the student's models, and writes a report. `grade submission --help` lists the options.
    """


def main() -> None:
    """Run the command; turn every error into a message and an exit code."""
    for stream in (sys.stdout, sys.stderr):
        # On Windows a file or a pipe would get the code page, which lacks arrows and frames.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")
    try:
        cli.main(standalone_mode=False)
    except Exception as error:  # noqa: BLE001  # a bug in the grader must give no grade, not exit code 1
        with fenced_log():
            code = _explain(error)
        sys.exit(code)


def _explain(error: Exception) -> int:
    """Print what went wrong and what to do; return the exit code."""
    console = Console(stderr=True)
    match error:
        case click.exceptions.Abort():
            console.print("stopped before anything was graded")
            return EXIT_INTERRUPTED
        case click.ClickException():
            error.show()
            return error.exit_code
        case GraderError():
            console.print(Text(f"error: {error}", style="bold red"), soft_wrap=True)
            if error.next_step:
                console.print(Text(f"what to do: {error.next_step}"), soft_wrap=True)
            return error.exit_code
        case OSError() if error.filename and error.strerror:
            place = clean_line(os.fsdecode(error.filename))
            console.print(Text(f"error: {place}: {error.strerror}", style="bold red"))
            console.print(
                Text("what to do: check the permissions and the free space, or use another place")
            )
            return EXIT_NO_GRADE
    traceback.print_exception(error)
    console.print(Text("error: the grader failed, so there is no grade", style="bold red"))
    return EXIT_NO_GRADE
