"""Landlock: restrict the files that a process and its descendants may use (landlock(7)).

Landlock only takes away: files that the user could not open before stay closed. It does not rule on
calls that open no file: a path's existence, size and times can be asked for (stat(2)).
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterable
from enum import IntFlag
from pathlib import Path

from grader.kernel import PR_SET_NO_NEW_PRIVS, set_process_option

# The same numbers on x86-64 and aarch64, as of every call since Linux 5.1.
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446

# Of <linux/landlock.h>.
_CREATE_RULESET_VERSION = 1
_RULE_PATH_BENEATH = 1
_NET_BIND_AND_CONNECT_TCP = 0b11
_SCOPE_ABSTRACT_SOCKETS_AND_SIGNALS = 0b11
TCP_SINCE, SCOPES_SINCE = 4, 6


class Access(IntFlag):
    """The kernel's LANDLOCK_ACCESS_FS_… rights."""

    EXECUTE = 1 << 0
    WRITE_FILE = 1 << 1
    READ_FILE = 1 << 2
    READ_DIR = 1 << 3
    REMOVE_DIR = 1 << 4
    REMOVE_FILE = 1 << 5
    MAKE_CHAR = 1 << 6
    MAKE_DIR = 1 << 7
    MAKE_REG = 1 << 8
    MAKE_SOCK = 1 << 9
    MAKE_FIFO = 1 << 10
    MAKE_BLOCK = 1 << 11
    MAKE_SYM = 1 << 12
    REFER = 1 << 13
    TRUNCATE = 1 << 14
    IOCTL_DEV = 1 << 15


READ = Access.EXECUTE | Access.READ_FILE | Access.READ_DIR
LIST = Access.READ_DIR
USE_DEVICE = Access.READ_FILE | Access.WRITE_FILE | Access.TRUNCATE
# No EXECUTE: a program that its owner may run but not read would hide its memory.
WRITE = (
    Access.READ_FILE
    | Access.READ_DIR
    | Access.WRITE_FILE
    | Access.TRUNCATE
    | Access.REMOVE_DIR
    | Access.REMOVE_FILE
    | Access.MAKE_DIR
    | Access.MAKE_REG
    | Access.MAKE_SYM
    | Access.REFER
)
_FILE_RIGHTS = Access.EXECUTE | USE_DEVICE | Access.IOCTL_DEV


class _Ruleset(ctypes.Structure):
    """`struct landlock_ruleset_attr`; an older kernel expects zeros in the fields it lacks."""

    _fields_ = (
        ("handled_access_fs", ctypes.c_uint64),
        ("handled_access_net", ctypes.c_uint64),
        ("scoped", ctypes.c_uint64),
    )


class _PathBeneath(ctypes.Structure):
    """`struct landlock_path_beneath_attr`."""

    _pack_ = 1
    _fields_ = (("allowed_access", ctypes.c_uint64), ("parent_fd", ctypes.c_int32))


def abi_version() -> int:
    """Return the version of Landlock that the kernel offers; 0 if it has none."""
    try:
        return _call(_CREATE_RULESET, None, 0, _CREATE_RULESET_VERSION)
    except OSError:
        return 0


def confine_files(rules: Iterable[tuple[Path, Access]]) -> None:
    """Close every file that no rule opens, to this process and its descendants, forever.

    A right on a directory holds for everything below it. Landlock 4 and later also closes TCP.
    Landlock 6 and later also closes abstract sockets of other processes, and signals to them. Sets
    no_new_privs.

    Raises:
        OSError: the kernel has no Landlock, or a path of a rule cannot be found.
    """
    version = abi_version()
    last = {1: Access.MAKE_SYM, 2: Access.REFER, 3: Access.TRUNCATE, 4: Access.TRUNCATE}
    handled = Access(2 * last.get(version, Access.IOCTL_DEV) - 1)  # the last one and all before
    ruleset = _Ruleset(
        handled,
        _NET_BIND_AND_CONNECT_TCP if version >= TCP_SINCE else 0,
        _SCOPE_ABSTRACT_SOCKETS_AND_SIGNALS if version >= SCOPES_SINCE else 0,
    )
    _restrict(ruleset, [(path, access & handled) for path, access in rules])


def confine_signals() -> None:
    """Keep signals of this process and its descendants among themselves, forever.

    Signals still reach descendants that are confined further, but not the other way round. Sets
    no_new_privs.

    Raises:
        OSError: the kernel has no Landlock of version 6.
    """
    # Files may be moved between directories only where every restriction says so.
    ruleset = _Ruleset(Access.REFER, 0, _SCOPE_ABSTRACT_SOCKETS_AND_SIGNALS)
    _restrict(ruleset, [(Path("/"), Access.REFER)])


def _restrict(ruleset: _Ruleset, rules: Iterable[tuple[Path, Access]]) -> None:
    descriptor = _call(_CREATE_RULESET, ctypes.byref(ruleset), ctypes.sizeof(ruleset), 0)
    try:
        for path, access in rules:
            _add_rule(descriptor, path, access)
        set_process_option(PR_SET_NO_NEW_PRIVS, 1)
        _call(_RESTRICT_SELF, descriptor, 0)
    finally:
        os.close(descriptor)


def _add_rule(ruleset: int, path: Path, access: Access) -> None:
    parent = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        if not path.is_dir():
            access &= _FILE_RIGHTS
        rule = _PathBeneath(access, parent)
        _call(_ADD_RULE, ruleset, _RULE_PATH_BENEATH, ctypes.byref(rule), 0)
    finally:
        os.close(parent)


def _call(number: int, *arguments: object) -> int:
    converted = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    result = int(ctypes.CDLL(None, use_errno=True).syscall(ctypes.c_long(number), *converted))
    if result < 0:
        raise OSError(ctypes.get_errno(), f"Landlock: {os.strerror(ctypes.get_errno())}")
    return result
