"""Start a program without namespaces, confined, and kill it with all its descendants.

The supervisor outlives the grader, and student code must not reach it. Run as root, it gives the
program another user. Run by a plain user, it confines signals by Landlock.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import time
from pathlib import Path
from typing import NamedTuple, NoReturn

from grader.kernel import (
    PR_SET_CHILD_SUBREAPER,
    PR_SET_PDEATHSIG,
    load_system_call_filter,
    set_process_option,
)
from grader.sandbox.supervisor import scratch
from grader.sandbox.supervisor.landlock import READ, WRITE, Access, confine_files, confine_signals

POLL_SECONDS = 0.1
PAUSE_SECONDS = 0.002
DELETION_SECONDS = 1.0
WATCHED = (signal.SIGCHLD, signal.SIGTERM)
# Zero for the program: core dumps hold its memory; the other two are memory that nothing counts.
FORBIDDEN_RESOURCES = (resource.RLIMIT_CORE, resource.RLIMIT_MEMLOCK, resource.RLIMIT_MSGQUEUE)


class Plan(NamedTuple):
    """The program to start, and its user. The module `dataclasses` would take long to import.

    Attributes:
        user_id: of the user, and of its group; the next number must be free too. None for the
            grader's own user.
        directory: of the sandbox; exists, is empty, and is deleted in the end.
        sources: paths to copy, and their names below the directory.
        rules: paths outside of it, and the rights of Landlock on each.
        call_filter: the seccomp filter in hexadecimal.
        scratch: the name below the directory of the only one that can be written to.
        scratch_bytes: the largest file.
    """

    grader_pid: int
    user_id: int | None
    directory: str
    sources: list[tuple[str, str]]
    rules: list[tuple[str, int]]
    call_filter: str
    scratch: str
    scratch_bytes: int
    command: list[str]
    environment: dict[str, str]


def main() -> None:
    """Start the program, wait for its end, and clean up."""
    signal.pthread_sigmask(signal.SIG_BLOCK, WATCHED)
    plan = Plan(**json.loads(sys.argv[1]))
    set_process_option(PR_SET_CHILD_SUBREAPER, 1)
    set_process_option(PR_SET_PDEATHSIG, signal.SIGTERM)
    try:
        if plan.user_id is None:
            _confine_own_signals(plan.grader_pid)
        try:
            _fill(plan)
            program = os.fork()
            if program == 0:
                _become_program(plan)
            null = os.open(os.devnull, os.O_RDWR)
            for descriptor in (0, 1, 2):
                os.dup2(null, descriptor)
            _wait_for_end(program, plan.grader_pid)
        finally:
            _kill_all(plan.user_id)
    finally:
        _delete(Path(plan.directory))


def _confine_own_signals(grader: int) -> None:
    """Keep this process's signals among its descendants, so that it may send one to all."""
    confine_signals()
    try:
        os.kill(grader, 0)
    except PermissionError:
        return
    # Nothing is started: to kill all would kill everything that the user runs.
    raise OSError("Landlock lets signals out of the sandbox")


def _fill(plan: Plan) -> None:
    """Copy the program's files; only its user or group may enter, and it owns only scratch."""
    os.umask(0o022)
    directory = Path(plan.directory)
    for source, name in plan.sources:
        target = directory / name
        target.parent.mkdir(parents=True, exist_ok=True)
        _copy(Path(source), target)
    writable = directory / plan.scratch
    writable.mkdir(mode=0o700)
    if plan.user_id is not None:
        os.chown(writable, plan.user_id, plan.user_id)
        os.chown(directory, 0, plan.user_id)
        directory.chmod(0o710)


def _copy(source: Path, target: Path) -> None:
    """Copy regular files and directories, as readable as the umask says."""
    if source.is_symlink():
        return
    if source.is_dir():
        target.mkdir()
        for entry in source.iterdir():
            _copy(entry, target / entry.name)
    else:
        target.write_bytes(source.read_bytes())


def _become_program(plan: Plan) -> NoReturn:
    """Give up everything but the program's own, and become it."""
    try:
        supervisor = os.getppid()
        os.setsid()
        directory = Path(plan.directory)
        rules = [(Path(path), Access(access)) for path, access in plan.rules]
        rules += [(directory / Path(name).parts[0], READ) for _, name in plan.sources]
        rules.append((directory / plan.scratch, WRITE))
        confine_files(rules)
        for forbidden in FORBIDDEN_RESOURCES:
            resource.setrlimit(forbidden, (0, 0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (plan.scratch_bytes, plan.scratch_bytes))
        if plan.user_id is not None:
            os.setgroups([])
            os.setresgid(plan.user_id, plan.user_id, plan.user_id)
            os.setresuid(plan.user_id, plan.user_id, plan.user_id)
        # Only now: a change of the user clears it.
        set_process_option(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != supervisor:
            os._exit(1)
        os.umask(0o077)
        os.chdir(directory / plan.scratch)
        os.closerange(3, os.sysconf("SC_OPEN_MAX"))
        signal.pthread_sigmask(signal.SIG_UNBLOCK, WATCHED)
        load_system_call_filter(bytes.fromhex(plan.call_filter))
        os.execve(plan.command[0], plan.command, plan.environment)  # noqa: S606 - its purpose
    except OSError as error:
        os.write(2, f"{error}\n".encode())
    finally:
        os._exit(1)


def _wait_for_end(program: int, grader: int) -> None:
    """Return once the program has ended, the grader is gone, or the grader says so.

    Reap orphans in between, since zombies count against the user's limit.
    """
    while os.getppid() == grader:
        if program in _reap_children()[0]:
            return
        received = signal.sigtimedwait(WATCHED, POLL_SECONDS)
        if received is not None and received.si_signo == signal.SIGTERM:
            return


def _kill_all(user_id: int | None) -> None:
    """Kill every process of the program, and wait until none remains."""
    while True:
        if user_id is None:
            # Reaches descendants only, and not this process: see `_confine_own_signals`.
            os.kill(-1, signal.SIGKILL)
        else:
            kill_all_of(user_id)
        if not _reap_children()[1]:
            return
        time.sleep(PAUSE_SECONDS)


def kill_all_of(user_id: int) -> None:
    """Send SIGKILL to every process of a user, atomically: none can fork away from it.

    A child with this effective user sends the signal, since the effective user decides which
    processes the signal may reach. The child's real and saved user is the next number. So the
    processes cannot kill the child first: kill(2) compares with the receiver's real and saved user.

    Args:
        user_id: of the processes to kill and of no other; no process may have the next number.
    """
    killer = os.fork()
    if killer == 0:
        try:
            os.setgroups([])
            os.setresgid(user_id, user_id, user_id)
            os.setresuid(user_id + 1, user_id, user_id + 1)
            os.kill(-1, signal.SIGKILL)
        finally:
            os._exit(0)
    os.waitpid(killer, 0)


def _reap_children() -> tuple[set[int], bool]:
    """Reap all exited children, including orphans. Return them, and True if a child still runs."""
    ended: set[int] = set()
    while True:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return ended, False
        if pid == 0:
            return ended, True
        ended.add(pid)


def _delete(directory: Path) -> None:
    """Delete the sandbox's directory; a long deletion goes on after this process has ended.

    Some file systems take milliseconds for each directory, and a grade should not wait for the
    thousands that a submission may make.
    """
    deleter = os.fork()
    if deleter == 0:
        try:
            scratch.delete(directory)
        finally:
            os._exit(0)
    deadline = time.monotonic() + DELETION_SECONDS
    while time.monotonic() < deadline and _reap_children()[1]:
        time.sleep(PAUSE_SECONDS)
