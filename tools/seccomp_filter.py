"""Compile the seccomp filters of the sandbox: `make filters` writes what `grader` ships.

A filter refuses the system calls that nothing in the sandbox needs. Sockets would reach the
machine's abstract and pathname sockets past Landlock. `memfd_create` and System V shared memory
hold memory that no limit counts. inotify would tell names in directories that Landlock closes. The
rest are known ways to inspect or change other processes, the kernel or its mounts.

A program with the grader's own user could do more: whatever the kernel lets a user do to files and
processes by ownership alone, without opening them, and so past Landlock.
"""

from __future__ import annotations

import errno
import struct
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

FILTERS = Path(__file__).parents[1] / "grader" / "sandbox" / "isolation" / "filters"

Numbers = tuple[int, int | None]
"""A system call on x86-64 and on aarch64; None where the processor has no such call."""

REFUSED_CALLS: dict[str, Numbers] = {
    "socket": (41, 198),
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
    "shmget": (29, 194),
    "shmat": (30, 196),
    "shmctl": (31, 195),
    "msgget": (68, 186),
    "msgsnd": (69, 189),
    "msgrcv": (70, 188),
    "msgctl": (71, 187),
    "semget": (64, 190),
    "semop": (65, 193),
    "semtimedop": (220, 192),
    "semctl": (66, 191),
    "mq_open": (240, 180),
    "mq_unlink": (241, 181),
    "inotify_init": (253, None),
    "inotify_init1": (294, 26),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "process_madvise": (440, 440),
    "pidfd_getfd": (438, 438),
    "kcmp": (312, 272),
    "keyctl": (250, 219),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "userfaultfd": (323, 282),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "unshare": (272, 97),
    "setns": (308, 268),
    "mount": (165, 40),
    "umount2": (166, 39),
    "move_mount": (429, 429),
    "open_tree": (428, 428),
    "fsopen": (430, 430),
    "fsmount": (432, 432),
    "fsconfig": (431, 431),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "reboot": (169, 142),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "open_by_handle_at": (304, 265),
    "name_to_handle_at": (303, 264),
    "fanotify_init": (300, 262),
    "acct": (163, 89),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "syslog": (103, 116),
    "settimeofday": (164, 170),
    "clock_settime": (227, 112),
    "personality": (135, 92),
}

OWNER_CALLS: dict[str, Numbers] = {
    "chmod": (90, None),
    "fchmod": (91, 52),
    "fchmodat": (268, 53),
    "chown": (92, None),
    "fchown": (93, 55),
    "fchownat": (260, 54),
    "lchown": (94, None),
    "utime": (132, None),
    "utimes": (235, None),
    "utimensat": (280, 88),
    "futimesat": (261, None),
    "migrate_pages": (256, 238),
    "move_pages": (279, 239),
    "process_mrelease": (448, 448),
}
"""Only the owner of a file or process may make them."""
ATTRIBUTE_CALLS = tuple(zip(range(188, 200), range(5, 17), strict=True))
"""From setxattr to fremovexattr: extended attributes, read and changed without opening a file."""
CALLS_ON_A_PROCESS: dict[str, Numbers] = {
    "prlimit64": (302, 261),
    "sched_setaffinity": (203, 122),
    "sched_setattr": (314, 274),
    "sched_setparam": (142, 118),
    "sched_setscheduler": (144, 119),
}
"""They change the process that their first argument names, or the caller if that is 0."""

FIRST_UNKNOWN_CALL = 452
"""The first call newer than these lists. Since Linux 5.1 all processors share the numbers."""
# Of <linux/audit.h>: the processors, in the order of `Numbers`.
_PROCESSORS = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
# Of <asm/unistd.h>: calls by the numbers of x32, another ABI of x86-64.
_X32_CALLS = 0x40000000
# Of <linux/sched.h>: every CLONE_NEW… that clone(2) knows.
_CLONE_NAMESPACES = 0x7E020000
# Of <linux/prctl.h>. A process that is not dumpable hides its memory from the grader's watch.
_PR_SET_DUMPABLE = 4
# Of <linux/net.h>: kinds of sockets, in the lowest four bits.
_AF_UNIX, _SOCK_DGRAM, _SOCK_RAW, _SOCK_KIND = 1, 2, 3, 0xF
# Of <asm-generic/ioctls.h>: requests to terminals and pipes, as opposed to file systems.
_TERMINAL_REQUESTS = (0x5400, 0x54FF)
# Of <linux/fcntl.h>.
_F_SETLEASE, _F_NOTIFY = 1024, 1026
_OWNER_MODES = (0o400, 0o200, 0o100)
# The part of an int argument that the kernel reads; a program may set the upper bits.
_INT = 0xFFFFFFFF

# Of <linux/bpf_common.h> and <linux/seccomp.h>.
_LOAD, _AND, _RETURN = 0x20, 0x54, 0x06
_IF_EQUAL, _IF_GREATER, _IF_AT_LEAST = 0x15, 0x25, 0x35
_KILL_PROCESS, _FAIL, _ALLOW = 0x80000000, 0x00050000, 0x7FFF0000
# Offsets in `struct seccomp_data`. An argument has 64 bits, the lower half first.
_CALL, _PROCESSOR, _ARGUMENTS = 0, 4, 16


class Rule(NamedTuple):
    """One refusal.

    Attributes:
        call: its numbers.
        error: what the call fails with.
        condition: code that runs the next instruction if the rule applies, else skips it.
    """

    call: Numbers
    error: int = errno.EPERM
    condition: tuple[bytes, ...] = ()


