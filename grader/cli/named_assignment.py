"""`grader.toml`, which names the assignment, so that a student need not.

It lies in the submission or in the directory around it, where its author may be anybody. An
assignment is code that runs outside the sandbox, so the first time the user is asked, and again
after any of its files has changed.
"""

from __future__ import annotations

import hashlib
import sys
import tomllib
from pathlib import Path

import click
import msgspec
import platformdirs

from grader.assignment.loading import bundled_assignments, home_of
from grader.cli.caller import shown_path
from grader.errors import UsageError

SETTINGS_NAME = "grader.toml"
_NEXT_STEP = "give --assignment with the assignment's name or path"


def find_named_assignment(directory: Path) -> str | None:
    """Return the name or the path of the assignment that `grader.toml` names, or None without one.

    Args:
        directory: of the submission, or its only file.

    Raises:
        UsageError: the file names no assignment, or one that the user does not trust.
    """
    start = directory if directory.is_dir() else directory.parent
    found = (place / SETTINGS_NAME for place in (start, start.parent))
    file = next((path for path in found if path.is_file()), None)
    if file is None:
        return None
    name = _read_name(file)
    if name in bundled_assignments():
        return name
    path = (file.parent / name).resolve()
    if not path.exists():
        raise UsageError(
            f"{shown_path(file)} names the assignment {name!r}, which is not there",
            next_step=_NEXT_STEP,
        )
    _require_trust(str(path), file)
    return str(path)


def _read_name(file: Path) -> str:
    try:
        settings = tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(
            f"{shown_path(file)} cannot be read: {error}", next_step=_NEXT_STEP
        ) from error
    name = settings.get("assignment")
    if not isinstance(name, str):
        raise UsageError(f"{shown_path(file)} has no line assignment = …", next_step=_NEXT_STEP)
    return name


def _require_trust(path: str, file: Path) -> None:
    """Ask whether an assignment may run, unless its files are those that were trusted before.

    Raises:
        UsageError: the user says no, or cannot be asked.
    """
    kept = platformdirs.user_config_path("sequential-grader") / "trusted.json"
    try:
        trusted = msgspec.json.decode(kept.read_bytes(), type=dict[str, str])
    except (OSError, msgspec.MsgspecError):
        trusted = {}
    digest = _digest(home_of(path))
    if trusted.get(path) == digest:
        return
    question = (
        f"{shown_path(file)} names the assignment {shown_path(Path(path))}.\n"
        "An assignment is code, which runs outside the sandbox. Is it your course's?"
    )
    if not sys.stdin.isatty() or not click.confirm(question, err=True):
        raise UsageError(
            f"the assignment {shown_path(Path(path))} is not trusted on this machine",
            next_step=f"if it is your course's, give --assignment {shown_path(Path(path))}",
        )
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.write_bytes(msgspec.json.encode(trusted | {path: digest}))


def _digest(directory: Path) -> str:
    """Return the SHA-256 over all files of an assignment, their names included."""
    digest = hashlib.sha256()
    for path in sorted(directory.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            content = hashlib.sha256(path.read_bytes()).hexdigest()
            digest.update(f"{path.relative_to(directory)}\0{content}\n".encode())
    return digest.hexdigest()
