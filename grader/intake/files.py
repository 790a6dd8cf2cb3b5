"""Look at files that students own: names that never count, kinds, and opening them safely.

A directory is held open by its descriptor, so that nothing which replaces one of its parents is
followed. On Windows, where there are no such descriptors, its path stands for it.
"""

from __future__ import annotations

import errno
import os
import stat
import sys
from pathlib import Path
from typing import BinaryIO

_SKIPPED_NAMES = frozenset({"__pycache__", "__MACOSX", "venv", "env", "node_modules", "reports"})
"""Left in a working directory or an archive by tools; `reports` by this grader."""

# nbgrader (`docs/source/exchange/exchange_api.rst`): `submitted/<student>/<assignment>/` with it.
TIMESTAMP_FILE = "timestamp.txt"

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


Directory = int | Path
"""An open directory: its descriptor, or its path on Windows."""


def open_directory(path: Path | str, parent: Directory | None = None) -> Directory:
    """Open a directory; one below `parent` without following a link.

    Raises:
        OSError: the directory is missing, cannot be read, or is none.
    """
    if sys.platform == "win32":
        found = _beside(path, parent)
        mode = (found.stat() if parent is None else found.lstat()).st_mode
        if not stat.S_ISDIR(mode):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path))
        return found
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
    if parent is None:
        return os.open(path, flags)
    return os.open(path, flags | os.O_NOFOLLOW, dir_fd=_descriptor(parent))


def close_directory(directory: Directory) -> None:
    """Close a directory of `open_directory`."""
    if isinstance(directory, int):
        os.close(directory)


def names_below(directory: Directory) -> list[str]:
    """Return the names of all entries of a directory, as they are written there."""
    return os.listdir(directory)  # noqa: PTH208 - of a descriptor


def status_below(name: str, directory: Directory) -> os.stat_result:
    """Return the status of an entry of a directory, links not followed.

    Raises:
        OSError: there is no such entry.
    """
    if sys.platform == "win32":
        return _beside(name, directory).lstat()
    return os.stat(name, dir_fd=_descriptor(directory), follow_symlinks=False)


def open_regular(path: Path | str, directory: Directory | None = None) -> BinaryIO:
    """Open a regular file without following a link and without waiting.

    Args:
        path: the file, relative to `directory` if that is given.
        directory: an open directory.

    Raises:
        OSError: the file is not regular, or cannot be read.
    """
    if sys.platform == "win32":
        found = _beside(path, directory)
        if not stat.S_ISREG(found.lstat().st_mode):
            raise OSError(errno.EINVAL, "not a regular file")
        return found.open("rb")
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    below = None if directory is None else _descriptor(directory)
    file = os.fdopen(os.open(path, flags, dir_fd=below), "rb")
    # Checked on the open file: another process may have replaced the name since it was listed.
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(errno.EINVAL, "not a regular file")
    return file


def _descriptor(directory: Directory) -> int:
    if isinstance(directory, Path):
        raise TypeError("a path stands for a directory only on Windows")
    return directory


def _beside(path: Path | str, directory: Directory | None) -> Path:
    return directory / path if isinstance(directory, Path) else Path(path)
