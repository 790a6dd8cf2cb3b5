"""A cap on the memory of all processes of a sandbox, by cgroup v2, if this user may use it.

The watch of `grader.sandbox.connection` counts more exactly, but only some twenty times a second.
The files are described in https://docs.kernel.org/admin-guide/cgroup-v2.html.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import psutil

from grader.kernel import own_control_groups

REMOVAL_SECONDS = 1.0
PAUSE_SECONDS = 0.01
_PREFIX = "grader-"


class MemoryCap:
    """A control group that caps the memory of processes, and of all that they will start.

    Memory that they have taken already does not count; swapped pages and files in memory do. At the
    cap the kernel kills them all.

    Raises:
        OSError: the kernel refuses.
    """

    def __init__(self, parent: Path, maximum_bytes: int, process_ids: Iterable[int]) -> None:
        _remove_abandoned(parent)
        self._group = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", dir=parent))
        try:
            self._write("memory.max", maximum_bytes)
            self._write("memory.oom.group", 1)
            with suppress(OSError):  # a kernel without swap has no such file
                self._write("memory.swap.max", 0)
            for process_id in process_ids:
                self._write("cgroup.procs", process_id)
        except OSError:
            self.remove()
            raise

    def was_hit(self) -> bool:
        """Return True if the kernel has killed processes because of the cap."""
        with suppress(OSError):
            events = self._group.joinpath("memory.events").read_text().split()
            return int(events[events.index("oom_kill") + 1]) > 0
        return False

    def remove(self) -> None:
        """Kill the remaining processes of the group, and delete it."""
        with suppress(OSError):
            self._write("cgroup.kill", 1)
        deadline = time.monotonic() + REMOVAL_SECONDS
        while time.monotonic() < deadline:
            with suppress(OSError):
                self._group.rmdir()
                return
            time.sleep(PAUSE_SECONDS)

    def _write(self, name: str, number: int) -> None:
        self._group.joinpath(name).write_text(str(number))


def find_parent() -> Path | None:
    """Return the nearest control group in which this process can make groups with a cap on memory.

    None if there is no such group.
    """
    for group in own_control_groups():
        if _hands_memory_down(group) and _works(group):
            return group
    return None


def _hands_memory_down(group: Path) -> bool:
    """Return True if groups in it have the memory controller, and this user may make them."""
    with suppress(OSError):
        return "memory" in group.joinpath("cgroup.subtree_control").read_text().split() and all(
            os.access(path, os.W_OK) for path in (group, group / "cgroup.procs")
        )
    return False


def _works(parent: Path) -> bool:
    """Return True if a process can be put under a cap there."""
    waiting = [sys.executable, "-I", "-S", "-c", "input()"]
    with subprocess.Popen(  # noqa: S603 - the grader's own
        waiting, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        try:
            cap = MemoryCap(parent, 2**30, [process.pid])
        except OSError:
            return False
        finally:
            process.kill()
    cap.remove()
    return True


def _remove_abandoned(parent: Path) -> None:
    """Delete the empty groups of graders that were killed."""
    for group in parent.glob(f"{_PREFIX}*-*"):
        process_id = group.name.removeprefix(_PREFIX).partition("-")[0]
        if process_id.isdecimal() and not psutil.pid_exists(int(process_id)):
            with suppress(OSError):
                group.rmdir()
