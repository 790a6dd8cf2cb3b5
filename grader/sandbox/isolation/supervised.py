"""What the kinds of isolation without namespaces share: Landlock, seccomp, and a supervisor."""

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
from typing import TYPE_CHECKING

from grader.errors import SandboxError
from grader.sandbox.isolation import exposed_paths
from grader.sandbox.isolation.deleted_files import deleted_bytes
from grader.sandbox.isolation.interface import Sandbox, SandboxedProcess
from grader.sandbox.isolation.landlock_rules import open_paths
from grader.sandbox.isolation.user_ids import has_processes
from grader.sandbox.supervisor import scratch
from grader.sandbox.supervisor.main import Plan
from grader.sandbox.supervisor.users import kill_all_of

if TYPE_CHECKING:
    from pathlib import Path

    from grader.sandbox.supervisor.scratch import Excess

CODE, SUBMISSION, SCRATCH = "code", "submission", "scratch"
PATIENCE_SECONDS = 10.0
PAUSE_SECONDS = 0.01
_SUPERVISOR = (
    "import sys; sys.path.append({path!r}); from grader.sandbox.supervisor.main import main; main()"
)


class SupervisedSandbox(Sandbox):
    """A program under a supervisor that confines it, ends all its processes and cleans up.

    Args:
        call_filter: the seccomp filter; None where there is none to be had.
        hidden: directories that must not be read even if they lie below the system's own.

    Attributes:
        namespace: what the program shares with the machine, as `Sandbox.launch` names it.
    """

    namespace: str

    def __init__(self, call_filter: bytes | None, hidden: tuple[Path, ...]) -> None:
        self._filter = call_filter
        self._hidden = hidden

    @abstractmethod
    def _require_support(self) -> None:
        """Check that this machine has what the confinement needs, besides the filter.

        Raises:
            SandboxError: it does not.
        """

    @abstractmethod
    def _claim_place(self) -> tuple[int | None, Path]:
        """A user for the program, None for this process's own; and a new, empty directory."""

    @cached_property
    def _rules(self) -> list[tuple[str, int]]:
        """What is opened, found once, since it takes a while."""
        return [(str(path), int(access)) for path, access in open_paths(self._hidden)]

    def launch(self, program: str, *, submission: Path, scratch_bytes: int) -> SandboxedProcess:
        """Start a program; see `Sandbox.launch`."""
        if self._filter is None:
            raise SandboxError("libseccomp is not installed (on Debian: apt install libseccomp2)")
        self._require_support()
        rules = self._rules
        user_id, directory = self._claim_place()
        places = [str(directory / name) for name in (CODE, SUBMISSION, SCRATCH)]
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
            call_filter=self._filter.hex(),
            scratch=SCRATCH,
            scratch_bytes=scratch_bytes,
            command=[sys.executable, "-I", "-B", "-u", "-c", program, *places, self.namespace],
            environment=exposed_paths.environment(str(directory / SCRATCH))
            | {"PWD": str(directory / SCRATCH)},
        )
        supervisor = _SUPERVISOR.format(path=str(exposed_paths.PACKAGE.parent))
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
        user_id: of the program; None for this process's own.
        directory: of the sandbox.
    """

    def __init__(
        self, popen: subprocess.Popen[bytes], user_id: int | None, directory: Path
    ) -> None:
        super().__init__(popen)
        self._user_id = user_id
        self._directory = directory

    def find_scratch_excess(self, *, maximum_bytes: int, maximum_files: int) -> Excess | None:
        """What its files are too much of, those included that were deleted while open."""
        directory = self._directory / SCRATCH
        # Files take whole pages, as in a file system of that size.
        maximum_bytes += -maximum_bytes % resource.getpagesize()
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
        if self._popen.returncode != 0:
            with suppress(FileNotFoundError):
                scratch.delete(self._directory)
        for pipe in (self.commands, self.replies, self.diagnostics):
            pipe.close()

    def _end_what_is_left(self) -> None:
        """Do the supervisor's work, should it have been killed itself.

        Raises:
            SandboxError: a process cannot be ended.
        """
        deadline = time.monotonic() + PATIENCE_SECONDS
        if self._user_id is None:
            ended = self.tree.kill()
        else:
            while has_processes(self._user_id) and time.monotonic() < deadline:
                kill_all_of(self._user_id)
                time.sleep(PAUSE_SECONDS)
            ended = not has_processes(self._user_id)
        if not ended:
            raise SandboxError("a process of the sandbox cannot be ended")
