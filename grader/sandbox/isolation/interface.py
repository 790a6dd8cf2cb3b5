"""What every kind of isolation offers: launch a Python program, talk to it, end all of it."""

from __future__ import annotations

import subprocess
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from grader.errors import SandboxError
from grader.sandbox.isolation.memory_cap import MemoryCap
from grader.sandbox.isolation.processes import ProcessTree

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Self

    from grader.sandbox.supervisor.scratch import Excess


class Sandbox(ABC):
    """One kind of isolation.

    Attributes:
        name: "bubblewrap".
        isolation: what is in force, in one sentence for reports.
        details: what it consists of, and what this machine lacks, one short line each.
        unsafe: student code could read or change what the user can; stamped on every report.
        own_tasks: how many processes and threads are not the student's: bubblewrap twice or one
            supervisor, the manager, and its thread that records where time was spent.
        control_group: in which groups with a cap on memory can be made, if in any.
    """

    name: str
    isolation: str
    details: tuple[str, ...] = ()
    unsafe: bool = False
    own_tasks: int = 4
    control_group: Path | None = None

    @abstractmethod
    def launch(self, program: str, *, submission: Path, scratch_bytes: int) -> SandboxedProcess:
        """Start `python -c program CODE SUBMISSION SCRATCH NAMESPACE` inside.

        The arguments are paths as the program sees them: of a directory that holds the package
        `grader` (inside a real sandbox only `grader.sandbox.worker` and `grader.models.kinds`), of
        the submission, and of the only directory that can be written to; then what it shares with
        the
        machine: "own" if it sees no processes and no shared memory but its own, "user" if only
        its own processes can be reached, since no other has its user, "scope" if only its own can
        be reached although others have its user, else "shared".

        Args:
            program: Python source.
            submission: the directory of the submission's private copy.
            scratch_bytes: how much can be written to scratch files, where that can be capped.

        Raises:
            SandboxError: the sandbox cannot be started.
        """


class SandboxedProcess:
    """A program in a sandbox. Its standard input and output carry frames; `with` ends it.

    Args:
        popen: with binary, unbuffered pipes for stdin, stdout and stderr.
    """

    def __init__(self, popen: subprocess.Popen[bytes]) -> None:
        if popen.stdin is None or popen.stdout is None or popen.stderr is None:
            raise ValueError("a sandboxed process needs all three pipes")
        self._popen = popen
        self.commands = popen.stdin
        self.replies = popen.stdout
        self.diagnostics = popen.stderr
        self.tree = ProcessTree(popen.pid)
        self._memory_cap: MemoryCap | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        try:
            self.kill()
        finally:
            if self._memory_cap is not None:
                self._memory_cap.remove()

    def cap_memory(self, control_group: Path, maximum_bytes: int) -> None:
        """Let its processes take so much memory from now on, all together; else they are ended.

        To be called while no student code runs, which might start processes meanwhile.

        Args:
            control_group: of `Sandbox.control_group`.
            maximum_bytes: of memory, files in memory included.

        Raises:
            SandboxError: the kernel refuses.
        """
        process_ids = [process.pid for process in self.tree.processes()]
        try:
            self._memory_cap = MemoryCap.create(control_group, maximum_bytes, process_ids)
        except OSError as error:
            raise SandboxError(f"the memory of the sandbox cannot be capped: {error}") from error

    def has_hit_memory_cap(self) -> bool:
        """Whether its processes were ended because of the cap."""
        return self._memory_cap is not None and self._memory_cap.was_hit()

    def find_scratch_excess(self, *, maximum_bytes: int, maximum_files: int) -> Excess | None:  # noqa: ARG002 - for where the kernel does not cap it
        """What the scratch directory holds more of than it may, where the kernel lets it."""
        return None

    def kill(self) -> None:
        """End every process of the sandbox at once, and wait until none is left.

        Raises:
            SandboxError: a process cannot be ended.
        """
        ended = self.tree.kill()
        if not ended:
            raise SandboxError("a process of the sandbox cannot be ended")
        self._popen.wait()
        for pipe in (self.commands, self.replies, self.diagnostics):
            pipe.close()
