"""The directories that student code can write to: watched, and emptied after each question."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path


def count_files(directory: Path) -> int:
    """How many files the file system of the directory holds, where it is one of its own.

    Empty files take no space that a limit on bytes would count, only the kernel's memory.
    """
    if not directory.is_mount():
        return 0
    figures = os.statvfs(directory)
    return figures.f_files - figures.f_ffree - 1  # the directory itself


def empty(directory: Path) -> bool:
    """Delete what is in the directory; whether the next question finds nothing left or changed."""
    try:
        for entry in os.scandir(directory):
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path)
            else:
                Path(entry.path).unlink()
    except (OSError, RecursionError):
        return False
    return os.access(directory, os.R_OK | os.W_OK | os.X_OK) and not _attributes(directory)


def _attributes(directory: Path) -> list[str]:
    """Its extended attributes, access lists among them; none where nobody may set any."""
    with contextlib.suppress(OSError):
        return os.listxattr(directory)
    return []
