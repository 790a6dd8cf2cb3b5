"""A directory on the machine's own file system that student code may write to."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MAXIMUM_OPEN_DIRECTORIES = 100
BLOCK_BYTES = 512
"""The unit of st_blocks (stat(2))."""

Excess = Literal["bytes", "files"]

_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def find_excess(directory: Path, *, maximum_bytes: int, maximum_files: int) -> Excess | None:
    """What the directory holds more of than it may, found while its files may be changing.

    It is walked by descriptors, so that nothing lies too deep for it and no link leads it astray.
    A directory so branched that the walk would need too many descriptors has too many files.
    """
    bytes_used = file_count = 0
    waiting: list[tuple[int, list[str]]] = []
    with contextlib.suppress(FileNotFoundError):
        waiting.append((os.open(directory.parent, _FLAGS), [directory.name]))
    try:
        while waiting:
            parent, names = waiting[-1]
            name = names.pop()
            opened = _open_if_there(name, parent)
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


def _open_if_there(name: str, parent: int) -> int | None:
    with contextlib.suppress(OSError):
        return os.open(name, _FLAGS, dir_fd=parent)
    return None


def _entries(directory: int) -> Iterator[tuple[os.DirEntry[str], os.stat_result]]:
    """What is in a directory, less what goes while it is read."""
    with os.scandir(directory) as entries:
        for entry in entries:
            with contextlib.suppress(FileNotFoundError):
                yield entry, entry.stat(follow_symlinks=False)


def delete(directory: Path) -> None:
    """Delete a directory that nobody changes any more, with all that is in it, however deep."""
    here = os.open(directory, _FLAGS)
    names: list[str] = []
    waiting = [_delete_files(here)]
    while waiting:
        if waiting[-1]:
            name = waiting[-1].pop()
            names.append(name)
            here = _move(here, name)
            waiting.append(_delete_files(here))
        else:
            waiting.pop()
            if names:
                here = _move(here, "..")
                os.rmdir(names.pop(), dir_fd=here)
    os.close(here)
    directory.rmdir()


def _delete_files(directory: int) -> list[str]:
    """Delete what is no directory; the names of the directories that are left."""
    children = []
    with os.scandir(directory) as entries:
        for entry in list(entries):
            if entry.is_dir(follow_symlinks=False):
                children.append(entry.name)
            else:
                os.unlink(entry.name, dir_fd=directory)
    return children


def _move(directory: int, name: str) -> int:
    """Open a directory that is named relative to another, and close that one."""
    opened = os.open(name, _FLAGS, dir_fd=directory)
    os.close(directory)
    return opened
