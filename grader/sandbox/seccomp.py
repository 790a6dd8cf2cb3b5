"""The system calls that nothing in the sandbox needs, refused by a seccomp filter.

Why each is on the list: sockets would reach the machine's abstract and pathname sockets past
Landlock; `memfd_create` and System V shared memory hold memory that no limit counts; the rest are
known ways to look into or change other processes, the kernel or its mounts.
"""

from __future__ import annotations

import tempfile

REFUSED_CALLS = (
    "socket",
    "memfd_create",
    "memfd_secret",
    "shmget",
    "shmat",
    "msgget",
    "semget",
    "mq_open",
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
            program.add_rule(pyseccomp.ERRNO(1), name)
        except (RuntimeError, OSError, ValueError):
            continue  # an older libseccomp does not know the newest calls
    with tempfile.TemporaryFile() as file:
        program.export_bpf(file)
        file.seek(0)
        return file.read()