def rules_for_all() -> Iterator[Rule]:
    """Yield the rules of every sandbox."""
    yield from map(Rule, REFUSED_CALLS.values())
    clone, clone3, prctl, socketpair = (56, 220), (435, 435), (157, 167), (53, 199)
    setpriority, ioprio_set = (141, 140), (251, 30)
    for flag in (1 << bit for bit in range(32) if _CLONE_NAMESPACES & 1 << bit):
        yield Rule(clone, condition=_if_masked(0, flag, flag))
    # Its flags lie in memory, where a filter cannot look; without it, the C library uses clone.
    yield Rule(clone3, errno.ENOSYS)
    yield Rule(prctl, condition=_if_masked(0, _INT, _PR_SET_DUMPABLE))
    # Pairs bound to each other stay allowed; a datagram pair can send to any socket's path.
    yield Rule(socketpair, condition=_if_outside(0, _AF_UNIX, _AF_UNIX))
    for kind in (_SOCK_DGRAM, _SOCK_RAW):
        yield Rule(socketpair, condition=_if_masked(1, _SOCK_KIND, kind))
    # The next question's process inherits what its parent, of the same user, was limited to.
    for call in CALLS_ON_A_PROCESS.values():
        yield Rule(call, condition=_if_outside(0, 0, 0))
    for argument in (0, 1):
        yield Rule(setpriority, condition=_if_outside(argument, 0, 0))
    yield Rule(ioprio_set)


def rules_for_shared_user() -> Iterator[Rule]:
    """Yield the further rules of a sandbox that has the grader's own user."""
    yield from map(Rule, OWNER_CALLS.values())
    ioctl, fcntl, umask, mkdir, mkdirat = (16, 29), (72, 25), (95, 166), (83, None), (258, 34)
    for call in ATTRIBUTE_CALLS:
        # As on a file system without attributes, which programs that copy files expect.
        yield Rule(call, errno.ENOTSUP)
    # Requests to file systems change what only the owner may, even of a file opened to be read.
    yield Rule(ioctl, condition=_if_outside(1, *_TERMINAL_REQUESTS))
    for request in (_F_SETLEASE, _F_NOTIFY):
        yield Rule(fcntl, condition=_if_masked(1, _INT, request))
    # No directory may be closed to its owner: its files could be neither counted nor deleted.
    for mode in _OWNER_MODES:
        yield Rule(umask, condition=_if_masked(0, mode, mode))
        yield Rule(mkdir, condition=_if_masked(1, mode, 0))
        yield Rule(mkdirat, condition=_if_masked(2, mode, 0))


def compile_filters() -> Iterator[tuple[str, bytes]]:
    """Yield the name and content of each filter that `grader` ships."""
    for processor in _PROCESSORS:
        yield f"{processor}.bpf", compile_filter(processor, shares_user=False)
        yield f"{processor}-shared-user.bpf", compile_filter(processor, shares_user=True)


def compile_filter(processor: str, *, shares_user: bool) -> bytes:
    """Return a filter as a BPF program (seccomp(2)).

    Args:
        processor: as uname(2) names it.
        shares_user: the program has the grader's own user.
    """
    column = list(_PROCESSORS).index(processor)
    load_call = _instruction(_LOAD, _CALL)
    code = [
        _instruction(_LOAD, _PROCESSOR),
        _instruction(_IF_EQUAL, _PROCESSORS[processor], then=1),
        _instruction(_RETURN, _KILL_PROCESS),
        load_call,
    ]
    if processor == "x86_64":
        code += [
            _instruction(_IF_AT_LEAST, _X32_CALLS, otherwise=1),
            _instruction(_RETURN, _KILL_PROCESS),
        ]
    code += [
        _instruction(_IF_AT_LEAST, FIRST_UNKNOWN_CALL, otherwise=1),
        _instruction(_RETURN, _FAIL | errno.ENOSYS),
    ]
    for rule in [*rules_for_all(), *(rules_for_shared_user() if shares_user else ())]:
        number = rule.call[column]
        if number is None:
            continue
        refusal = [_instruction(_RETURN, _FAIL | rule.error)]
        if rule.condition:
            refusal = [*rule.condition, *refusal, load_call]
        code += [_instruction(_IF_EQUAL, number, otherwise=len(refusal)), *refusal]
    return b"".join([*code, _instruction(_RETURN, _ALLOW)])


def _if_masked(argument: int, mask: int, value: int) -> tuple[bytes, ...]:
    """Return a condition: `mask` leaves `value` of an argument."""
    return (
        _instruction(_LOAD, _ARGUMENTS + 8 * argument),
        _instruction(_AND, mask),
        _instruction(_IF_EQUAL, value, otherwise=1),
    )


def _if_outside(argument: int, first: int, last: int) -> tuple[bytes, ...]:
    """Return a condition: an argument is below `first` or above `last`."""
    low_half = _ARGUMENTS + 8 * argument
    return (
        _instruction(_LOAD, low_half + 4),
        _instruction(_IF_EQUAL, 0, otherwise=3),
        _instruction(_LOAD, low_half),
        _instruction(_IF_AT_LEAST, first, otherwise=1),
        _instruction(_IF_GREATER, last, otherwise=1),
    )


def _instruction(code: int, operand: int, *, then: int = 0, otherwise: int = 0) -> bytes:
    """Return a `struct sock_filter` of <linux/filter.h>; jumps skip `then` or `otherwise`."""
    return struct.pack("<HBBI", code, then, otherwise, operand)


if __name__ == "__main__":
    for name, program in compile_filters():
        (FILTERS / name).write_bytes(program)
