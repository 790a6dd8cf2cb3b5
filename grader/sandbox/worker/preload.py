"""Import large packages quickly, and once, before any student code."""

from __future__ import annotations

import contextlib
import gc
import importlib
import re
import sys
import types
from collections.abc import Iterator
from pathlib import Path

_HEAVY_MODULES = ("torchvision", "torchvision.transforms", "matplotlib.pyplot", "pandas")
_MAXIMUM_SOURCE_BYTES = 500_000
_IMPORT = re.compile(rb"^[ \t]*(?:import|from)[ \t].*", re.MULTILINE)
# Programs run without plots; see `recording.inert`.
_ONLY_FOR_FILES = frozenset({"matplotlib.pyplot"})
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
    named = {
        kind: [
            set(_NAME.findall(line))
            for path in submission.rglob(f"*{kind}")
            # A notebook is JSON, with its lines in strings.
            for line in _IMPORT.findall(re.sub(rb'\\n|"', b"\n", _read(path)))
        ]
        for kind in (".py", ".ipynb")
    }
    for module in _HEAVY_MODULES:
        parts = set(module.encode().split(b"."))
        kinds = (".py",) if module in _ONLY_FOR_FILES else named
        if any(parts <= names for kind in kinds for names in named[kind]):
            # A missing or broken package is reported where the student's file imports it.
            with contextlib.suppress(Exception), _compiler_left_out():
                importlib.import_module(module)


@contextlib.contextmanager
def _compiler_left_out() -> Iterator[None]:
    """Keep torchvision from importing PyTorch's compiler, nine tenths of its import.

    torchvision/ops/roi_align.py asks `torch._dynamo.utils.is_compile_supported`, as of 0.29, only
    to decorate a function.
    """
    name = "torch._dynamo"
    if name in sys.modules:
        yield
        return
    package, utils = types.ModuleType(name), types.ModuleType(f"{name}.utils")
    package.__path__ = []
    vars(package)["utils"] = utils
    vars(utils)["is_compile_supported"] = lambda _device: False
    modules = {package.__name__: package, utils.__name__: utils}
    sys.modules |= modules
    try:
        yield
    finally:
        for each, module in modules.items():
            if sys.modules.get(each) is module:
                del sys.modules[each]


def _read(path: Path) -> bytes:
    with contextlib.suppress(OSError):
        if path.stat().st_size <= _MAXIMUM_SOURCE_BYTES:
            return path.read_bytes()
    return b""
