"""Look at files that students own: names that never count, kinds, and opening them safely."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO

_SKIPPED_NAMES = frozenset({"__pycache__", "__MACOSX", "venv", "env", "node_modules", "reports"})
"""Left in a working directory or an archive by tools; `reports` by this grader."""

_KIND_NAMES = {
    stat.S_IFDIR: "a directory",
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def is_skipped(name: str) -> bool:
    """Return True if no file or directory of this name is the student's work."""
    return name.startswith(".") or name in _SKIPPED_NAMES


def kind_of(path: Path) -> int:
    """Return the file type bits of `path` (`stat.S_IFMT`), links not followed; 0 if missing."""
    try:
        return stat.S_IFMT(path.lstat().st_mode)
    except OSError:
        return 0


def kind_name(mode: int) -> str:
    """Return the words that messages use for a file that is not regular."""
    return _KIND_NAMES.get(stat.S_IFMT(mode), "not a regular file")


def open_regular(path: Path | str, directory: int | None = None) -> BinaryIO:
    """Open a regular file without following a link and without waiting.

    Args:
        path: the file, relative to `directory` if that is given.
        directory: a directory's descriptor.

    Raises:
        OSError: the file is not regular, or cannot be read.
    """
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    file = os.fdopen(os.open(path, flags, dir_fd=directory), "rb")
    # Checked on the open file: another process may have replaced the name since it was listed.
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(errno.EINVAL, "not a regular file")
    return file
