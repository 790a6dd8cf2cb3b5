"""All processes of one sandbox, seen from outside: their memory and files, and how to kill them."""

from __future__ import annotations

import contextlib
import mmap
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import psutil

from grader.kernel import reading_as
from grader.sandbox.supervisor.scratch import BLOCK_BYTES

MAXIMUM_KILL_ROUNDS = 100
# A mapping of proc_pid_maps(5): addresses, permissions, offset, device, inode, path.
_MAPPING = r"^([0-9a-f]+)-([0-9a-f]+) \S+ \S+ \S+ (\d+) +{directory}/.* \(deleted\)$"


class ProcessTree:
    """A process and all its descendants.

    Args:
        pid: of the root, a child of this process that has not been waited for.
    """

    def __init__(self, pid: int) -> None:
        self._root = psutil.Process(pid)
        self._seen: set[psutil.Process] = set()

    def processes(self) -> list[psutil.Process]:
        """Return the processes that are alive now, the root first."""
        found = [self._root]
        with contextlib.suppress(psutil.NoSuchProcess):
            found += self._root.children(recursive=True)
        self._seen.update(found)
        return found

    def count_tasks(self) -> int:
        """Return the number of processes and threads."""
        count = 0
        for process in self.processes():
            with contextlib.suppress(psutil.Error):
                count += process.num_threads()
        return count

    def largest_bytes(self, kind: Literal["vms", "data"]) -> int:
        """Return the largest address space, or private writable memory, of a process.

        0 if unknown.
        """
        sizes = [0]
        for process in self.processes():
            with contextlib.suppress(psutil.Error):
                sizes.append(getattr(process.memory_info(), kind, 0))
        return max(sizes)

    def memory_bytes(self, *, enough: int = 0) -> int:
        """Return the memory that all processes together take from the machine.

        Pages of files, such as PyTorch's libraries, do not count, and shared pages count once.
        That is slow to read. So a sum of resident sizes, which is never smaller, is returned
        instead if it is at most `enough`. Systems other than Linux show that sum only.
        """
        processes = self.processes()
        if sys.platform != "linux":
            return sum(map(_shown_bytes, processes))
        resident = sum(_resident_bytes(_procfs(process.pid)) for process in processes)
        if resident <= enough:
            return resident
        return sum(_proportional_bytes(process) for process in processes)

    def deleted_bytes(self, directory: Path) -> int:
        """Return the size of files deleted from a directory that are still open or mapped.

        Processes that have ended, or that this process may not inspect, are skipped.
        """
        pattern = re.compile(
            _MAPPING.format(directory=re.escape(str(directory))).encode(), re.MULTILINE
        )
        device = directory.stat().st_dev
        sizes: dict[int, int] = {}
        for process in self.processes():
            with contextlib.suppress(OSError, psutil.Error), _inspecting(process) as procfs:
                for inode, size in (*_open_files(procfs, device), *_mappings(procfs, pattern)):
                    sizes[inode] = max(size, sizes.get(inode, 0))
        return sum(sizes.values())

    def kill(self) -> bool:
        """Send SIGKILL to every process, round after round; return True if none remains.

        A process whose parent ended is no longer found from the root, hence `_seen`.
        """
        for round_number in range(MAXIMUM_KILL_ROUNDS):
            self.processes()
            alive = [process for process in self._seen if _is_alive(process)]
            if not alive:
                return True
            for process in alive:
                with contextlib.suppress(psutil.Error):
                    process.kill()
            time.sleep(min(0.1, 0.002 * 2**round_number))
        return False


def has_processes(user_id: int) -> bool:
    """Return True if any process of a user runs; zombies do not count."""
    return any(
        user_id in (process.info["uids"] or ()) and process.info["status"] != psutil.STATUS_ZOMBIE
        for process in psutil.process_iter(["uids", "status"])
    )


def _is_alive(process: psutil.Process) -> bool:
    """Return False for zombies, unless other threads of the process still run."""
    try:
        return process.is_running() and (
            process.status() != psutil.STATUS_ZOMBIE or process.num_threads() > 1
        )
    except psutil.NoSuchProcess:
        return False


@contextlib.contextmanager
def _inspecting(process: psutil.Process) -> Iterator[Path]:
    """Yield the procfs directory of a process, readable until the block ends."""
    with reading_as(process.uids().effective, process.gids().effective):
        yield _procfs(process.pid)


def _procfs(pid: int) -> Path:
    """Return the procfs directory that shows a process's memory and files.

    A process's own directory shows neither once its main thread has ended, though other threads
    may go on and hold both. Then it is the directory of one of these threads.
    """
    own = Path(f"/proc/{pid}")
    if not _resident_bytes(own):
        with contextlib.suppress(OSError):
            return next(filter(_resident_bytes, own.joinpath("task").iterdir()), own)
    return own


def _shown_bytes(process: psutil.Process) -> int:
    """Return the resident size as any system shows it."""
    with contextlib.suppress(psutil.Error):
        return process.memory_info().rss
    return 0


def _resident_bytes(procfs: Path) -> int:
    """Return the resident size by the second field of statm, in pages (proc_pid_statm(5))."""
    try:
        return int(procfs.joinpath("statm").read_text().split()[1]) * mmap.PAGESIZE
    except (OSError, IndexError):
        return 0


def _proportional_bytes(process: psutil.Process) -> int:
    """Return the process's share of its pages that belong to no file.

    Pss_Anon and Pss_Shmem of /proc/PID/smaps_rollup (proc(5)), or the resident size if that file
    cannot be read.
    """
    total = 0
    with (
        contextlib.suppress(OSError, ValueError, psutil.Error),
        _inspecting(process) as procfs,
    ):
        for line in procfs.joinpath("smaps_rollup").read_text().splitlines():
            if line.startswith(("Pss_Anon:", "Pss_Shmem:")):
                total += int(line.split()[1]) * 1024
    return total or _resident_bytes(_procfs(process.pid))


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
