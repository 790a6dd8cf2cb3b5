"""Run a command as in a container under Docker's default profile: root that may do little.

`python docker_profile.py [--unconfined] [--user UID] COMMAND …` keeps the 14 capabilities that
Docker keeps, or becomes a plain user who has none, and refuses the calls that its seccomp profile
refuses without CAP_SYS_ADMIN (https://docs.docker.com/engine/security/seccomp/), unless it is
`--unconfined`. It needs root. Directories that only root may enter on the way to Python or this
repository are replaced, for the command, by ones that show nothing else: in a container, Python
lies where everybody can read it.
"""

from __future__ import annotations

import argparse
import ctypes
import errno
import os
import sys
from pathlib import Path

import pyseccomp

# Of <linux/capability.h>: chown, dac_override, fowner, fsetid, kill, setgid, setuid, setpcap,
# net_bind_service, net_raw, sys_chroot, mknod, audit_write, setfcap.
KEPT_CAPABILITIES = {0, 1, 3, 4, 5, 6, 7, 8, 10, 13, 18, 27, 29, 31}
LAST_CAPABILITY = int(Path("/proc/sys/kernel/cap_last_cap").read_text())
REFUSED_CALLS = """
    mount umount2 move_mount open_tree fsopen fsmount fsconfig fspick mount_setattr pivot_root
    unshare setns bpf perf_event_open keyctl add_key request_key kexec_load init_module
    finit_module delete_module open_by_handle_at userfaultfd io_uring_setup io_uring_enter
    io_uring_register process_vm_readv process_vm_writev kcmp swapon swapoff reboot acct quotactl
    fanotify_init settimeofday
""".split()  # noqa: SIM905 - reads best so
CLONE_NAMESPACES = (0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000)
CLONE_NEWNS, MS_BIND, MS_REC, MS_PRIVATE = 0x20000, 0x1000, 0x4000, 0x40000
PR_CAPBSET_DROP = 24

libc = ctypes.CDLL(None, use_errno=True)


def check(result: int) -> None:
    """Raise what a call to the C library left as its error."""
    if result:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def mount(source: str, target: str, kind: str, flags: int, data: str = "") -> None:
    """Mount a file system, or bind a directory that is there already."""
    arguments = (source.encode(), target.encode(), kind.encode(), ctypes.c_ulong(flags))
    check(libc.mount(*arguments, data.encode()))


def show_only(needed: list[Path]) -> None:
    """Replace closed directories by open ones that hold nothing but the way to what is needed."""
    check(libc.unshare(CLONE_NEWNS))
    mount("none", "/", "none", MS_REC | MS_PRIVATE)
    for path in needed:
        closed = [d for d in reversed(path.parents) if not d.stat().st_mode & 0o001]
        if closed:
            descriptor = os.open(path, os.O_PATH)
            mount("none", str(closed[0]), "tmpfs", 0, "mode=0755")
            path.mkdir(parents=True)
            mount(f"/proc/self/fd/{descriptor}", str(path), "none", MS_BIND | MS_REC)
            os.close(descriptor)


def refuse_calls() -> None:
    """Load the seccomp filter; the command can still gain what a set-user-id program gives."""
    profile = pyseccomp.SyscallFilter(pyseccomp.ALLOW)
    profile.set_attr(pyseccomp.Attr.CTL_NNP, 0)
    refusal = pyseccomp.ERRNO(errno.EPERM)
    for name in REFUSED_CALLS:
        profile.add_rule(refusal, name)
    for flag in CLONE_NAMESPACES:
        profile.add_rule(refusal, "clone", pyseccomp.Arg(0, pyseccomp.MASKED_EQ, flag, flag))
    profile.add_rule(pyseccomp.ERRNO(errno.ENOSYS), "clone3")
    profile.load()


def main() -> None:
    """Give up what a container does not have, and become the command."""
    repository = Path(__file__).resolve().parents[2]
    show_only([Path(sys.base_prefix).resolve(), Path(sys.prefix).resolve(), repository])
    os.chdir(repository)
    for capability in set(range(LAST_CAPABILITY + 1)) - KEPT_CAPABILITIES:
        check(libc.prctl(PR_CAPBSET_DROP, ctypes.c_ulong(capability), 0, 0, 0))
    parser = argparse.ArgumentParser()
    parser.add_argument("--unconfined", action="store_true")
    parser.add_argument("--user", type=int, default=0)
    parser.add_argument("command", nargs=argparse.REMAINDER)
    options = parser.parse_args()
    if not options.unconfined:
        refuse_calls()
    if options.user:
        os.setgroups([])
        os.setgid(options.user)
        os.setuid(options.user)
    # From here on the capabilities are those of the bounding set, as for every program of root;
    # another user has none.
    os.execvp(options.command[0], options.command)


if __name__ == "__main__":
    main()
