"""Isolation by bubblewrap: namespaces of its own, a read-only system, no network, no procfs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from grader.errors import SandboxError
from grader.sandbox.isolation import exposed_paths, staging
from grader.sandbox.isolation.interface import Sandbox, SandboxedProcess
from grader.sandbox.isolation.seccomp import compile_filter

CODE, SUBMISSION, SCRATCH = "/code", "/submission", "/scratch"
_TMP = "/tmp"  # noqa: S108 - inside the sandbox, where it is the scratch directory
SHARED_MEMORY_BYTES = 16_000_000

_NAMESPACES = (
    "--unshare-user",
    "--unshare-pid",
    "--unshare-net",
    "--unshare-ipc",
    "--unshare-uts",
    "--unshare-cgroup-try",
    "--disable-userns",
    "--assert-userns-disabled",
    "--die-with-parent",
    "--new-session",
)


@dataclass
class _View:
    """What can be seen inside, in the order in which it is mounted.

    Attributes:
        sources: paths of this machine, each used by at least one mount.
        mounts: bubblewrap's options, with an index of `sources` in place of a source's path.
        covers: the directories that hide others.
    """

    sources: list[str] = field(default_factory=list)
    mounts: list[str | int] = field(default_factory=list)
    covers: list[str] = field(default_factory=list)

    def bind(self, source: Path, target: str) -> None:
        """Show a file or directory read-only."""
        self.sources.append(str(source))
        self.mounts += ["--ro-bind", len(self.sources) - 1, target]

    def bind_in_place(self, *paths: Path) -> None:
        """Show those that exist under their own names, but none twice."""
        for path in paths:
            if path.exists() and str(path) not in self.sources:
                self.bind(path, str(path))

    def add(self, *options: str) -> None:
        """Mount something that has no source."""
        self.mounts += options

    def hide(self, path: Path) -> None:
        """Cover a directory with an empty one, where it would be seen."""
        if path.is_dir() and any(path.is_relative_to(source) for source in self.sources):
            self.add("--size", "4096", "--tmpfs", str(path))
            self.covers.append(str(path))


class Bubblewrap(Sandbox):
    """bubblewrap, as an unprivileged user even if the grader runs as root.

    Args:
        executable: of bubblewrap 0.8 or later, which can forbid nested user namespaces.
        origin: where it comes from, for the details.
        hidden: directories that must not be seen even if they lie below the system's own.
    """

    name = "bubblewrap"

    def __init__(self, executable: Path, origin: str, hidden: tuple[Path, ...] = ()) -> None:
        self._executable = executable
        self._hidden = hidden
        self._filter = compile_filter()
        filtered = self._filter is not None
        self.isolation = (
            "Student code ran in a bubblewrap sandbox: no network, a read-only system, "
            "no files but its own"
            + (", and a system call filter." if filtered else ", without a system call filter.")
        )
        self.details = (
            f"bubblewrap from {origin}: own user, process, network, mount and IPC namespaces",
            "no procfs, no capabilities, no nested namespaces, an empty environment",
            "the grader was root: dropped to nobody first"
            if os.geteuid() == 0
            else f"runs as the user who grades (uid {os.geteuid()})",
            "system calls filtered by seccomp"
            if filtered
            else "libseccomp is not installed: system calls are not filtered",
        )

    def launch(self, program: str, *, submission: Path, scratch_bytes: int) -> SandboxedProcess:
        """Start a program; see `Sandbox.launch`."""
        view = self._view(submission, scratch_bytes)
        inner = [sys.executable, "-I", "-B", "-u", "-c", program, CODE, SUBMISSION, SCRATCH, "own"]
        options = [*_NAMESPACES, "--uid", str(staging.UNPRIVILEGED_ID)]
        options += ["--gid", str(staging.UNPRIVILEGED_ID), "--hostname", "sandbox"]
        options += ["--cap-drop", "ALL", "--clearenv"]
        for name, value in exposed_paths.environment(SCRATCH).items():
            options += ["--setenv", name, value]
        descriptors = []
        if self._filter is not None:
            # A filter is much smaller than a pipe holds, so that writing it does not block.
            read_end, write_end = os.pipe()
            descriptors.append(read_end)
            os.write(write_end, self._filter)
            os.close(write_end)
            options += ["--seccomp", str(read_end)]
        try:
            popen = subprocess.Popen(  # noqa: S603 - every part is the grader's own
                self._command(view, options, inner),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                env={},
                cwd="/",
                pass_fds=descriptors,
                start_new_session=True,
            )
        except OSError as error:
            raise SandboxError(f"bubblewrap cannot be started: {error}") from error
        finally:
            for descriptor in descriptors:
                os.close(descriptor)
        return SandboxedProcess(popen)

    def _command(self, view: _View, options: list[str], inner: list[str]) -> list[str]:
        """The whole command line: bubblewrap itself, or for root what makes its sources reachable
        and gives up root.
        """
        executable = str(self._executable)
        if os.geteuid() != 0:
            mounts = [view.sources[m] if isinstance(m, int) else m for m in view.mounts]
            return [executable, *options, *mounts, "--", *inner]
        view.sources.append(str(self._executable.parent.parent.parent))
        top = view.sources[-1]
        executable = staging.staged_path(len(view.sources) - 1) + executable.removeprefix(top)
        mounts = [staging.staged_path(m) if isinstance(m, int) else m for m in view.mounts]
        plan = {
            "sources": view.sources,
            "arguments": [executable, *options, *mounts, "--", *inner],
        }
        return [sys.executable, "-I", "-S", "-B", staging.__file__, json.dumps(plan)]

    def _view(self, submission: Path, scratch_bytes: int) -> _View:
        view = _View()
        python = exposed_paths.python_directories()
        # A Python that lies below /tmp needs a real /tmp to be mounted in, before it is.
        real_tmp = any(path.is_relative_to(_TMP) for path in python)
        if real_tmp:
            view.add("--size", str(scratch_bytes), "--perms", "0700", "--tmpfs", _TMP)
        view.bind_in_place(*exposed_paths.SYSTEM)
        for name in exposed_paths.ENTRY_POINTS:
            path = Path("/", name)
            if path.is_symlink():
                view.add("--symlink", str(path.readlink()), str(path))
            else:
                view.bind_in_place(path)
        view.bind_in_place(*exposed_paths.LINKER)
        repository = exposed_paths.PACKAGE.parent
        if not exposed_paths.is_installed():
            view.hide(repository)
        view.bind_in_place(*python)
        if not exposed_paths.is_installed() and not any(
            path.is_relative_to(repository) for path in python
        ):
            view.hide(repository)
        for path in (exposed_paths.PACKAGE, *exposed_paths.embedded_data_sets(), *self._hidden):
            view.hide(path)
        view.bind_in_place(*exposed_paths.MACHINE)
        for name in exposed_paths.WORKER_PARTS:
            view.bind(exposed_paths.PACKAGE / name, f"{CODE}/grader/{name}")
        view.bind(submission, SUBMISSION)
        view.add("--dev", "/dev", "--size", str(SHARED_MEMORY_BYTES), "--tmpfs", "/dev/shm")  # noqa: S108
        view.add("--remount-ro", "/dev")
        view.add("--size", str(scratch_bytes), "--perms", "0700", "--tmpfs", SCRATCH)
        if not real_tmp:
            view.add("--symlink", SCRATCH.removeprefix("/"), _TMP)
        # Only now: what lies below a cover had to be mounted in it first.
        for directory in ("/", *view.covers):
            view.add("--remount-ro", directory)
        view.add("--chdir", SCRATCH)
        return view
