"""Imports that many submissions share, done once and before any student code."""

from __future__ import annotations

import ast
import contextlib
import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_HEAVY_MODULES = ("torchvision", "torchvision.transforms", "matplotlib.pyplot", "pandas")
_MAXIMUM_SOURCE_BYTES = 500_000


def preload_heavy_modules(submission: Path) -> None:
    """Import those well-known packages that the submission's files name; none of its own runs."""
    named = {module for path in submission.glob("*.py") for module in _imported_modules(path)}
    for module in _HEAVY_MODULES:
        if module in named:
            # One that is missing or broken is reported where the student's file imports it.
            with contextlib.suppress(Exception):
                importlib.import_module(module)


def _imported_modules(path: Path) -> Iterator[str]:
    """The full names of the modules that a file imports, and of what it imports from them."""
    try:
        source = path.read_bytes()
        tree = ast.parse(source if len(source) <= _MAXIMUM_SOURCE_BYTES else b"")
        nodes = list(ast.walk(tree))
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return
    for node in nodes:
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name
                yield alias.name.partition(".")[0]
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield node.module
            yield node.module.partition(".")[0]
            for alias in node.names:
                yield f"{node.module}.{alias.name}"
