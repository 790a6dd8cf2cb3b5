"""The seccomp filter refuses what libseccomp refuses by the same rules."""

from __future__ import annotations

import errno
import os
import random
import struct
import tempfile
from types import SimpleNamespace

import pytest

from grader.errors import SandboxError
from grader.sandbox.isolation.seccomp import FILTERS, read_filter
from tools import seccomp_filter
from tools.seccomp_filter import FIRST_UNKNOWN_CALL, compile_filter, compile_filters

AUDIT_NUMBERS = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
ALLOW, FAIL, KILL = 0x7FFF0000, 0x00050000, 0x80000000
INT, TERMINAL = 0xFFFFFFFF, (0x5400, 0x54FF)
CONDITIONS = [
    *(("clone", 0, "MASKED_EQ", 1 << bit, 1 << bit) for bit in (17, *range(25, 31))),
    ("prctl", 0, "MASKED_EQ", INT, 4),
    ("socketpair", 0, "NE", 1),
    ("socketpair", 1, "MASKED_EQ", 0xF, 2),
    ("socketpair", 1, "MASKED_EQ", 0xF, 3),
    *((name, 0, "NE", 0) for name in seccomp_filter.CALLS_ON_A_PROCESS),
    ("setpriority", 0, "NE", 0),
    ("setpriority", 1, "NE", 0),
]
SHARED_USER_CONDITIONS = [
    ("ioctl", 1, "LT", TERMINAL[0]),
    ("ioctl", 1, "GT", TERMINAL[1]),
    ("fcntl", 1, "MASKED_EQ", INT, 1024),
    ("fcntl", 1, "MASKED_EQ", INT, 1026),
    *(("umask", 0, "MASKED_EQ", mode, mode) for mode in (0o400, 0o200, 0o100)),
    *(("mkdir", 1, "MASKED_EQ", mode, 0) for mode in (0o400, 0o200, 0o100)),
    *(("mkdirat", 2, "MASKED_EQ", mode, 0) for mode in (0o400, 0o200, 0o100)),
]
ATTRIBUTES = [f"{p}{a}xattr" for a in ("get", "set", "list", "remove") for p in ("", "l", "f")]
VALUES = [0, 1, 2, 3, 4, 5, 0x10, 0x5400, 0x54FF, 0x5401, 0x53FF, 0x5500, 1024, 1026, 0x7E020000]
VALUES += [0o777, 0o700, 0o600, 0o077, 1 << 17, 1 << 25, INT, 1 << 32, (1 << 32) | 0x5401]
VALUES += [value | 0xF << 40 for value in (1, 4, 1024)]


def run_filter(program: bytes, call: int, processor: int, arguments: list[int]) -> int:
    """Run a BPF program as the kernel does, and return its verdict."""
    data = struct.pack("<IIQ6Q", call & INT, processor, 0, *arguments)
    code = list(struct.iter_unpack("<HBBI", program))
    accumulator = position = 0
    while True:
        operation, then, otherwise, operand = code[position]
        position += 1
        jumps = {0x15: accumulator == operand, 0x25: accumulator > operand}
        jumps[0x35] = accumulator >= operand
        if operation == 0x06:
            return operand
        if operation == 0x20:
            (accumulator,) = struct.unpack_from("<I", data, operand)
        elif operation == 0x54:
            accumulator &= operand
        elif operation == 0x05:
            position += operand
        else:
            position += then if jumps[operation] else otherwise


def compile_by_libseccomp(processor: str, *, shares_user: bool) -> bytes:
    """Compile the rules by libseccomp, from the names of the calls."""
    library = pytest.importorskip("pyseccomp", reason="libseccomp is not installed")
    program = library.SyscallFilter(library.ALLOW)
    if processor != os.uname().machine:
        program.add_arch(getattr(library.Arch, processor.upper()))
        program.remove_arch(library.Arch.NATIVE)
    program.set_attr(library.Attr.ACT_BADARCH, library.KILL_PROCESS)
    refused = [(name, errno.EPERM) for name in (*seccomp_filter.REFUSED_CALLS, "ioprio_set")]
    refused += [("clone3", errno.ENOSYS)]
    conditions = list(CONDITIONS)
    if shares_user:
        refused += [(name, errno.EPERM) for name in seccomp_filter.OWNER_CALLS]
        refused += [(name, errno.ENOTSUP) for name in ATTRIBUTES]
        conditions += SHARED_USER_CONDITIONS
    for name, error in refused:
        if number_of(library, processor, name) >= 0:
            program.add_rule(library.ERRNO(error), name)
    for name, argument, comparison, *operands in conditions:
        if number_of(library, processor, name) >= 0:
            condition = library.Arg(argument, getattr(library, comparison), *operands)
            program.add_rule(library.ERRNO(errno.EPERM), name, condition)
    with tempfile.TemporaryFile() as file:
        program.export_bpf(file)
        file.seek(0)
        return file.read()


def number_of(library: object, processor: str, name: str) -> int:
    """Return a call's number; negative if the processor has no such call."""
    return library.resolve_syscall(getattr(library.Arch, processor.upper()), name)


@pytest.mark.parametrize("shares_user", [False, True])
@pytest.mark.parametrize("processor", ["x86_64", "aarch64"])
def test_same_as_libseccomp(processor: str, *, shares_user: bool) -> None:
    """For each call and many arguments, both filters come to the same verdict."""
    ours = compile_filter(processor, shares_user=shares_user)
    theirs = compile_by_libseccomp(processor, shares_user=shares_user)
    assert len(ours) // 8 < 4096  # the kernel's maximum
    audit = AUDIT_NUMBERS[processor]
    chance = random.Random(0)
    verdicts = set()
    for call in range(FIRST_UNKNOWN_CALL):
        tries = [[value] * 6 for value in VALUES]
        tries += [chance.choices(VALUES, k=6) for _ in range(20)]
        for arguments in tries:
            verdict = run_filter(ours, call, audit, arguments)
            verdicts.add(verdict)
            assert verdict == run_filter(theirs, call, audit, arguments), (call, arguments)
    assert {ALLOW, FAIL | errno.EPERM, FAIL | errno.ENOSYS} <= verdicts


@pytest.mark.parametrize("processor", ["x86_64", "aarch64"])
def test_other_abis(processor: str) -> None:
    """A call by the numbers of another ABI ends the process; an unknown call fails."""
    program = compile_filter(processor, shares_user=False)
    audit = AUDIT_NUMBERS[processor]
    for other in (0x40000003, 0x40000028, 0, *set(AUDIT_NUMBERS.values()) - {audit}):
        assert run_filter(program, 0, other, [0] * 6) == KILL
    x32 = run_filter(program, 0x40000000 + 41, audit, [0] * 6)
    assert x32 == (KILL if processor == "x86_64" else FAIL | errno.ENOSYS)
    assert run_filter(program, 600, audit, [0] * 6) == FAIL | errno.ENOSYS


def test_shipped() -> None:
    """The shipped filters are those that the rules compile to."""
    shipped = {path.name: path.read_bytes() for path in FILTERS.iterdir()}
    assert shipped == dict(compile_filters()), "run make filters"


def test_unknown_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    """A processor whose system calls are unknown gets no sandbox."""
    monkeypatch.setattr(os, "uname", lambda: SimpleNamespace(machine="riscv64"))
    with pytest.raises(SandboxError, match="no system call filter for riscv64"):
        read_filter()
