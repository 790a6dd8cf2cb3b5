"""All processes of one sandbox, seen from outside: how much they use, and how to end them."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

import psutil

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

    def largest(self) -> tuple[int, int]:
        """The resident and the virtual bytes of the process with most resident memory."""
        sizes = [(0, 0)]
        for process in self.processes():
            with contextlib.suppress(psutil.Error):
                memory = process.memory_info()
                sizes.append((memory.rss, memory.vms))
        return max(sizes)

    def resident_bytes(self, *, enough: int) -> int:
        """The memory of all processes together; exact only where it is above `enough`.

        The sum of resident sizes counts a page that processes share once for each, so a sum that
        is above `enough` is taken again from the proportional sizes, which are slower to read.
        """
        total = 0
        processes = self.processes()
        for process in processes:
            with contextlib.suppress(psutil.Error):
                total += process.memory_info().rss
        if total <= enough:
            return total
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
    """The process's share of its pages (Pss in proc(5), smaps_rollup), or its resident size."""
    try:
        for line in Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError):
        pass
    try:
        return int(process.memory_info().rss)
    except psutil.Error:
        return 0
