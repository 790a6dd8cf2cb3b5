"""The memory of this process's control group: its cap, and the kernel's kills."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from grader.kernel import CONTROL_GROUPS, PROCESSES, own_control_groups

if TYPE_CHECKING:
    from pathlib import Path


def count_memory_kills(
    *, control_groups: Path = CONTROL_GROUPS, processes: Path = PROCESSES
) -> int:
    """How many processes the kernel has killed so far because memory ran out.

    That is counted for this process's control group and those below it, or, where the group does
    not count, for the whole machine. Where nothing counts it is 0.

    Args:
        control_groups: where cgroup v2 is mounted.
        processes: where procfs is mounted.
    """
    # https://docs.kernel.org/admin-guide/cgroup-v2.html: memory.events has a line
    # "oom_kill COUNT", as vmstat(5) has for the machine.
    groups = own_control_groups(control_groups, processes)
    files = [group / "memory.events" for group in groups[:1]]
    for file in (*files, processes / "vmstat"):
        with suppress(OSError):
            for line in file.read_text(encoding="ascii").splitlines():
                name, _, count = line.partition(" ")
                if name == "oom_kill":
                    return int(count)
    return 0


def memory_cap_bytes(
    *, control_groups: Path = CONTROL_GROUPS, processes: Path = PROCESSES
) -> int | None:
    """How much memory this process's control group may take together, or None if there is no cap.

    Args:
        control_groups: where cgroup v2 is mounted.
        processes: where procfs is mounted.
    """
    caps = []
    for group in own_control_groups(control_groups, processes):
        with suppress(OSError, ValueError):  # no file, or "max"
            caps.append(int((group / "memory.max").read_text(encoding="ascii")))
    return min(caps, default=None)
