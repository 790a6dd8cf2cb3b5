"""Import large packages quickly, and once, before any student code."""

from __future__ import annotations

import contextlib
import gc
import importlib
import re
from collections.abc import Iterator
from pathlib import Path

_HEAVY_MODULES = ("torchvision", "torchvision.transforms", "matplotlib.pyplot", "pandas")
_MAXIMUM_SOURCE_BYTES = 500_000
_IMPORT = re.compile(rb"^[ \t]*(?:import|from)[ \t].*", re.MULTILINE)
_NAME = re.compile(rb"\w+")


@contextlib.contextmanager
def garbage_collection_paused() -> Iterator[None]:
    """Pause the collector during imports that stay until the process ends.

    The collector would scan the growing heap of PyTorch's 2,000 modules again and again: a tenth
    of its import. The frozen objects are never scanned again, neither at exit nor in a fork, where
    a scan would copy their pages (Python's documentation of `gc.freeze`).
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def preload_heavy_modules(submission: Path) -> None:
    """Import the well-known packages that the submission's files name; run none of its code.

    Lines are searched for names, since no limit on the cost of parsing is in force yet. A wrong
    guess only costs time.
    """
    named = [
        set(_NAME.findall(line))
        for path in submission.glob("*.py")
        for line in _IMPORT.findall(_read(path))
    ]
    for module in _HEAVY_MODULES:
        parts = set(module.encode().split(b"."))
        if any(parts <= names for names in named):
            # A missing or broken package is reported where the student's file imports it.
            with contextlib.suppress(Exception):
                importlib.import_module(module)


def _read(path: Path) -> bytes:
    with contextlib.suppress(OSError):
        if path.stat().st_size <= _MAXIMUM_SOURCE_BYTES:
            return path.read_bytes()
    return b""
