"""Isolation without namespaces or root: the user who grades, under Landlock and seccomp.

Landlock closes everything that must be opened, and keeps signals inside. The filter refuses what a
user may do to files and processes without opening them.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from grader.errors import SandboxError
from grader.sandbox.isolation.supervised import SupervisedSandbox
from grader.sandbox.protocol import OwnResources
from grader.sandbox.supervisor import landlock


class SameUser(SupervisedSandbox):
    """The user who grades; Landlock and seccomp close all outside the sandbox."""

    name = "same-user"
    isolation = (
        "Student code ran under Landlock and a system call filter, as the user who grades: no "
        "network, a read-only system, no files but its own."
    )
    own = OwnResources(processes=True, shared_memory=False, tasks_of_user=None)
    shares_user = True

    def __init__(self, hidden: tuple[Path, ...] = ()) -> None:
        super().__init__(hidden)
        version = landlock.abi_version()
        self.details = (
            f"runs as the user who grades (uid {os.geteuid()})",
            f"Landlock version {version}: reads system, Python, submission; writes only scratch",
            "signals reach its own processes only",
            "system calls filtered by seccomp: no sockets, no namespaces",
            "nor may it change files or processes by ownership: modes, times, attributes, limits",
            "without namespaces: by guessing a name, it can learn whether a file or process exists",
            "the number of processes and the size of the scratch directory are watched, not capped",
        )

    def _require_support(self) -> None:
        if os.geteuid() == 0:
            raise SandboxError("root has rights that neither Landlock nor the filter takes away")
        version = landlock.abi_version()
        if version < landlock.SCOPES_SINCE:
            found = f"has version {version}" if version else "has none"
            raise SandboxError(
                f"it needs Landlock version {landlock.SCOPES_SINCE}, which keeps signals inside "
                f"(Linux 6.12 or later, with landlock among its security modules); this kernel "
                f"{found}"
            )

    def _claim_place(self) -> tuple[None, Path]:
        return None, Path(tempfile.mkdtemp(prefix="grader-sandbox-"))
