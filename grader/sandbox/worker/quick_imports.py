"""Import large packages without the garbage collector, which finds nothing in them."""

from __future__ import annotations

import gc
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


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
