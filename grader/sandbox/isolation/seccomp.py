"""The rules of `grader.sandbox.isolation.seccomp_rules`, compiled to a seccomp filter."""

from __future__ import annotations

import tempfile
from contextlib import suppress

from grader.sandbox.isolation.seccomp_rules import rules_against_owners, rules_for_all


def compile_filter(*, shares_user: bool = False) -> bytes | None:
    """The filter as a BPF program.

    Args:
        shares_user: the program has the user of the grader.

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
    rules = [*rules_for_all(), *(rules_against_owners() if shares_user else ())]
    for call, error, condition in rules:
        conditions = []
        if condition is not None:
            argument, comparison, *operands = condition
            conditions.append(pyseccomp.Arg(argument, getattr(pyseccomp, comparison), *operands))
        # An older libseccomp does not know the newest calls, and no processor has every old one.
        with suppress(RuntimeError, OSError, ValueError):
            program.add_rule(pyseccomp.ERRNO(error), call, *conditions)
    with tempfile.TemporaryFile() as file:
        program.export_bpf(file)
        file.seek(0)
        return file.read()
