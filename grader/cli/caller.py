"""The directory in which the user typed the command; the process itself has left it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

_directories: list[Path] = []


def remember(directory: str) -> None:
    """Keep the caller's directory; see `grader.__main__`."""
    _directories[:] = [Path(directory)]


def caller_directory() -> Path:
    """Return the caller's directory."""
    return _directories[0] if _directories else Path.cwd()


def shown_path(path: Path) -> str:
    """Return a path as the caller would type it: relative if it lies below the directory."""
    directory = caller_directory()
    return str(path.relative_to(directory) if path.is_relative_to(directory) else path)


class CallerPath(click.Path):
    """A path relative to the caller's directory."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(path_type=Path, **settings)

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        """Return the absolute path."""
        return super().convert(caller_directory() / value, param, ctx)


class OutputPath(CallerPath):
    """A path to write to. In the caller's directory, a link may be a student's: it is refused."""

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        """Return the absolute path."""
        path = caller_directory() / value
        for place in (path, *path.parents):
            if place.is_relative_to(caller_directory()) and place.is_symlink():
                self.fail(f"{shown_path(place)!r} is a link. Remove it, or name another place.")
        return super().convert(value, param, ctx)
