"""The shared part of the kinds without namespaces: Landlock, seccomp, and a supervisor."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from abc import abstractmethod
from contextlib import suppress
from functools import cached_property
from pathlib import Path

from grader.errors import SandboxError
from grader.sandbox.isolation import exposed_paths
from grader.sandbox.isolation.interface import Sandbox, SandboxedProcess, start
from grader.sandbox.isolation.processes import has_processes
from grader.sandbox.isolation.seccomp import read_filter
from grader.sandbox.supervisor import scratch
from grader.sandbox.supervisor.main import Plan, kill_all_of
from grader.sandbox.supervisor.scratch import Excess

CODE, SUBMISSION, SCRATCH = "code", "submission", "scratch"
PATIENCE_SECONDS = 10.0
PAUSE_SECONDS = 0.01
_SUPERVISOR = (
    "import sys; sys.path.append({path!r}); from grader.sandbox.supervisor.main import main; main()"
)


class SupervisedSandbox(Sandbox):
    """A program under a supervisor that confines it, kills all its processes and cleans up.

    Attributes:
        shares_user: the program has the grader's own user.
    """

    own_tasks = 3
    shares_user: bool

    @abstractmethod
    def _require_support(self) -> None:
        """Raise `SandboxError` if this machine lacks something that the confinement needs."""

    @abstractmethod
    def _claim_place(self) -> tuple[int | None, Path]:
        """Return a user for the program, None for the grader's own; and a new, empty directory."""

    @cached_property
    def _rules(self) -> list[tuple[str, int]]:
        # Found once, because that takes a while.
        rules = exposed_paths.landlock_rules(self._hidden)
        return [(str(path), int(access)) for path, access in rules]

    def launch(self, program: str, *, submission: Path, scratch_bytes: int) -> SandboxedProcess:
        """Start a program; see `Sandbox.launch`."""
        self._require_support()
        call_filter = read_filter(shares_user=self.shares_user)
        rules = self._rules
        user_id, directory = self._claim_place()
        code, files, writable = (str(directory / name) for name in (CODE, SUBMISSION, SCRATCH))
        plan = Plan(
            grader_pid=os.getpid(),
            user_id=user_id,
            directory=str(directory),
            sources=[
                (str(submission), SUBMISSION),
                *(
                    (str(exposed_paths.PACKAGE / name), f"{CODE}/grader/{name}")
                    for name in exposed_paths.WORKER_PARTS
                ),
            ],
            rules=rules,
            call_filter=call_filter.hex(),
            scratch=SCRATCH,
            scratch_bytes=scratch_bytes,
            command=self.command(program, code, files, writable),
            environment=exposed_paths.environment(writable) | {"PWD": writable},
        )
        supervisor = _SUPERVISOR.format(path=str(exposed_paths.PACKAGE.parent))
        command = [sys.executable, "-I", "-S", "-B", "-c", supervisor, json.dumps(plan._asdict())]
        try:
            popen = start(command, environment=plan.environment)
        except SandboxError:
            scratch.delete(directory)
            raise
        return _SupervisedProcess(popen, user_id, directory)


class _SupervisedProcess(SandboxedProcess):
    """A program whose supervisor kills all its processes and deletes its directory."""

    def __init__(
        self, popen: subprocess.Popen[bytes], user_id: int | None, directory: Path
    ) -> None:
        super().__init__(popen)
        self._user_id = user_id
        self._directory = directory

    def find_scratch_excess(self, *, maximum_bytes: int, maximum_files: int) -> Excess | None:
        """Return the scratch limit that is exceeded, or None; deleted files that are open count."""
        directory = self._directory / SCRATCH
        # Files take whole pages, as in a file system of that size.
        maximum_bytes += -maximum_bytes % resource.getpagesize()
        with suppress(FileNotFoundError):
            deleted = self.tree.deleted_bytes(directory)
            if deleted > maximum_bytes:
                return "bytes"
            return scratch.find_excess(
                directory, maximum_bytes=maximum_bytes - deleted, maximum_files=maximum_files
            )
        return None

    def kill(self) -> None:
        """Tell the supervisor to clean up; do its work if it was killed itself.

        Raises:
            SandboxError: a process cannot be killed.
        """
        self._popen.terminate()
        try:
            self._popen.wait(PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            self._popen.wait()
        deadline = time.monotonic() + PATIENCE_SECONDS
        while self._user_id is not None and has_processes(self._user_id):
            if time.monotonic() > deadline:
                raise SandboxError("a process of the sandbox cannot be killed")
            kill_all_of(self._user_id)
            time.sleep(PAUSE_SECONDS)
        super().kill()
        if self._popen.returncode != 0:
            with suppress(FileNotFoundError):
                scratch.delete(self._directory)
