"""The seccomp filters of the sandbox, compiled by `tools/seccomp_filter.py` from its rules.

The rules are constants, so the filters are shipped, and no compiler is needed: decision 017.
"""

from __future__ import annotations

import os
from pathlib import Path

from grader.errors import SandboxError

FILTERS = Path(__file__).with_name("filters")


def read_filter(*, shares_user: bool = False) -> bytes:
    """Return the filter for this processor as a BPF program.

    Args:
        shares_user: the program has the grader's own user.

    Raises:
        SandboxError: no filter was compiled for this processor.
    """
    machine = os.uname().machine
    file = FILTERS / f"{machine}{'-shared-user' if shares_user else ''}.bpf"
    if not file.is_file():
        raise SandboxError(f"no system call filter for {machine}, only for x86-64 and aarch64")
    return file.read_bytes()
