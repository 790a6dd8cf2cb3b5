"""No isolation: a plain subprocess, if the user asks for it."""

from __future__ import annotations

import tempfile
from pathlib import Path

from grader.errors import SandboxError
from grader.sandbox.isolation import exposed_paths
from grader.sandbox.isolation.interface import Sandbox, SandboxedProcess, start
from grader.sandbox.protocol import OwnResources


class NoSandbox(Sandbox):
    """A plain subprocess under resource limits: student code can do what the user can."""

    name = "none"
    isolation = (
        "UNSAFE: student code ran without a sandbox and could read and change everything that "
        "the user who grades can."
    )
    details = ("a plain subprocess with limits on time, memory, processes and files",)
    unsafe = True
    own = OwnResources(processes=False, shared_memory=False, tasks_of_user=None)

    def launch(self, program: str, *, submission: Path, scratch_bytes: int) -> SandboxedProcess:  # noqa: ARG002 - only a file system of its own could cap the whole
        """Start a program; see `Sandbox.launch`."""
        scratch = tempfile.TemporaryDirectory(prefix="grader-scratch-")
        code = str(exposed_paths.PACKAGE.parent)
        try:
            popen = start(
                self.command(program, code, str(submission), scratch.name),
                environment=exposed_paths.environment(scratch.name),
                directory=scratch.name,
            )
        except SandboxError:
            scratch.cleanup()
            raise
        return SandboxedProcess(popen, scratch.cleanup)
