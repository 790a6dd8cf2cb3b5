"""No isolation, for one's own work: a plain interpreter for each question, on any system."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from grader.errors import SandboxError, UsageError
from grader.sandbox.isolation import exposed_paths
from grader.sandbox.isolation.interface import Sandbox, SandboxedProcess, start
from grader.sandbox.protocol import OwnResources

OPTION = "--own-work"
"""The only way to grade without a sandbox."""
_SHARED_VARIABLES = ("CI", "GITHUB_ACTIONS", "GITLAB_CI", "JENKINS_URL", "TF_BUILD")
_GRADESCOPE = Path("/autograder")
_WINDOWS_VARIABLES = ("SYSTEMROOT", "SYSTEMDRIVE", "PATH", "PATHEXT", "COMSPEC", "PROGRAMFILES")


class OwnWork(Sandbox):
    """A plain interpreter for each question: the code can do what the user can."""

    name = "none"
    isolation = (
        f"OWN WORK ({OPTION}): the code ran without a sandbox, and could read and change "
        "everything that the user who grades can."
    )
    details = (
        "a plain interpreter for each question",
        "time, memory, processes and threads: watched",
    )
    unsafe = True
    has_manager = False
    workers_ahead = max(1, min(3, (os.cpu_count() or 1) // 2))
    # The thread that notices the end of the grader, and the one that records the running line.
    own_tasks = 2
    own = OwnResources(processes=False, shared_memory=False, tasks_of_user=None)

    def launch(self, program: str, *, submission: Path, scratch_bytes: int) -> SandboxedProcess:  # noqa: ARG002 - only a file system of its own could cap the whole
        """Start a program; see `Sandbox.launch`. It may write its stack to SCRATCH/../trace."""
        # A process that outlives the question keeps its files open, and so there on Windows.
        directory = tempfile.TemporaryDirectory(
            prefix="grader-scratch-", ignore_cleanup_errors=True
        )
        scratch = Path(directory.name, "scratch")
        scratch.mkdir()
        try:
            popen = start(
                self.command(
                    program, str(exposed_paths.PACKAGE.parent), str(submission), str(scratch)
                ),
                environment=_environment(str(scratch)),
                directory=str(scratch),
            )
        except SandboxError:
            directory.cleanup()
            raise
        return SandboxedProcess(popen, directory.cleanup, trace=Path(directory.name, "trace"))

    def command(self, program: str, *directories: str) -> list[str]:
        """Return the command line: UTF-8 as in a sandbox, and packages as the grader sees them."""
        # Isolated mode leaves out the user's own packages, where pip may have put all of them.
        paths = list(filter(os.path.isabs, sys.path))
        found = f"import sys; sys.path += [p for p in {paths!r} if p not in sys.path]; "
        executable, *rest = super().command(found + program, *directories)
        return [executable, "-X", "utf8", *rest]


def refuse_where_others_are_graded() -> None:
    """Raise if this machine grades the work of others.

    Raises:
        UsageError: the process runs in continuous integration, or in Gradescope's container.
    """
    signs = [name for name in _SHARED_VARIABLES if os.environ.get(name)]
    if _GRADESCOPE.is_dir():
        signs.append(str(_GRADESCOPE))
    if signs:
        raise UsageError(
            f"{OPTION} is refused here: {signs[0]} says that this machine grades others' work",
            next_step=f"grade without {OPTION}, on Linux, where student code gets a sandbox",
        )


def _environment(scratch: str) -> dict[str, str]:
    """Return the variables of a sandbox, and those without which Windows starts no Python."""
    variables = exposed_paths.environment(scratch)
    if sys.platform == "win32":
        found = {name: os.environ[name] for name in _WINDOWS_VARIABLES if name in os.environ}
        variables |= found | dict.fromkeys(("TEMP", "TMP", "USERPROFILE", "APPDATA"), scratch)
    return variables
