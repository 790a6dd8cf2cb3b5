"""Temporary directories that the next run cleans up after a crash.

Each holds a lock file. The kernel frees the lock when the grader ends, however it ends, and the
next grader deletes the directories whose lock is free.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

PREFIX = "grader-submission-"
LOCK = "lock"
_open: set[Path] = set()
"""Directories of this process."""

SETTLING_SECONDS = 60.0
"""A younger directory may belong to a grader that is about to lock it."""


@contextlib.contextmanager
def private_directory() -> Iterator[Path]:
    """Make a directory that only this user can enter, and delete it at the end.

    Directories that killed graders left are deleted, too.
    """
    for abandoned in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):
            if _is_abandoned(abandoned):
                _delete(abandoned)
    path = Path(tempfile.mkdtemp(prefix=PREFIX))
    _open.add(path)
    lock = _lock(path)
    try:
        with lock.acquire():
            yield path
    finally:
        _delete(path)
        _open.discard(path)


def delete_all() -> None:
    """Delete the directories of this process, which is about to end without leaving them."""
    for path in list(_open):
        with contextlib.suppress(OSError):
            _delete(path)


def _is_abandoned(path: Path) -> bool:
    """Return True if a directory is this user's, and its grader has ended.

    Raises:
        OSError: another grader is deleting the directory, or it holds no lock file.
    """
    status = path.lstat()
    if sys.platform != "win32" and status.st_uid != os.geteuid():
        return False
    if time.time() - status.st_mtime < SETTLING_SECONDS:
        return False
    if not stat.S_ISREG((path / LOCK).lstat().st_mode):
        return False
    try:
        with _lock(path).acquire():
            return True
    except Timeout:
        return False


def _lock(path: Path) -> FileLock:
    return FileLock(path / LOCK, timeout=0, mode=0o600, thread_local=False)


def _delete(root: Path) -> None:
    """Delete a directory and its contents, read-only directories too."""
    for parent, _, names in os.walk(root):
        Path(parent).chmod(0o700)
        if sys.platform == "win32":  # which deletes no read-only file
            for name in names:
                Path(parent, name).chmod(0o600)
    # The lock last: if this is interrupted, the next grader can still delete the rest.
    for path in root.iterdir():
        if path.name != LOCK:
            shutil.rmtree(path, ignore_errors=True)
    shutil.rmtree(root, ignore_errors=True)
