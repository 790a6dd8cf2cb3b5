"""All processes of one sandbox, seen from outside: how much they use, and how to end them."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

import psutil

from grader.confinement.kernel import reading_as

MAXIMUM_KILL_ROUNDS = 100


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
        resident = 0
        for process in processes:
            with contextlib.suppress(psutil.Error):
                resident += process.memory_info().rss
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
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _proportional_bytes(process: psutil.Process) -> int:
    """The process's share of its pages that belong to no file.

    Pss_Anon and Pss_Shmem of /proc/PID/smaps_rollup (proc(5)); where that cannot be read, the
    resident size.
    """
    total = 0
    try:
        with reading_as(process.uids().effective, process.gids().effective):
            text = Path(f"/proc/{process.pid}/smaps_rollup").read_text()
        for line in text.splitlines():
            if line.startswith(("Pss_Anon:", "Pss_Shmem:")):
                total += int(line.split()[1]) * 1024
    except (OSError, ValueError, psutil.Error):
        total = 0
    if total:
        return total
    try:
        return int(process.memory_info().rss)
    except psutil.Error:
        return 0
