"""The interface of every kind of isolation: launch a Python program, talk to it, kill all of it."""

from __future__ import annotations

import json
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Self

from grader.errors import SandboxError
from grader.kernel import NEW_GROUP_FLAGS
from grader.sandbox.isolation.memory_cap import MemoryCap
from grader.sandbox.isolation.processes import ProcessTree
from grader.sandbox.protocol import OwnResources
from grader.sandbox.supervisor.scratch import Excess


class Sandbox(ABC):
    """One kind of isolation.

    Args:
        hidden: directories to hide even if they lie below the system's or Python's own.

    Attributes:
        name: "bubblewrap".
        isolation: one sentence for reports.
        details: its parts, and what this machine lacks, one short line each.
        unsafe: student code could read or change what the user can; stamped on every report.
        has_manager: one worker answers all questions, each in a process that it forks; if not, each
            question gets a worker of its own.
        workers_ahead: workers that load PyTorch while another answers.
        own_tasks: processes and threads that are not the student's, seen from outside: bubblewrap
            twice or one supervisor, the manager, and its thread.
        own: what the sandbox does not share with the machine.
        control_group: in which groups with a cap on memory can be made; None if in none.
    """

    name: str
    isolation: str
    details: tuple[str, ...] = ()
    unsafe: bool = False
    has_manager: bool = True
    workers_ahead: int = 0
    own_tasks: int = 4
    own: OwnResources
    control_group: Path | None = None

    def __init__(self, hidden: tuple[Path, ...] = ()) -> None:
        self._hidden = hidden

    @abstractmethod
    def launch(self, program: str, *, submission: Path, scratch_bytes: int) -> SandboxedProcess:
        """Start `python -c PROGRAM CODE SUBMISSION SCRATCH OWN` inside.

        CODE, SUBMISSION and SCRATCH are directories as the program sees them. CODE holds the
        package `grader`: of a real sandbox, only the worker's part. Only SCRATCH can be written to.
        OWN is `OwnResources` as JSON.

        Args:
            program: Python source.
            submission: the directory of the submission's private copy.
            scratch_bytes: the size of the scratch directory, where it can be capped.

        Raises:
            SandboxError: the sandbox cannot be started.
        """

    def command(self, program: str, *directories: str) -> list[str]:
        """Return the command line of a program; see `launch`."""
        own = json.dumps(asdict(self.own))
        # Not -I, which ignores the fixed hash seed; `environment()` has no other PYTHON… variable.
        return [sys.executable, "-P", "-s", "-B", "-u", "-c", program, *directories, own]


def start(
    command: Sequence[str],
    *,
    environment: Mapping[str, str],
    directory: str = "/",
    descriptors: Sequence[int] = (),
) -> subprocess.Popen[bytes]:
    """Start a program with three unbuffered pipes in a session of its own.

    Raises:
        SandboxError: the program cannot be started.
    """
    try:
        return subprocess.Popen(  # noqa: S603 - every part is the grader's own
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            env=environment,
            cwd=directory,
            pass_fds=descriptors,
            # The terminal's Ctrl-C does not reach the program: the second is Windows'.
            start_new_session=True,
            creationflags=NEW_GROUP_FLAGS,
        )
    except OSError as error:
        raise SandboxError(f"{command[0]} cannot be started: {error}") from error


class SandboxedProcess:
    """A program in a sandbox. Its standard input and output carry frames; `with` kills it.

    Attributes:
        trace: where a program without a manager writes its stack shortly before a timeout.
    """

    def __init__(
        self,
        popen: subprocess.Popen[bytes],
        clean_up: Callable[[], object] = lambda: None,
        trace: Path | None = None,
    ) -> None:
        if popen.stdin is None or popen.stdout is None or popen.stderr is None:
            raise ValueError("a sandboxed process needs all three pipes")
        self._popen = popen
        self.commands = popen.stdin
        self.replies = popen.stdout
        self.diagnostics = popen.stderr
        self.trace = trace
        self.tree = ProcessTree(popen.pid)
        self._memory_cap: MemoryCap | None = None
        self._clean_up = clean_up

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        try:
            self.kill()
        finally:
            if self._memory_cap is not None:
                self._memory_cap.remove()
            self._clean_up()

    def cap_memory(self, control_group: Path, maximum_bytes: int) -> None:
        """Cap the memory of all its processes together, as `MemoryCap` does.

        Call it while no student code runs: processes that start during the call may escape.

        Raises:
            SandboxError: the kernel refuses.
        """
        process_ids = [process.pid for process in self.tree.processes()]
        try:
            self._memory_cap = MemoryCap(control_group, maximum_bytes, process_ids)
        except OSError as error:
            raise SandboxError(f"the memory of the sandbox cannot be capped: {error}") from error

    def has_hit_memory_cap(self) -> bool:
        """Return True if the kernel killed its processes because of the cap."""
        return self._memory_cap is not None and self._memory_cap.was_hit()

    def find_scratch_excess(self, *, maximum_bytes: int, maximum_files: int) -> Excess | None:  # noqa: ARG002 - for kinds whose scratch directory is not capped
        """Return the scratch limit that is exceeded, or None."""
        return None

    def wait(self) -> int:
        """Wait until the program has ended, and return its exit code."""
        return self._popen.wait()

    def kill(self) -> None:
        """Kill every process of the sandbox at once, and wait until none remains.

        Raises:
            SandboxError: a process cannot be killed.
        """
        if not self.tree.kill():
            raise SandboxError("a process of the sandbox cannot be killed")
        self._popen.wait()
        for pipe in (self.commands, self.replies, self.diagnostics):
            pipe.close()
