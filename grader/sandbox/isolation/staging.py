"""Run bubblewrap as nobody, though its sources lie where only root may enter.

An unprivileged bubblewrap can only bind what its own user can reach. So each source is bound to a
numbered name on a small file system that only this process and its children see. This file is run
as a script; it imports nothing but the standard library.
"""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

BIND = "--ro-bind"
"""bubblewrap's option before a source and its target."""
STAGE = "/tmp"  # noqa: S108 - covered by a private file system; nothing is written to the machine's
UNPRIVILEGED_ID = 65534
"""The user and group "nobody" (Linux's overflow id), which owns no file."""

# Of <linux/sched.h> and <linux/mount.h>.
CLONE_NEWNS = 0x20000
MS_BIND = 0x1000
MS_REC = 0x4000
MS_PRIVATE = 0x40000


def main() -> None:
    """Stage the sources of a bubblewrap command, give up root, and become bubblewrap.

    The first argument is the directory of bubblewrap and its libraries, the rest is the command.
    """
    top, *command = sys.argv[1:]
    options = range(command.index("--"))
    indices = [index + 1 for index in options if command[index] == BIND]
    _stage([top, *(command[index] for index in indices)])
    command[0] = f"{STAGE}/0{command[0].removeprefix(top.rstrip('/'))}"
    for number, index in enumerate(indices, start=1):
        command[index] = f"{STAGE}/{number}"
    os.setgroups([])
    os.setgid(UNPRIVILEGED_ID)
    os.setuid(UNPRIVILEGED_ID)
    os.execve(command[0], command, {})  # noqa: S606 - that is its purpose


def _stage(sources: list[str]) -> None:
    """Bind each source to its number below the stage, in a mount namespace."""
    libc = ctypes.CDLL(None, use_errno=True)

    def mount(source: str | None, target: str, kind: str | None, flags: int, data: str) -> None:
        arguments = [None if text is None else os.fsencode(text) for text in (source, target, kind)]
        if libc.mount(*arguments, ctypes.c_ulong(flags), os.fsencode(data)):
            raise OSError(ctypes.get_errno(), "cannot mount", source, None, target)

    if libc.unshare(CLONE_NEWNS):
        raise OSError(ctypes.get_errno(), "cannot make a mount namespace")
    mount(None, "/", None, MS_REC | MS_PRIVATE, "")
    # Opened before the stage covers a directory that may hold some of them.
    descriptors = [os.open(source, os.O_PATH | os.O_CLOEXEC) for source in sources]
    mount("tmpfs", STAGE, "tmpfs", 0, "mode=0755,size=65536")
    for number, descriptor in enumerate(descriptors):
        source, target = f"/proc/self/fd/{descriptor}", f"{STAGE}/{number}"
        if Path(source).is_dir():
            Path(target).mkdir()
        else:
            Path(target).touch()
        mount(source, target, None, MS_BIND | MS_REC, "")


if __name__ == "__main__":
    main()
