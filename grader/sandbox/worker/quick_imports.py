"""Imports of large packages, without a garbage collector that finds nothing in them."""

from __future__ import annotations

import gc
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def garbage_collection_paused() -> Iterator[None]:
    """Import in this block what stays until the process ends.

    The collector would go through the growing heap of PyTorch's 2,000 modules again and again: a
    tenth of its import. What exists at the end of the block is never looked at again, not at the
    interpreter's exit either, nor copied page by page by a forked process's collector (Python's
    documentation, `gc.freeze`).
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
