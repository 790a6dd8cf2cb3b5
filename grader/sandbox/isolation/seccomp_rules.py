"""The system calls that nothing in the sandbox needs, refused by a seccomp filter.

Why each is on the list: sockets would reach the machine's abstract and pathname sockets past
Landlock; `memfd_create` and System V shared memory hold memory that no limit counts; inotify would
tell names in directories that Landlock does not open; the rest are known ways to look into or
change other processes, the kernel or its mounts.

A program that has the user of the grader could do more: whatever the kernel lets a user do to files
and processes by ownership alone, without opening them, and so past Landlock.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

REFUSED_CALLS = (
    "socket",
    "memfd_create",
    "memfd_secret",
    "shmget",
    "shmat",
    "shmctl",
    "msgget",
    "msgsnd",
    "msgrcv",
    "msgctl",
    "semget",
    "semop",
    "semtimedop",
    "semctl",
    "mq_open",
    "mq_unlink",
    "inotify_init",
    "inotify_init1",
    "ptrace",
    "process_vm_readv",
    "process_vm_writev",
    "process_madvise",
    "pidfd_getfd",
    "kcmp",
    "keyctl",
    "add_key",
    "request_key",
    "io_uring_setup",
    "io_uring_enter",
    "io_uring_register",
    "userfaultfd",
    "bpf",
    "perf_event_open",
    "unshare",
    "setns",
    "mount",
    "umount2",
    "move_mount",
    "open_tree",
    "fsopen",
    "fsmount",
    "fsconfig",
    "pivot_root",
    "chroot",
    "swapon",
    "swapoff",
    "reboot",
    "kexec_load",
    "kexec_file_load",
    "init_module",
    "finit_module",
    "delete_module",
    "open_by_handle_at",
    "name_to_handle_at",
    "fanotify_init",
    "acct",
    "quotactl",
    "quotactl_fd",
    "syslog",
    "settimeofday",
    "clock_settime",
    "personality",
)

OWNER_CALLS = (
    "chmod",
    "fchmod",
    "fchmodat",
    "chown",
    "fchown",
    "fchownat",
    "lchown",
    "utime",
    "utimes",
    "utimensat",
    "futimesat",
    "migrate_pages",
    "move_pages",
    "process_mrelease",
)
"""What only the owner of a file or process may do to it."""
ATTRIBUTE_CALLS = tuple(
    f"{prefix}{action}xattr"
    for action in ("get", "set", "list", "remove")
    for prefix in ("", "l", "f")
)
"""Extended attributes, read and changed without opening a file."""
CALLS_ON_A_PROCESS = (
    "prlimit64",
    "sched_setaffinity",
    "sched_setattr",
    "sched_setparam",
    "sched_setscheduler",
)
"""They change the process that their first argument names, or the caller, if that is 0."""

# From the first call that is newer than the lists above to one that no kernel will have for long.
# New calls have had the same numbers on all processors since Linux 5.1.
UNKNOWN_CALLS = range(452, 600)
# Of <linux/sched.h>: every CLONE_NEW… that clone(2) knows.
_CLONE_NAMESPACES = 0x7E020000
# Of <linux/prctl.h>. A process that is not dumpable hides its memory from the grader's watch.
_PR_SET_DUMPABLE = 4
# Of <linux/net.h>: kinds of sockets, in the lowest four bits.
_AF_UNIX, _SOCK_DGRAM, _SOCK_RAW, _SOCK_KIND = 1, 2, 3, 0xF
# Of <asm-generic/ioctls.h>: requests to terminals and pipes, less those to file systems.
_FIRST_TERMINAL_REQUEST, _LAST_TERMINAL_REQUEST = 0x5400, 0x54FF
# Of <linux/fcntl.h>.
_F_SETLEASE, _F_NOTIFY = 1024, 1026
_OWNER_MODES = (0o400, 0o200, 0o100)
# What the kernel reads of an argument that is an int, whatever a program puts above it.
_INT = 0xFFFFFFFF


class Rule(NamedTuple):
    """One refusal.

    Attributes:
        call: its name, or its number where libseccomp may not know the name.
        error: what the call fails with.
        condition: when: the number of an argument, libseccomp's comparison, and its operands.
            None for always.
    """

    call: str | int
    error: int = errno.EPERM
    condition: tuple[int, str, *tuple[int, ...]] | None = None


def rules_for_all() -> Iterator[Rule]:
    """What every sandbox refuses."""
    yield from map(Rule, REFUSED_CALLS)
    # One rule for each flag: a comparison can only ask for bits that are all set.
    for bit in range(32):
        flag = 1 << bit
        if flag & _CLONE_NAMESPACES:
            yield Rule("clone", condition=(0, "MASKED_EQ", flag, flag))
    # Its flags lie in memory, where a filter cannot look; without it, the C library uses clone.
    yield Rule("clone3", errno.ENOSYS)
    for number in UNKNOWN_CALLS:
        yield Rule(number, errno.ENOSYS)
    yield Rule("prctl", condition=(0, "MASKED_EQ", _INT, _PR_SET_DUMPABLE))
    # Pairs that are bound to each other stay; one for datagrams can send to any socket's path.
    yield Rule("socketpair", condition=(0, "NE", _AF_UNIX))
    for kind in (_SOCK_DGRAM, _SOCK_RAW):
        yield Rule("socketpair", condition=(1, "MASKED_EQ", _SOCK_KIND, kind))
    # The next question's process inherits what its parent, of the same user, was limited to.
    for name in CALLS_ON_A_PROCESS:
        yield Rule(name, condition=(0, "NE", 0))
    for argument in (0, 1):
        yield Rule("setpriority", condition=(argument, "NE", 0))
    yield Rule("ioprio_set")


def rules_against_owners() -> Iterator[Rule]:
    """What a user may do to files without opening them, and to its processes' memory: refused where
    the program has the user of the grader.
    """
    yield from map(Rule, OWNER_CALLS)
    for name in ATTRIBUTE_CALLS:
        # As on a file system that has none, which programs that copy files expect.
        yield Rule(name, errno.ENOTSUP)
    # Those to file systems change what only the owner may, even of a file opened to be read.
    yield Rule("ioctl", condition=(1, "LT", _FIRST_TERMINAL_REQUEST))
    yield Rule("ioctl", condition=(1, "GT", _LAST_TERMINAL_REQUEST))
    for request in (_F_SETLEASE, _F_NOTIFY):
        yield Rule("fcntl", condition=(1, "MASKED_EQ", _INT, request))
    # No directory may be closed to its owner: its files could be neither counted nor deleted.
    for mode in _OWNER_MODES:
        yield Rule("umask", condition=(0, "MASKED_EQ", mode, mode))
        yield Rule("mkdir", condition=(1, "MASKED_EQ", mode, 0))
        yield Rule("mkdirat", condition=(2, "MASKED_EQ", mode, 0))
