"""The system calls that nothing in the sandbox needs, refused by a seccomp filter.

Why each is on the list: sockets would reach the machine's abstract and pathname sockets past
Landlock; `memfd_create` and System V shared memory hold memory that no limit counts; inotify would
tell names in directories that Landlock does not open; the rest are known ways to look into or
change other processes, the kernel or its mounts.
"""

from __future__ import annotations

import errno
import tempfile

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
    "syslog",
    "settimeofday",
    "clock_settime",
    "personality",
)

# Of <linux/sched.h>: every CLONE_NEW… that clone(2) knows.
_CLONE_NAMESPACES = 0x7E020000
# Of <linux/prctl.h>. A process that is not dumpable hides its memory from the grader's watch.
_PR_SET_DUMPABLE = 4


def compile_filter() -> bytes | None:
    """The filter as a BPF program.

    Returns:
        None where libseccomp, which pyseccomp needs, is not installed.
    """
    try:
        import pyseccomp  # noqa: PLC0415 - importing it fails where libseccomp is missing
    except (ImportError, OSError, RuntimeError):
        return None
    program = pyseccomp.SyscallFilter(pyseccomp.ALLOW)
    # A call by the number of another ABI of the same processor ends the process at once.
    program.set_attr(pyseccomp.Attr.ACT_BADARCH, pyseccomp.KILL_PROCESS)
    for name in REFUSED_CALLS:
        try:
            program.add_rule(pyseccomp.ERRNO(errno.EPERM), name)
        except (RuntimeError, OSError, ValueError):
            continue  # an older libseccomp does not know the newest calls
    # One rule for each flag: a comparison can only ask for bits that are all set.
    for bit in range(32):
        flag = 1 << bit
        if flag & _CLONE_NAMESPACES:
            has_flag = pyseccomp.Arg(0, pyseccomp.MASKED_EQ, flag, flag)
            program.add_rule(pyseccomp.ERRNO(errno.EPERM), "clone", has_flag)
    # Its flags lie in memory, where a filter cannot look; without it, the C library uses clone.
    program.add_rule(pyseccomp.ERRNO(errno.ENOSYS), "clone3")
    program.add_rule(
        pyseccomp.ERRNO(errno.EPERM), "prctl", pyseccomp.Arg(0, pyseccomp.EQ, _PR_SET_DUMPABLE)
    )
    with tempfile.TemporaryFile() as file:
        program.export_bpf(file)
        file.seek(0)
        return file.read()
