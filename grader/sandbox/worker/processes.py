"""Limit the processes that student code starts, and kill them after each question."""

from __future__ import annotations

import contextlib
import os
import re
import resource
import signal
import sys
from pathlib import Path
from typing import NoReturn

from grader.kernel import PR_SET_CHILD_SUBREAPER, PR_SET_PDEATHSIG, set_process_option
from grader.sandbox.protocol import WorkerLimits

MAXIMUM_KILL_ROUNDS = 100


def limit_resources(limits: WorkerLimits, *, sandbox_tasks: int | None) -> None:
    """Lower this process's limits forever; see `OwnResources.tasks_of_user` for the tasks."""
    cpu_seconds = limits.cpu_seconds
    ceilings = {
        "RLIMIT_CPU": (cpu_seconds, cpu_seconds + 2),
        "RLIMIT_AS": limits.address_bytes,
        "RLIMIT_DATA": limits.data_bytes,
        "RLIMIT_NOFILE": limits.open_files,
        "RLIMIT_FSIZE": limits.scratch_bytes,
        "RLIMIT_CORE": 0,
        "RLIMIT_STACK": 8 * 1024 * 1024,
        "RLIMIT_MSGQUEUE": 0,
        "RLIMIT_MEMLOCK": 0,
    }
    # Elsewhere RLIMIT_NPROC also counts the user's other processes; only the grader's watch counts.
    if sandbox_tasks is not None and _counts_processes_by_namespace():
        ceilings["RLIMIT_NPROC"] = limits.processes + sandbox_tasks
    if not limits.data_bytes:
        # The share of the trusted imports could not be measured here.
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
    """Return True if RLIMIT_NPROC counts per user namespace (Linux 5.14 and later)."""
    version = re.match(r"(\d+)\.(\d+)", os.uname().release)
    return version is not None and (int(version[1]), int(version[2])) >= (5, 14)


def send_kill(pid: int) -> None:
    """Send SIGKILL to a process that may have exited already."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, signal.SIGKILL)


def kill_every_other_process() -> None:
    """Kill all processes but this one and the first of its namespace, which the kernel spares.

    Only for a sandbox in which every visible process is the student's.
    """
    send_kill(-1)


def kill_descendants() -> None:
    """Kill and reap every child, and the orphans that this process then adopts."""
    for _ in range(MAXIMUM_KILL_ROUNDS):
        children = _children()
        for child in children:
            send_kill(child)
        for child in children:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(child, 0)
        if not children:
            return


def exit_with_parent() -> None:
    """Exit with the grader, and kill daemons too: this process adopts them instead of init."""
    if sys.platform == "linux":
        signal.signal(signal.SIGTERM, _kill_all)
        set_process_option(PR_SET_CHILD_SUBREAPER, 1)
        set_process_option(PR_SET_PDEATHSIG, signal.SIGTERM)


def _kill_all(_number: int, _frame: object) -> NoReturn:
    kill_descendants()
    os._exit(1)


def _children() -> list[int]:
    """Return the children of this process, adopted ones included; [] without Linux's list."""
    try:
        listed = Path("/proc/self/task", str(os.getpid()), "children").read_text()
    except OSError:
        return []
    return [int(pid) for pid in listed.split()]
