"""Kernel calls that Python has no function for, and this process's control group."""

from __future__ import annotations

import contextlib
import ctypes
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

CONTROL_GROUPS = Path("/sys/fs/cgroup")
"""Where cgroup v2 is mounted."""
PROCESSES = Path("/proc")
"""Where procfs is mounted."""

if sys.platform == "win32":
    NEW_GROUP_FLAGS = subprocess.CREATE_NEW_PROCESS_GROUP
else:
    NEW_GROUP_FLAGS = 0
"""`creationflags` of a child that the console's Ctrl-C must not reach on Windows; else 0."""

# Of <linux/prctl.h> and <linux/seccomp.h>.
PR_SET_PDEATHSIG = 1
PR_SET_SECCOMP = 22
PR_SET_CHILD_SUBREAPER = 36
PR_SET_NO_NEW_PRIVS = 38
SECCOMP_MODE_FILTER = 2


class _FilterProgram(ctypes.Structure):
    """`struct sock_fprog` of <linux/filter.h>."""

    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def set_process_option(option: int, first: int, second: int = 0) -> None:
    """Call prctl(2).

    Raises:
        OSError: the kernel refuses.
    """
    arguments = [ctypes.c_ulong(number) for number in (first, second, 0, 0)]
    if ctypes.CDLL(None, use_errno=True).prctl(option, *arguments):
        raise OSError(ctypes.get_errno(), f"prctl option {option} is refused")


def die_with_parent(parent_pid: int) -> None:
    """Have the kernel kill this process when its parent exits. Call it before anything slow.

    Without prctl(2), the caller must notice the end of the parent's pipe instead.

    Args:
        parent_pid: the parent's own process id; the parent may have exited already.
    """
    if sys.platform == "linux":
        set_process_option(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent_pid:
            os._exit(1)


def offer_to_memory_killer() -> None:
    """Have the kernel end this process before others when memory runs out."""
    with contextlib.suppress(OSError):  # only Linux has the file
        # proc_pid_oom_score_adj(5): from -1000 to 1000; half of the memory is added to the score.
        (PROCESSES / "self" / "oom_score_adj").write_text("500", encoding="ascii")


def private_memory_bytes() -> int:
    """Return the size of this process's private writable memory, or 0 if unknown."""
    with contextlib.suppress(OSError):
        for line in (PROCESSES / "self" / "status").read_text(encoding="ascii").splitlines():
            if line.startswith("VmData:"):
                return int(line.split()[1]) * 1024
    return 0


def limit_memory(maximum_bytes: int) -> None:
    """Have allocations of this process fail above a size of private writable memory, on Linux.

    -1 is no limit.
    """
    if sys.platform == "linux":
        import resource  # noqa: PLC0415  # Windows does not have the module

        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        resource.setrlimit(resource.RLIMIT_DATA, (_below(maximum_bytes, hard), hard))


def limit_processor_time(seconds: float) -> None:
    """Have Linux end this process by SIGXCPU after further processor time; inf for never."""
    if sys.platform == "linux":
        import resource  # noqa: PLC0415

        used = time.process_time()
        soft = math.ceil(used + seconds) if math.isfinite(seconds) else resource.RLIM_INFINITY
        _, hard = resource.getrlimit(resource.RLIMIT_CPU)
        resource.setrlimit(resource.RLIMIT_CPU, (_below(soft, hard), hard))


def _below(soft: int, hard: int) -> int:
    """Return a soft limit that the hard limit allows; -1 stands for no limit."""
    return min((limit for limit in (soft, hard) if limit >= 0), default=-1)


def load_system_call_filter(program: bytes) -> None:
    """Put this process under a seccomp filter forever; it must have no_new_privs.

    Args:
        program: BPF instructions, as libseccomp exports them.

    Raises:
        OSError: the kernel does not accept it.
    """
    structure = _FilterProgram(len(program) // 8, program)  # 8 bytes: `struct sock_filter`
    set_process_option(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.addressof(structure))


@contextlib.contextmanager
def reading_as(user_id: int, group_id: int) -> Iterator[None]:
    """Open files with another user's rights, in this thread only, by setfsuid(2), as root.

    The owner of a process may read its memory and files in procfs; root may only with
    CAP_SYS_PTRACE, which containers withhold. During the block no further user may signal this
    process.
    """
    libc = ctypes.CDLL(None)
    group_before = libc.setfsgid(group_id)
    user_before = libc.setfsuid(user_id)
    try:
        yield
    finally:
        libc.setfsuid(user_before)
        libc.setfsgid(group_before)


def own_control_groups() -> tuple[Path, ...]:
    """Return the directories of this process's control group and of those above it, its own first.

    https://docs.kernel.org/admin-guide/cgroup-v2.html: a process's group is the line "0::PATH".
    """
    with contextlib.suppress(OSError):
        for line in (PROCESSES / "self" / "cgroup").read_text(encoding="utf-8").splitlines():
            # A group outside of the process's cgroup namespace begins with "..", and is not seen.
            if line.startswith("0::/") and ".." not in line.split("/"):
                own = CONTROL_GROUPS / line[4:]
                depth = len(own.relative_to(CONTROL_GROUPS).parts)
                return (own, *own.parents[:depth])
    return ()


def count_memory_kills() -> int:
    """Count the processes that the kernel has killed so far because memory ran out.

    The count is of this process's control group and the groups below, of the whole machine if the
    group has no count, or 0 if neither has.
    """
    # https://docs.kernel.org/admin-guide/cgroup-v2.html: memory.events has a line
    # "oom_kill COUNT", as vmstat(5) has for the machine.
    files = [group / "memory.events" for group in own_control_groups()[:1]]
    for file in (*files, PROCESSES / "vmstat"):
        with contextlib.suppress(OSError):
            for line in file.read_text(encoding="ascii").splitlines():
                name, _, count = line.partition(" ")
                if name == "oom_kill":
                    return int(count)
    return 0


def memory_cap_bytes() -> int | None:
    """Return the memory limit of this process's control group, or None if there is no limit."""
    caps = []
    for group in own_control_groups():
        with contextlib.suppress(OSError, ValueError):  # no file, or "max"
            caps.append(int((group / "memory.max").read_text(encoding="ascii")))
    return min(caps, default=None)
