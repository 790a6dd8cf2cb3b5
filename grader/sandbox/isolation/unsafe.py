"""No isolation: a plain subprocess, for machines without any, on the user's explicit wish."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from grader.errors import SandboxError
from grader.sandbox.isolation import exposed_paths
from grader.sandbox.isolation.interface import Sandbox, SandboxedProcess


class NoSandbox(Sandbox):
    """A plain subprocess under resource limits: student code can do what the user can."""

    name = "none"
    isolation = (
        "UNSAFE: student code ran without a sandbox and could read and change everything that "
        "the user who grades can."
    )
    details = ("a plain subprocess with limits on time, memory, processes and files",)
    unsafe = True

    def launch(self, program: str, *, submission: Path, scratch_bytes: int) -> SandboxedProcess:  # noqa: ARG002 - only a file system of its own could cap the whole
        """Start a program; see `Sandbox.launch`."""
        scratch = tempfile.TemporaryDirectory(prefix="grader-scratch-")
        code = Path(__file__).resolve().parents[3]
        inner = [sys.executable, "-I", "-B", "-u", "-c", program]
        inner += [str(code), str(submission), scratch.name, "shared"]
        try:
            popen = subprocess.Popen(  # noqa: S603 - every part is the grader's own
                inner,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                env=exposed_paths.environment(scratch.name),
                cwd=scratch.name,
                start_new_session=True,
            )
        except OSError as error:
            scratch.cleanup()
            raise SandboxError(f"Python cannot be started: {error}") from error
        return _ProcessWithScratch(popen, scratch)


class _ProcessWithScratch(SandboxedProcess):
    """A process whose scratch directory goes with it."""

    def __init__(
        self, popen: subprocess.Popen[bytes], scratch: tempfile.TemporaryDirectory[str]
    ) -> None:
        super().__init__(popen)
        self._scratch = scratch

    def __exit__(self, *_error: object) -> None:
        super().__exit__()
        self._scratch.cleanup()
