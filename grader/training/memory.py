"""The memory of this process's control group: the limit, and the kernel's kills."""

from __future__ import annotations

from contextlib import suppress

from grader import kernel


def count_memory_kills() -> int:
    """Count the processes that the kernel has killed so far because memory ran out.

    The count is of this process's control group and the groups below, of the whole machine if the
    group has no count, or 0 if neither has.
    """
    # https://docs.kernel.org/admin-guide/cgroup-v2.html: memory.events has a line
    # "oom_kill COUNT", as vmstat(5) has for the machine.
    files = [group / "memory.events" for group in kernel.own_control_groups()[:1]]
    for file in (*files, kernel.PROCESSES / "vmstat"):
        with suppress(OSError):
            for line in file.read_text(encoding="ascii").splitlines():
                name, _, count = line.partition(" ")
                if name == "oom_kill":
                    return int(count)
    return 0


def memory_cap_bytes() -> int | None:
    """Return the memory limit of this process's control group, or None if there is no limit."""
    caps = []
    for group in kernel.own_control_groups():
        with suppress(OSError, ValueError):  # no file, or "max"
            caps.append(int((group / "memory.max").read_text(encoding="ascii")))
    return min(caps, default=None)
