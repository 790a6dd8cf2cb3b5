"""Import large packages without the garbage collector, which finds nothing in them."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def garbage_collection_paused() -> Iterator[None]:
    """Pause the collector while importing what stays until the process ends.

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
