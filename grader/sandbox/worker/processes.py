"""The processes that student code starts: limited, and ended after each question."""

from __future__ import annotations

import contextlib
import os
import re
import resource
import signal
from pathlib import Path
from typing import Any, NoReturn

MAXIMUM_KILL_ROUNDS = 100
# Of <linux/prctl.h>.
PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36


def limit_resources(limits: dict[str, Any], *, sandbox_tasks: int | None) -> None:
    """Lower this process's limits for good.

    Args:
        limits: those that came with the question.
        sandbox_tasks: how many processes and threads of the same user are not the student's; None
            where others have that user too.
    """
    cpu_seconds = limits["cpu_seconds"]
    ceilings = {
        "RLIMIT_CPU": (cpu_seconds, cpu_seconds + 2),
        "RLIMIT_AS": limits["address_bytes"],
        "RLIMIT_DATA": limits["data_bytes"],
        "RLIMIT_NOFILE": limits["open_files"],
        "RLIMIT_FSIZE": limits["scratch_bytes"],
        "RLIMIT_CORE": 0,
        "RLIMIT_STACK": 8 * 1024 * 1024,
        "RLIMIT_MSGQUEUE": 0,
        "RLIMIT_MEMLOCK": 0,
    }
    # Elsewhere the user's other processes would count too; the grader's own watch has to do.
    if sandbox_tasks is not None and _counts_processes_by_namespace():
        ceilings["RLIMIT_NPROC"] = limits["processes"] + sandbox_tasks
    if not limits["data_bytes"]:
        # It could not be measured here how much of it the trusted imports take.
        del ceilings["RLIMIT_DATA"]
    for name, ceiling in ceilings.items():
        number = getattr(resource, name, None)
        if number is None:
            continue
        soft, hard = ceiling if isinstance(ceiling, tuple) else (ceiling, ceiling)
        _, highest = resource.getrlimit(number)
        if highest != resource.RLIM_INFINITY:
            soft, hard = min(soft, highest), min(hard, highest)
        resource.setrlimit(number, (soft, hard))


def _counts_processes_by_namespace() -> bool:
    """Whether RLIMIT_NPROC counts the processes of one user namespace (Linux 5.14 and later)."""
    version = re.match(r"(\d+)\.(\d+)", os.uname().release)
    return version is not None and (int(version[1]), int(version[2])) >= (5, 14)


def send_kill(pid: int) -> None:
    """Send SIGKILL to a process that may have ended already."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, signal.SIGKILL)


def end_every_other_process() -> None:
    """End all processes but this one and the first of its namespace, which the kernel spares.

    Only where every process that can be seen is the student's.
    """
    send_kill(-1)


def end_descendants() -> None:
    """End and reap every child, and each child that an ended one hands on to this process."""
    for _ in range(MAXIMUM_KILL_ROUNDS):
        children = _children()
        for child in children:
            send_kill(child)
        for child in children:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(child, 0)
        if not children:
            return


def end_with_parent() -> None:
    """End with the grader, daemons too: they become children of this process, not of init."""
    import ctypes  # noqa: PLC0415 - only where no namespace does the same

    prctl = getattr(ctypes.CDLL(None), "prctl", None)
    if prctl is not None:
        signal.signal(signal.SIGTERM, _end_all)
        prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)


def _end_all(_number: int, _frame: object) -> NoReturn:
    end_descendants()
    os._exit(1)


def _children() -> list[int]:
    """The children of this process, adopted ones included; none where Linux's list is missing."""
    try:
        listed = Path("/proc/self/task", str(os.getpid()), "children").read_text()
    except OSError:
        return []
    return [int(pid) for pid in listed.split()]
