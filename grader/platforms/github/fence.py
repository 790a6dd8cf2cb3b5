"""A fence around what is printed inside GitHub Actions.

GitHub's runner reads commands from every line that a step prints, on both streams: `::name::` where
a line begins, and `##[name]` anywhere in it. What a submission printed or named must not be one.
"""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout


def inside_actions() -> bool:
    """Whether a step of GitHub Actions runs this."""
    return os.environ.get("GITHUB_ACTIONS") == "true"


@contextmanager
def fenced_log() -> Iterator[None]:
    """Keep the runner from obeying what is printed meanwhile; elsewhere do nothing.

    All of it goes to standard error: the runner reads the two streams independently, so that a
    fence is sure to hold only for what follows it on its own.
    """
    if not inside_actions():
        yield
        return
    token = secrets.token_hex(16)
    with redirect_stdout(sys.stderr):
        print(f"::stop-commands::{token}", flush=True)  # noqa: T201
        try:
            yield
        finally:
            print(f"::{token}::", flush=True)  # noqa: T201
