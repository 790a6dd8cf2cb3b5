"""How to tell that memory ran out, which is the machine's fault and no model's."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from grader.errors import MachineError

_CONTROL_GROUPS = Path("/sys/fs/cgroup")
_PROCESSES = Path("/proc")

MORE_MEMORY = "Close other programs, or use a machine with more memory, and grade again."
"""What to do about it."""

_ALLOCATORS_WORDS = ("you tried to allocate", "CUDA out of memory")
"""PyTorch's allocator for the CPU raises a plain RuntimeError, that for GPUs a kind of one."""


def memory_shortage(error: Exception) -> MachineError | None:
    """What to raise instead, if `error` is about memory that could not be had."""
    if isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and any(words in str(error) for words in _ALLOCATORS_WORDS)
    ):
        return MachineError(f"memory ran out: {error}", next_step=MORE_MEMORY)
    return None


def count_memory_kills(
    *, control_groups: Path = _CONTROL_GROUPS, processes: Path = _PROCESSES
) -> int:
    """How many processes the kernel has killed so far because memory ran out.

    That is counted for this process's control group and those below it, or, where the group does
    not count, for the whole machine. Where nothing counts it is 0.

    Args:
        control_groups: where cgroup v2 is mounted.
        processes: where procfs is mounted.
    """
    # https://docs.kernel.org/admin-guide/cgroup-v2.html: a process's group is the line "0::PATH",
    # and memory.events has a line "oom_kill COUNT", as vmstat(5) has for the machine.
    files = [processes / "vmstat"]
    with suppress(OSError):
        for line in (processes / "self" / "cgroup").read_text(encoding="utf-8").splitlines():
            if line.startswith("0::"):
                files.insert(0, control_groups / line[4:] / "memory.events")
    for file in files:
        with suppress(OSError):
            for line in file.read_text(encoding="ascii").splitlines():
                name, _, count = line.partition(" ")
                if name == "oom_kill":
                    return int(count)
    return 0
