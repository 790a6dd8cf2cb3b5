"""GitHub's runner as the grader meets it: its variables and files, and what it obeys in a log.

Which lines are commands is what `ActionCommand.cs` and `ActionCommandManager.cs` of actions/runner
do: two syntaxes, one of them anywhere in a line, and a token that stops and resumes both.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

_NAMES = {
    *("add-mask", "add-matcher", "add-path", "debug", "echo", "endgroup", "error", "group"),
    *("notice", "remove-matcher", "save-state", "set-env", "set-output", "warning"),
}
_STOP = "stop-commands"


@dataclass(frozen=True, kw_only=True)
class Command:
    """A command that the runner obeyed."""

    name: str
    properties: dict[str, str]
    data: str


@dataclass(frozen=True, kw_only=True)
class Step:
    """A step that has run.

    Attributes:
        stdout, stderr: the two streams of its log.
        summary: what it wrote to GITHUB_STEP_SUMMARY.
        outputs: what it wrote to GITHUB_OUTPUT.
    """

    returncode: int
    stdout: str
    stderr: str
    summary: str
    outputs: dict[str, str]


def run_step(
    arguments: list[str | Path], *, workspace: Path, files: Path, **environment: str
) -> Step:
    """Run a command as a step of a workflow.

    Args:
        arguments: the command.
        workspace: where the repository is checked out.
        files: an empty directory for what the runner keeps.
        environment: more variables.
    """
    runner = {
        "CI": "true",
        "COLUMNS": "100",
        "GITHUB_ACTIONS": "true",
        "GITHUB_WORKSPACE": str(workspace),
        "GITHUB_STEP_SUMMARY": str(files / "summary.md"),
        "GITHUB_OUTPUT": str(files / "output"),
        "RUNNER_TEMP": str(files / "temp"),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    files.mkdir(exist_ok=True)
    for name in ("summary.md", "output"):
        (files / name).write_text("")
    ended = subprocess.run(
        arguments,
        cwd=workspace,
        capture_output=True,
        text=True,
        env=os.environ | runner | environment,
        check=False,
        timeout=170,
    )
    lines = (files / "output").read_text().splitlines()
    return Step(
        returncode=ended.returncode,
        stdout=ended.stdout,
        stderr=ended.stderr,
        summary=(files / "summary.md").read_text(),
        outputs=dict(line.split("=", 1) for line in lines),
    )


def obeyed(log: str) -> list[Command]:
    """The commands in a stream that the runner obeys, in order."""
    commands = []
    token = None
    for line in log.splitlines():
        known = _NAMES | {_STOP} | ({token} if token else set())
        command = _parse_line(line, known) or _parse_anywhere(line, known)
        if command is None:
            continue
        if token is not None:
            if command.name == token:
                token = None
        elif command.name == _STOP:
            token = command.data
        else:
            commands.append(command)
    return commands


def _parse_line(line: str, known: set[str]) -> Command | None:
    """`::name key=value,key=value::data` where a line begins."""
    opening, separator, data = line.lstrip().removeprefix("::").partition("::")
    if not line.lstrip().startswith("::") or not separator:
        return None
    return _build(opening, ",", data, known)


def _parse_anywhere(line: str, known: set[str]) -> Command | None:
    """`##[name key=value;key=value]data` anywhere in a line."""
    opening, separator, data = line.partition("##[")[2].partition("]")
    return _build(opening, ";", data, known) if separator else None


def _build(opening: str, separator: str, data: str, known: set[str]) -> Command | None:
    name, _, rest = opening.partition(" ")
    if name.lower() not in known:
        return None
    pairs = (pair.partition("=") for pair in rest.split(separator) if "=" in pair)
    properties = {key.strip(): _unescape(value) for key, _, value in pairs}
    return Command(name=name.lower(), properties=properties, data=_unescape(data))


def _unescape(text: str) -> str:
    for escape, character in (("%0D", "\r"), ("%0A", "\n"), ("%3A", ":"), ("%2C", ",")):
        text = text.replace(escape, character)
    return text.replace("%25", "%")
