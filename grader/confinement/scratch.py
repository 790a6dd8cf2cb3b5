"""A directory on the machine's own file system that student code may write to."""

from __future__ import annotations

import contextlib
import itertools
import os
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator

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
    """Delete a directory that nobody changes any more, with all that is in it, however deep.

    Directories inside are first moved up to the top, so that no path grows long.
    """
    numbers = itertools.count()
    top = directory / f"grader-{os.getpid()}"
    top.mkdir()
    pending = [directory]
    while pending:
        current = pending.pop()
        for entry in list(os.scandir(current)):
            path = Path(entry.path)
            if path == top:
                continue
            if entry.is_dir(follow_symlinks=False):
                moved = top / str(next(numbers))
                path.rename(moved)
                pending.append(moved)
            else:
                path.unlink()
        if current != directory:
            current.rmdir()
    top.rmdir()
    directory.rmdir()
