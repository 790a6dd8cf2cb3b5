"""Count and delete the files that student code writes."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path


def count_files(directory: Path) -> int:
    """Return the number of files in a directory that is a file system of its own, else 0.

    Empty files take no space that a limit on bytes would count, only the kernel's memory.
    """
    if not directory.is_mount():
        return 0
    figures = os.statvfs(directory)
    return figures.f_files - figures.f_ffree - 1  # the directory itself


def empty(directory: Path) -> bool:
    """Empty the directory. Return True if the next question finds nothing left or changed."""
    try:
        for entry in os.scandir(directory):
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path)
            else:
                Path(entry.path).unlink()
    except (OSError, RecursionError):
        return False
    attributes: list[str] = []  # access lists are among them
    with contextlib.suppress(OSError):
        attributes = os.listxattr(directory)
    return os.access(directory, os.R_OK | os.W_OK | os.X_OK) and not attributes
