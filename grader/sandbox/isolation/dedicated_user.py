"""Isolation without namespaces, for root in a container: a user of its own, under Landlock."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grader.errors import SandboxError
from grader.sandbox.isolation.landlock_rules import require_access
from grader.sandbox.isolation.seccomp import compile_filter
from grader.sandbox.isolation.supervised import SupervisedSandbox
from grader.sandbox.isolation.user_ids import claim_user
from grader.sandbox.supervisor import landlock

if TYPE_CHECKING:
    from pathlib import Path


class DedicatedUser(SupervisedSandbox):
    """A user that no other process has, to whom Landlock and seccomp leave only what is its own.

    Args:
        hidden: directories that must not be read even if they lie below the system's own.
    """

    name = "uid"
    isolation = (
        "Student code ran as a user of its own under Landlock and a system call filter: no "
        "network, a read-only system, no files but its own."
    )
    namespace = "user"
    own_tasks = 3

    def __init__(self, hidden: tuple[Path, ...] = ()) -> None:
        super().__init__(compile_filter(), hidden)
        version = landlock.abi_version()
        signals = (
            "signals reach its own processes only"
            if version >= landlock.SCOPES_SINCE
            else "whom signals may reach is for the user alone to limit"
        )
        self.details = (
            "a user without groups or capabilities, a new one for every worker",
            f"Landlock version {version}: reads system, Python, submission; writes only scratch",
            signals,
            "system calls filtered by seccomp: no sockets, no namespaces",
            "without namespaces: by guessing a name, it can learn whether a file or process exists",
            "the size of the scratch directory is watched, not capped",
        )

    def _require_support(self) -> None:
        if landlock.abi_version() == 0:
            raise SandboxError("this kernel has no Landlock (Linux 5.13 or later, enabled)")
        require_access()

    def _claim_place(self) -> tuple[int, Path]:
        return claim_user()
