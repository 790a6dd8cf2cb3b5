"""Choose the kind of isolation: the first that passes its self-test on this machine."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from grader.errors import SandboxError
from grader.sandbox.isolation.interface import Sandbox
from grader.sandbox.isolation.memory_cap import find_parent
from grader.sandbox.isolation.own_work import OPTION, OwnWork, refuse_where_others_are_graded

__all__ = ["Sandbox", "choose_sandbox", "is_for_own_work_only", "try_sandboxes"]

_SYSTEMS = {"darwin": "macOS", "win32": "Windows"}


def choose_sandbox(*, own_work: bool = False, hidden: Sequence[Path] = ()) -> Sandbox:
    """Return the first kind of isolation that passes its self-test on this machine.

    Args:
        own_work: the user grades work of their own, without a sandbox.
        hidden: directories to hide from student code even if they lie below the system's or
            Python's own, such as a data set's.

    Raises:
        SandboxError: no kind passes; the message says why, and the next step what would help here.
        UsageError: `own_work` on a machine that grades others' work.
    """
    if own_work:
        refuse_where_others_are_graded()
        return OwnWork()
    sandbox = _find_working(tuple(hidden))
    sandbox.control_group = find_parent()
    sandbox.details = (
        *sandbox.details,
        "memory of all processes together: watched"
        + (", and capped by cgroup v2" if sandbox.control_group is not None else ", not capped"),
    )
    return sandbox


def is_for_own_work_only() -> bool:
    """Return True on a system for which no kind of isolation exists."""
    return not sys.platform.startswith("linux")


def _find_working(hidden: tuple[Path, ...]) -> Sandbox:
    if is_for_own_work_only():
        system = _SYSTEMS.get(sys.platform, sys.platform)
        raise SandboxError(
            f"{system} has no sandbox for student code. To grade your own work without one, add "
            f"{OPTION}: grade . {OPTION}"
        )
    from grader.sandbox.isolation.linux import remedy  # noqa: PLC0415 - loads on Linux only

    reasons = []
    for label, sandbox, fault in try_sandboxes(hidden):
        if fault is None:
            return sandbox
        reasons.append(f"{label}: {fault}")
    listing = "\n".join(f"  - {reason}" for reason in reasons)
    raise SandboxError(
        f"no sandbox for student code works on this machine:\n{listing}", next_step=remedy()
    )


def try_sandboxes(hidden: tuple[Path, ...] = ()) -> Iterator[tuple[str, Sandbox, str | None]]:
    """Try each kind of isolation that fits this machine, the preferred one first.

    Yields:
        Its label, the sandbox, and the first promise that it breaks; None if it keeps all.
    """
    if is_for_own_work_only():
        return
    from grader.sandbox.isolation import linux  # noqa: PLC0415 - loads on Linux only
    from grader.sandbox.isolation.self_test import find_fault  # noqa: PLC0415

    for label, sandbox in linux.candidates(hidden):
        yield label, sandbox, find_fault(sandbox)
