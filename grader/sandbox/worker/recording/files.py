"""Let a program write where it may not: such files are kept in memory.

Checkpoints go to a mounted drive in many notebooks; a failed save would end the training.
"""

from __future__ import annotations

import builtins
import io
import os
from pathlib import Path
from typing import Any

import torch

KEPT: dict[str, bytes] = {}
"""The contents of files that could not be written, by path."""


class _KeptFile(io.BytesIO):
    """A file that is kept when it is closed."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self._path = path

    def close(self) -> None:
        if not self.closed:
            KEPT[self._path] = self.getvalue()
        super().close()


def install() -> None:
    """Change how this process opens files and makes directories."""
    builtins_: Any = builtins
    io_: Any = io
    os_: Any = os
    torch_: Any = torch
    usual_open, usual_mkdir = builtins_.open, os_.mkdir
    usual_save, usual_load = torch_.save, torch_.load

    def open_(file: Any, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
        try:
            return usual_open(file, mode, *args, **kwargs)
        except OSError:
            path = _path_of(file)
            is_new = bool(set(mode) & set("wxa"))
            if path is None or not (is_new or path in KEPT):
                raise
            kept = _KeptFile(path) if is_new else io.BytesIO(KEPT[path])
            return kept if "b" in mode else io.TextIOWrapper(kept, encoding="utf-8")

    def mkdir(path: Any, *args: Any, **kwargs: Any) -> None:
        try:
            usual_mkdir(path, *args, **kwargs)
        except OSError as error:
            if isinstance(error, FileExistsError) or _is_below_writable(path):
                raise

    def save(value: Any, file: Any, *args: Any, **kwargs: Any) -> None:
        try:
            usual_save(value, file, *args, **kwargs)
        except (OSError, RuntimeError):
            path = _path_of(file)
            if path is None:
                raise
            with _KeptFile(path) as kept:
                usual_save(value, kept, *args, **kwargs)

    def load(file: Any, *args: Any, **kwargs: Any) -> Any:
        kept = KEPT.get(_path_of(file) or "")
        return usual_load(file if kept is None else io.BytesIO(kept), *args, **kwargs)

    builtins_.open = io_.open = open_
    os_.mkdir = mkdir
    torch_.save, torch_.load = save, load


def _path_of(file: Any) -> str | None:
    return str(file) if isinstance(file, (str, Path)) else None


def _is_below_writable(path: Any) -> bool:
    """Return True if the nearest directory that exists may be written."""
    parents = Path.cwd().joinpath(path).parents
    nearest = next((each for each in parents if each.is_dir()), None)
    return nearest is not None and os.access(nearest, os.W_OK)
