"""Files that have no name any more but still take space, since a process has them open."""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING

import psutil

from grader.kernel import reading_as
from grader.sandbox.isolation.processes import directory_of
from grader.sandbox.supervisor.scratch import BLOCK_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

# A mapping of proc_pid_maps(5): addresses, permissions, offset, device, inode, path.
_MAPPING = r"^([0-9a-f]+)-([0-9a-f]+) \S+ \S+ \S+ (\d+) +{directory}/.* \(deleted\)$"


def deleted_bytes(processes: Iterable[psutil.Process], directory: Path) -> int:
    """How much space files take that were deleted from a directory, but are open or mapped.

    A process that has ended, or that this process may not look into, has none.
    """
    pattern = re.compile(
        _MAPPING.format(directory=re.escape(str(directory))).encode(), re.MULTILINE
    )
    device = directory.stat().st_dev
    sizes: dict[int, int] = {}
    for process in processes:
        with contextlib.suppress(OSError, psutil.Error):
            user, group = process.uids().effective, process.gids().effective
            with reading_as(user, group):
                procfs = directory_of(process.pid)
                for inode, size in (*_open_files(procfs, device), *_mappings(procfs, pattern)):
                    sizes[inode] = max(size, sizes.get(inode, 0))
    return sum(sizes.values())


def _open_files(procfs: Path, device: int) -> Iterator[tuple[int, int]]:
    for descriptor in procfs.joinpath("fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            status = descriptor.stat()
            if status.st_nlink == 0 and status.st_dev == device:
                yield status.st_ino, status.st_blocks * BLOCK_BYTES


def _mappings(procfs: Path, pattern: re.Pattern[bytes]) -> Iterator[tuple[int, int]]:
    sizes: dict[int, int] = {}
    for start, end, inode in pattern.findall(procfs.joinpath("maps").read_bytes()):
        sizes[int(inode)] = sizes.get(int(inode), 0) + int(end, 16) - int(start, 16)
    yield from sizes.items()
