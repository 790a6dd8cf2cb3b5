"""Run as root before bubblewrap: makes its sources reachable, then gives up root for good.

An unprivileged bubblewrap can only bind what its own user can reach, and root's Python or the
private copy of a submission often lies below a directory that only root may enter. So each
source is bound to a numbered name on a small file system that only this process and its
children see. This file is run as a script of its own; it imports nothing but the standard library.
"""

from __future__ import annotations

import ctypes
import json
import os
import sys
from pathlib import Path

STAGE = "/tmp"  # noqa: S108 - covered by a private file system; nothing is written to the machine's
UNPRIVILEGED_ID = 65534
"""The user and group "nobody" (Linux's overflow id), which owns no file."""

# Of <linux/sched.h> and <linux/mount.h>.
CLONE_NEWNS = 0x20000
MS_BIND = 0x1000
MS_REC = 0x4000
MS_PRIVATE = 0x40000


def staged_path(index: int) -> str:
    """Where the source with this index is bound."""
    return f"{STAGE}/{index}"


def main() -> None:
    """Bind the sources, drop to nobody without groups or environment, and become the program."""
    plan = json.loads(sys.argv[1])
    libc = ctypes.CDLL(None, use_errno=True)

    def mount(source: str | None, target: str, kind: str | None, flags: int, data: str) -> None:
        arguments = [None if text is None else os.fsencode(text) for text in (source, target, kind)]
        if libc.mount(*arguments, ctypes.c_ulong(flags), os.fsencode(data)):
            raise OSError(ctypes.get_errno(), "cannot mount", source, None, target)

    if libc.unshare(CLONE_NEWNS):
        raise OSError(ctypes.get_errno(), "cannot make a mount namespace")
    mount(None, "/", None, MS_REC | MS_PRIVATE, "")
    # Opened before the stage covers a directory that may hold some of them.
    descriptors = [os.open(source, os.O_PATH | os.O_CLOEXEC) for source in plan["sources"]]
    mount("tmpfs", STAGE, "tmpfs", 0, "mode=0755,size=65536")
    for index, descriptor in enumerate(descriptors):
        source, target = f"/proc/self/fd/{descriptor}", staged_path(index)
        if Path(source).is_dir():
            Path(target).mkdir()
        else:
            Path(target).touch()
        mount(source, target, None, MS_BIND | MS_REC, "")
    os.setgroups([])
    os.setgid(UNPRIVILEGED_ID)
    os.setuid(UNPRIVILEGED_ID)
    os.execve(plan["arguments"][0], plan["arguments"], {})  # noqa: S606 - that is its purpose


if __name__ == "__main__":
    main()
