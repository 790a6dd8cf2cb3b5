"""The parts of the machine that student code may see, in every kind of isolation."""

from __future__ import annotations

import os
import site
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from grader.sandbox.supervisor.landlock import LIST, READ, USE_DEVICE, Access
from grader.training.data_sources.embedded import embedded_files

PACKAGE = Path(__file__).resolve().parents[2]
WORKER_PARTS = (
    "__init__.py",
    "kernel.py",
    "models/__init__.py",
    "models/kinds.py",
    "sandbox/__init__.py",
    "sandbox/protocol.py",
    "sandbox/values.py",
    "sandbox/worker",
)
"""The files of the package `grader` that the worker needs."""
ENTRY_POINTS = ("bin", "sbin", "lib", "lib32", "lib64")
"""Directories at the top that hold the system, or link to it."""
SYSTEM = tuple(map(Path, ("/usr", "/nix/store")))
LINKER = tuple(map(Path, ("/etc/ld.so.cache", "/etc/alternatives")))
MACHINE = tuple(map(Path, ("/proc/cpuinfo", "/proc/meminfo")))
_DEVICES = {"/dev/null": USE_DEVICE} | dict.fromkeys(
    ("/dev/zero", "/dev/random", "/dev/urandom"), Access.READ_FILE
)


def environment(scratch: str) -> dict[str, str]:
    """Return all variables that student code gets."""
    variables = {
        "PATH": "/usr/bin:/bin",
        "HOME": scratch,
        "TMPDIR": scratch,
        "USER": "student",
        "LANG": "C.UTF-8",
        "MPLBACKEND": "Agg",
        "OMP_NUM_THREADS": "1",
        "PYTHONHASHSEED": "0",  # the order of sets decides no points
    }
    if os.environ.get("LD_LIBRARY_PATH"):
        # Some Pythons find their own shared library only through it.
        variables["LD_LIBRARY_PATH"] = str(Path(sys.base_prefix, "lib"))
    return variables


def python_directories() -> list[Path]:
    """Return the directories of the running Python, its standard library and its packages."""
    executable = Path(sys.executable).resolve()
    directories = [Path(sys.base_prefix), executable.parent.parent, Path(sys.prefix)]
    user_site = site.getusersitepackages()
    directories += [Path(entry) for entry in sys.path if entry == user_site]
    system = (Path("/"), Path("/usr"), Path("/usr/local"))
    return [path for path in directories if path not in system]


def secret_paths(hidden: Iterable[Path]) -> list[Path]:
    """Return the files and directories that student code must not see, wherever they lie."""
    # A repository is hidden whole: reference solutions lie beside the package.
    is_installed = PACKAGE.parent.name.endswith("-packages")
    repository = [] if is_installed else [PACKAGE.parent]
    return [*repository, PACKAGE, *embedded_files(), *hidden]


def landlock_rules(hidden: Iterable[Path]) -> list[tuple[Path, Access]]:
    """Return the rules of Landlock: system, Python and packages to read, and a few devices.

    A right on a directory holds for everything below it and cannot be taken back there. So the
    neighbours of a hidden path are opened one by one. The names, but not the contents, of hidden
    files can still be listed.
    """
    closed = {path.resolve() for path in secret_paths(hidden)}
    tops = [*SYSTEM, *(Path("/", name) for name in ENTRY_POINTS)]
    tops += python_directories()
    rules: dict[Path, Access] = {}
    for top in dict.fromkeys(path.resolve() for path in tops if path.exists()):
        rules.update(_open_below(top, closed))
    rules.update((path, READ) for path in (*LINKER, *MACHINE) if path.exists())
    rules.update((Path(name), access) for name, access in _DEVICES.items() if Path(name).exists())
    return list(rules.items())


def _open_below(top: Path, closed: set[Path]) -> Iterator[tuple[Path, Access]]:
    if top in closed:
        return
    if not any(path.is_relative_to(top) for path in closed):
        yield top, READ
        return
    yield top, LIST
    for entry in top.iterdir():
        # The target of a link has a rule of its own, or must stay closed.
        if not entry.is_symlink():
            yield from _open_below(entry, closed)
