"""All processes of one sandbox, seen from outside: how much they use, and how to end them."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

import psutil

from grader.kernel import reading_as

MAXIMUM_KILL_ROUNDS = 100
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class ProcessTree:
    """A process and all its descendants.

    Args:
        pid: of the root, which is a child of this process and has not been waited for.
    """

    def __init__(self, pid: int) -> None:
        self._root: psutil.Process | None
        try:
            self._root = psutil.Process(pid)
        except psutil.NoSuchProcess:
            self._root = None
        self._seen: set[psutil.Process] = set()

    def processes(self) -> list[psutil.Process]:
        """Those alive now, the root first."""
        if self._root is None:
            return []
        found = [self._root]
        with contextlib.suppress(psutil.NoSuchProcess):
            found += self._root.children(recursive=True)
        self._seen.update(found)
        return found

    def count_tasks(self) -> int:
        """How many processes and threads there are."""
        count = 0
        for process in self.processes():
            with contextlib.suppress(psutil.Error):
                count += process.num_threads()
        return count

    def address_bytes(self) -> int:
        """The virtual memory of the process that has most of it."""
        sizes = [0]
        for process in self.processes():
            with contextlib.suppress(psutil.Error):
                sizes.append(process.memory_info().vms)
        return max(sizes)

    def memory_bytes(self, *, enough: int = 0) -> int:
        """The memory that all processes together take away from the machine.

        Pages of files, such as PyTorch's libraries, are not counted, and one that processes share
        counts once. That is slow to read, so a sum of resident sizes, which is never smaller, is
        returned instead where it is at most `enough`.
        """
        processes = self.processes()
        resident = sum(_resident_bytes(directory_of(process.pid)) for process in processes)
        if resident <= enough:
            return resident
        return sum(_proportional_bytes(process) for process in processes)

    def kill(self) -> bool:
        """Send SIGKILL to every process, round after round; whether none is left.

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


def _is_alive(process: psutil.Process) -> bool:
    """Whether a process still runs; one that only waits for its parent to take notice does not."""
    try:
        return process.is_running() and (
            process.status() != psutil.STATUS_ZOMBIE or process.num_threads() > 1
        )
    except psutil.NoSuchProcess:
        return False


def directory_of(pid: int) -> Path:
    """Where procfs shows a process's memory and files.

    The process's own directory shows neither once its main thread has ended, though other threads
    may go on and hold both; then it is the directory of one of these.
    """
    own = Path(f"/proc/{pid}")
    if not _resident_bytes(own):
        with contextlib.suppress(OSError):
            return next(filter(_resident_bytes, own.joinpath("task").iterdir()), own)
    return own


def _resident_bytes(directory: Path) -> int:
    """The resident size by the second field of statm, in pages (proc_pid_statm(5))."""
    try:
        return int(directory.joinpath("statm").read_text().split()[1]) * _PAGE_BYTES
    except (OSError, IndexError):
        return 0


def _proportional_bytes(process: psutil.Process) -> int:
    """The process's share of its pages that belong to no file.

    Pss_Anon and Pss_Shmem of /proc/PID/smaps_rollup (proc(5)); where that cannot be read, the
    resident size.
    """
    total = 0
    directory = directory_of(process.pid)
    try:
        with reading_as(process.uids().effective, process.gids().effective):
            text = directory.joinpath("smaps_rollup").read_text()
        for line in text.splitlines():
            if line.startswith(("Pss_Anon:", "Pss_Shmem:")):
                total += int(line.split()[1]) * 1024
    except (OSError, ValueError, psutil.Error):
        total = 0
    return total or _resident_bytes(directory)
