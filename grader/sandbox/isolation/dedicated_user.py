"""Isolation without namespaces, for root in a container: a user of its own, under Landlock."""

from __future__ import annotations

import importlib.util
import pwd
import random
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

import psutil

from grader.errors import SandboxError
from grader.sandbox.isolation import exposed_paths
from grader.sandbox.isolation.supervised import SupervisedSandbox
from grader.sandbox.protocol import OwnResources
from grader.sandbox.supervisor import landlock

# Users that no system hands out: those above all that containers are given, and, where a container
# has fewer, systemd's dynamic ones (https://systemd.io/UIDS-GIDS/). In steps of two, since each
# sandbox takes the next number too (`grader.sandbox.supervisor.main.kill_all_of`).
RANGES = (range(0x70000000, 0x7FFFFFFE, 2), range(61184, 65518, 2))
ATTEMPTS = 100


class DedicatedUser(SupervisedSandbox):
    """A user that no other process has; Landlock and seccomp close all outside the sandbox."""

    name = "uid"
    isolation = (
        "Student code ran as a user of its own under Landlock and a system call filter: no "
        "network, a read-only system, no files but its own."
    )
    own = OwnResources(processes=True, shared_memory=False, tasks_of_user=2)
    shares_user = False

    def __init__(self, hidden: tuple[Path, ...] = ()) -> None:
        super().__init__(hidden)
        version = landlock.abi_version()
        signals = (
            "signals reach its own processes only"
            if version >= landlock.SCOPES_SINCE
            else "only the change of user limits which processes signals reach"
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
        """Return an unused user without a name, and a directory that only one grader can make."""
        place = _find_place()
        mapped = [users for users in RANGES if _is_mapped(users)]
        if not mapped:
            raise SandboxError("this container has no user numbers to spare (/proc/self/uid_map)")
        for _ in range(ATTEMPTS):
            user_id = random.choice(mapped[0])  # noqa: S311 - need not be hard to guess
            if not _is_free(user_id):
                continue
            directory = place / f"grader-user-{user_id}"
            try:
                directory.mkdir(mode=0o700)
            except FileExistsError:
                continue
            return user_id, directory
        raise SandboxError("no free user number was found")


def require_access() -> None:
    """Check that Python and PyTorch can be read by a user who is neither root nor in its groups.

    Raises:
        SandboxError: they cannot; says what would help.
    """
    torch = importlib.util.find_spec("torch")
    needed = [Path(sys.executable), *exposed_paths.python_directories()]
    if torch is not None and torch.origin is not None:
        needed.append(Path(torch.origin))
    for path in dict.fromkeys([*needed, *(path.resolve() for path in needed)]):
        closed = _find_closed(path)
        if closed is not None:
            raise SandboxError(
                f"Python lies in {closed}, which only root may enter: chmod o+x {closed}"
            )
        if path.is_file() and not path.stat().st_mode & 0o004:
            raise SandboxError(f"only root may read {path}: chmod -R o+rX {path.parent}")


def _find_closed(path: Path) -> Path | None:
    """Return the first directory on the way to a path that other users may not enter, or None."""
    closed = (place for place in reversed(path.parents) if not place.stat().st_mode & 0o001)
    return next(closed, None)


def _find_place() -> Path:
    for place in map(Path, (tempfile.gettempdir(), "/tmp", "/var/tmp")):  # noqa: S108 - claimed by mkdir
        if place.is_dir() and _find_closed(place / "x") is None:
            return place
    raise SandboxError("no temporary directory can be entered by other users: chmod 1777 /tmp")


def _is_mapped(users: range) -> bool:
    """Return True if this container has all these users and groups (user_namespaces(7))."""
    return all(
        any(
            first <= users.start and users[-1] + 1 < first + count
            for first, _, count in (
                map(int, line.split()) for line in Path(table).read_text().splitlines()
            )
        )
        for table in ("/proc/self/uid_map", "/proc/self/gid_map")
    )


def _is_free(user_id: int) -> bool:
    """Return True if neither this user nor the next has a name or a process."""
    pair = {user_id, user_id + 1}
    for user in pair:
        with suppress(KeyError):
            pwd.getpwuid(user)
            return False
    return not any(
        pair & set(process.info["uids"] or ()) for process in psutil.process_iter(["uids"])
    )
