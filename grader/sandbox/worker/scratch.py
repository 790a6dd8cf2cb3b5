"""Give student code the submitted files to work beside; count and delete what it writes."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path

_NEVER_WRITTEN = frozenset({".py", ".ipynb", ".md", ".pdf"})


def give_files(submission: Path, scratch: Path, maximum_bytes: int) -> int:
    """Put the submitted files into the scratch directory; return the number of entries made.

    So relative paths lead to them. Data files are copied, up to `maximum_bytes`, since a program
    may write its own checkpoint again; all other files are links.
    """
    entries = 0
    for directory, names, files in os.walk(submission):
        target = scratch / Path(directory).relative_to(submission)
        for name in names:
            (target / name).mkdir()
        for name in sorted(files):
            source = Path(directory, name)
            size = source.stat().st_size
            if source.suffix not in _NEVER_WRITTEN and size <= maximum_bytes:
                shutil.copyfile(source, target / name)
                maximum_bytes -= size
            else:
                with contextlib.suppress(OSError):  # Windows may refuse links.
                    (target / name).symlink_to(os.path.relpath(source, target))
        entries += len(names) + len(files)
    return entries


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
