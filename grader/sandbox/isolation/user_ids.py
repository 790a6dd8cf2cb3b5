"""A user that nobody else has, claimed for one sandbox together with its directory."""

from __future__ import annotations

import pwd
import random
import tempfile
from pathlib import Path

import psutil

from grader.errors import SandboxError

# Users that no system hands out: those above all that containers are given, and, where a container
# has fewer, systemd's dynamic ones (https://systemd.io/UIDS-GIDS/). In steps of two, since each
# sandbox takes the next one too (`grader.sandbox.supervisor.users`).
RANGES = (range(0x70000000, 0x7FFFFFFE, 2), range(61184, 65518, 2))
ATTEMPTS = 100


def claim_user() -> tuple[int, Path]:
    """A user without a name or a process, and a directory that only one grader can have made.

    Raises:
        SandboxError: none is free, or no directory can be reached by another user.
    """
    place = _find_place()
    mapped = [user for user in RANGES if _is_mapped(user)]
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


def find_closed(path: Path) -> Path | None:
    """The first directory on the way to a path that other users may not enter."""
    for directory in reversed(path.parents):
        if not directory.stat().st_mode & 0o001:
            return directory
    return None


def _find_place() -> Path:
    for place in map(Path, (tempfile.gettempdir(), "/tmp", "/var/tmp")):  # noqa: S108 - claimed by mkdir
        if place.is_dir() and find_closed(place / "x") is None:
            return place
    raise SandboxError("no temporary directory can be entered by other users: chmod 1777 /tmp")


def _is_mapped(users: range) -> bool:
    """Whether this container has all these users and groups (user_namespaces(7))."""
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
    wanted = {user_id, user_id + 1}
    for user in wanted:
        try:
            pwd.getpwuid(user)
        except KeyError:
            continue
        return False
    return not any(
        wanted & set(process.info["uids"] or ()) for process in psutil.process_iter(["uids"])
    )


def has_processes(user_id: int) -> bool:
    """Whether any process of a user runs; one that only waits to be taken notice of does not."""
    return any(
        user_id in (process.info["uids"] or ()) and process.info["status"] != psutil.STATUS_ZOMBIE
        for process in psutil.process_iter(["uids", "status"])
    )
