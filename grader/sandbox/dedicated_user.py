"""Isolation without namespaces, for root in a container: a user of its own, under Landlock."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING

import psutil

from grader.confinement import landlock, scratch
from grader.confinement.supervisor import Plan
from grader.confinement.users import kill_all_of
from grader.errors import SandboxError
from grader.sandbox import visible
from grader.sandbox.deleted_files import deleted_bytes
from grader.sandbox.free_users import claim_user
from grader.sandbox.interface import Sandbox, SandboxedProcess
from grader.sandbox.landlock_rules import open_paths, require_access
from grader.sandbox.seccomp import compile_filter

if TYPE_CHECKING:
    from pathlib import Path

    from grader.confinement.scratch import Excess

CODE, SUBMISSION, SCRATCH = "code", "submission", "scratch"
PATIENCE_SECONDS = 10.0
PAUSE_SECONDS = 0.01
_SUPERVISOR = (
    "import sys; sys.path.append({path!r}); from grader.confinement.supervisor import main; main()"
)


class DedicatedUser(Sandbox):
    """A user that no other process has, to whom Landlock and seccomp leave only what is its own.

    Args:
        hidden: directories that must not be read even if they lie below the system's own.
    """

    name = "uid"
    isolation = (
        "Student code ran as a user of its own under Landlock and a system call filter: no "
        "network, a read-only system, no files but its own."
    )

    def __init__(self, hidden: tuple[Path, ...] = ()) -> None:
        self._hidden = hidden
        self._filter = compile_filter()
        version = landlock.abi_version()
        signals = (
            "signals reach its own processes only"
            if version >= landlock.SCOPES_SINCE
            else "whom signals may reach is for the user alone to limit"
        )
        self.details = (
            "a user without groups or capabilities, a new one for every worker",
            f"Landlock version {version}: reads system, Python, submission; writes only scratch",
            signals,
            "system calls filtered by seccomp: no sockets, no namespaces",
            "without namespaces: by guessing a name, it can learn whether a file or process exists",
            "the size of the scratch directory is watched, not capped",
        )

    @cached_property
    def _rules(self) -> list[tuple[str, int]]:
        """What is opened, found once, since it takes a while."""
        require_access()
        return [(str(path), int(access)) for path, access in open_paths(self._hidden)]

    def launch(self, program: str, *, submission: Path, scratch_bytes: int) -> SandboxedProcess:
        """Start a program; see `Sandbox.launch`."""
        if landlock.abi_version() == 0:
            raise SandboxError("this kernel has no Landlock (Linux 5.13 or later, enabled)")
        if self._filter is None:
            raise SandboxError("libseccomp is not installed (on Debian: apt install libseccomp2)")
        rules = self._rules
        user_id, directory = claim_user()
        places = [str(directory / name) for name in (CODE, SUBMISSION, SCRATCH)]
        plan = Plan(
            grader_pid=os.getpid(),
            user_id=user_id,
            directory=str(directory),
            sources=[
                (str(submission), SUBMISSION),
                *(
                    (str(visible.PACKAGE / name), f"{CODE}/grader/{name}")
                    for name in visible.WORKER_PARTS
                ),
            ],
            rules=rules,
            call_filter=self._filter.hex(),
            scratch=SCRATCH,
            scratch_bytes=scratch_bytes,
            command=[sys.executable, "-I", "-B", "-u", "-c", program, *places, "user"],
            environment=visible.environment(str(directory / SCRATCH))
            | {"PWD": str(directory / SCRATCH)},
        )
        supervisor = _SUPERVISOR.format(path=str(visible.PACKAGE.parent))
        try:
            popen = subprocess.Popen(  # noqa: S603 - every part is the grader's own
                [sys.executable, "-I", "-S", "-B", "-c", supervisor, json.dumps(plan._asdict())],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                env=plan.environment,
                cwd="/",
                start_new_session=True,
            )
        except OSError as error:
            scratch.delete(directory)
            raise SandboxError(f"Python cannot be started: {error}") from error
        return _SupervisedProcess(popen, user_id, directory)


class _SupervisedProcess(SandboxedProcess):
    """A program whose supervisor ends all its processes and deletes its directory.

    Args:
        popen: of the supervisor.
        user_id: of the program.
        directory: of the sandbox.
    """

    def __init__(self, popen: subprocess.Popen[bytes], user_id: int, directory: Path) -> None:
        super().__init__(popen)
        self._user_id = user_id
        self._directory = directory

    def find_scratch_excess(self, *, maximum_bytes: int, maximum_files: int) -> Excess | None:
        """What its files are too much of, those included that were deleted while open."""
        directory = self._directory / SCRATCH
        with suppress(FileNotFoundError):
            deleted = deleted_bytes(self.tree.processes(), directory)
            if deleted > maximum_bytes:
                return "bytes"
            return scratch.find_excess(
                directory, maximum_bytes=maximum_bytes - deleted, maximum_files=maximum_files
            )
        return None

    def kill(self) -> None:
        """End every process of the sandbox, and wait until none is left.

        Raises:
            SandboxError: a process cannot be ended.
        """
        self._popen.terminate()
        try:
            self._popen.wait(PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            self._popen.wait()
        self._end_what_is_left()
        for pipe in (self.commands, self.replies, self.diagnostics):
            pipe.close()

    def _end_what_is_left(self) -> None:
        """Do the supervisor's work, should it have been killed itself."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while _has_processes(self._user_id):
            if time.monotonic() > deadline:
                raise SandboxError("a process of the sandbox cannot be ended")
            kill_all_of(self._user_id)
            time.sleep(PAUSE_SECONDS)
        if self._popen.returncode != 0:
            with suppress(FileNotFoundError):
                scratch.delete(self._directory)


def _has_processes(user_id: int) -> bool:
    return any(
        user_id in (process.info["uids"] or ()) and process.info["status"] != psutil.STATUS_ZOMBIE
        for process in psutil.process_iter(["uids", "status"])
    )
