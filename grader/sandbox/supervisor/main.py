"""Starts a program without namespaces, confined, and ends all the processes that come of it.

It ends them when the program has ended, when it is told to (SIGTERM), and when the grader is gone,
however that ended. So it must outlive the grader, and nothing that student code can do reaches it:
run as root, it gives the program another user; run by a plain user, it makes Landlock refuse
signals from the program, and confines its own to what it started.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, NoReturn

from grader.kernel import (
    PR_SET_CHILD_SUBREAPER,
    PR_SET_PDEATHSIG,
    load_system_call_filter,
    set_process_option,
)
from grader.sandbox.supervisor import scratch
from grader.sandbox.supervisor.landlock import READ, WRITE, Access, confine_files, confine_signals
from grader.sandbox.supervisor.users import kill_all_in_scope, kill_all_of, reap_ended_children

if TYPE_CHECKING:
    from collections.abc import Callable

POLL_SECONDS = 0.1
PAUSE_SECONDS = 0.002
DELETION_SECONDS = 1.0
WATCHED = (signal.SIGCHLD, signal.SIGTERM)
# None of these may be had at all: core dumps hold what was in memory, the others memory uncounted.
FORBIDDEN_RESOURCES = (resource.RLIMIT_CORE, resource.RLIMIT_MEMLOCK, resource.RLIMIT_MSGQUEUE)


class Plan(NamedTuple):
    """What to start, and as whom. The module `dataclasses` would take long to import.

    Attributes:
        grader_pid: the process that must stay alive.
        user_id: of the user, and of its group; that of the next must be free too. None for the
            user who grades.
        directory: of the sandbox; it exists, is empty and is deleted in the end.
        sources: paths to copy, and their names below the directory.
        rules: paths outside of it, and the rights of Landlock on each.
        call_filter: the seccomp filter in hexadecimal.
        scratch: the name below the directory of the one that can be written to.
        scratch_bytes: the largest file.
        command: the program with its arguments.
        environment: its environment.
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
    """Start the program, wait for the end, and leave nothing."""
    signal.pthread_sigmask(signal.SIG_BLOCK, WATCHED)
    plan = Plan(**json.loads(sys.argv[1]))
    set_process_option(PR_SET_CHILD_SUBREAPER, 1)
    set_process_option(PR_SET_PDEATHSIG, signal.SIGTERM)
    try:
        kill_all = _find_way_to_kill_all(plan)
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
            _end_all(kill_all)
    finally:
        _delete(Path(plan.directory))


def _find_way_to_kill_all(plan: Plan) -> Callable[[], None]:
    """What ends every process of the program, and no other.

    Raises:
        OSError: Landlock does not confine signals, so that there is none.
    """
    if plan.user_id is not None:
        return partial(kill_all_of, plan.user_id)
    confine_signals()
    try:
        os.kill(plan.grader_pid, 0)
    except PermissionError:
        return kill_all_in_scope
    raise OSError("Landlock lets signals out of the sandbox")


def _fill(plan: Plan) -> None:
    """Copy what the program needs; only its own user or group may enter, and only scratch is to be
    its own.
    """
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

    Processes whose parents ended are handed on to this one, and reaped here too, since those that
    are not count against the user's limit.
    """
    while os.getppid() == grader:
        ended, _ = reap_ended_children()
        if program in ended:
            return
        received = signal.sigtimedwait(WATCHED, POLL_SECONDS)
        if received is not None and received.si_signo == signal.SIGTERM:
            return


def _end_all(kill_all: Callable[[], None]) -> None:
    """End every process of the program, and wait until the last is gone."""
    kill_all()
    while reap_ended_children()[1]:
        time.sleep(PAUSE_SECONDS)
        kill_all()


def _delete(directory: Path) -> None:
    """Delete the sandbox's directory; what takes long goes on when this process has ended.

    Some file systems take milliseconds for each directory, and a grade should not wait for those
    that a submission made.
    """
    deleter = os.fork()
    if deleter == 0:
        try:
            scratch.delete(directory)
        finally:
            os._exit(0)
    deadline = time.monotonic() + DELETION_SECONDS
    while time.monotonic() < deadline and reap_ended_children()[1]:
        time.sleep(PAUSE_SECONDS)
