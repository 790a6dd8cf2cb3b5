"""The scratch directory, if it lies on the machine's own file system."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

MAXIMUM_OPEN_DIRECTORIES = 100
BLOCK_BYTES = 512
"""The unit of st_blocks (stat(2))."""

Excess = Literal["bytes", "files"]


def find_excess(directory: Path, *, maximum_bytes: int, maximum_files: int) -> Excess | None:
    """Return the limit that a directory exceeds, or None. Its files may change during the walk.

    The walk goes by descriptors, so that depth does not matter and no link is followed. A tree
    that needs too many descriptors has too many files.
    """
    bytes_used = file_count = 0
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    waiting: list[tuple[int, list[str]]] = []
    with contextlib.suppress(FileNotFoundError):
        waiting.append((os.open(directory.parent, flags), [directory.name]))
    try:
        while waiting:
            parent, names = waiting[-1]
            name = names.pop()
            opened = None
            with contextlib.suppress(OSError):
                opened = os.open(name, flags, dir_fd=parent)
            # Closed with its last child, so that a long chain of directories needs only two.
            if not names:
                waiting.pop()
                os.close(parent)
            if opened is None:
                continue
            children: list[str] = []
            waiting.append((opened, children))
            for entry, status in _entries(opened):
                file_count += 1
                bytes_used += status.st_blocks * BLOCK_BYTES
                if entry.is_dir(follow_symlinks=False):
                    children.append(entry.name)
                if bytes_used > maximum_bytes:
                    return "bytes"
                if file_count > maximum_files:
                    return "files"
            if not children:
                waiting.pop()
                os.close(opened)
            if len(waiting) > MAXIMUM_OPEN_DIRECTORIES:
                return "files"
    finally:
        for descriptor, _ in waiting:
            os.close(descriptor)
    return None


def _entries(directory: int) -> Iterator[tuple[os.DirEntry[str], os.stat_result]]:
    """Yield the entries of a directory; entries that vanish during the walk are skipped."""
    with os.scandir(directory) as entries:
        for entry in entries:
            with contextlib.suppress(FileNotFoundError):
                yield entry, entry.stat(follow_symlinks=False)


def delete(directory: Path) -> None:
    """Delete a directory and everything in it. No process may still change it."""
    while children := _delete_files(directory):
        for child in children:
            for grandchild in _delete_files(child):
                # Moved up, since the tree may be deeper than a path may be long.
                grandchild.rename(directory / os.urandom(16).hex())
            child.rmdir()
    directory.rmdir()


def _delete_files(directory: Path) -> list[Path]:
    """Delete everything but directories; return the directories."""
    children = []
    with os.scandir(directory) as entries:
        for entry in list(entries):
            path = directory / entry.name
            if entry.is_dir(follow_symlinks=False):
                children.append(path)
            else:
                path.unlink()
    return children
