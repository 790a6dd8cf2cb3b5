"""A fence around the log of GitHub Actions.

GitHub's runner obeys commands in every line that a step prints, on both streams: `::name::` at the
start of a line, and `##[name]` anywhere. A student's text must not become a command.
"""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout


def inside_actions() -> bool:
    """Return True inside a step of GitHub Actions."""
    return os.environ.get("GITHUB_ACTIONS") == "true"


@contextmanager
def fenced_log() -> Iterator[None]:
    """Keep the runner from obeying printed text; do nothing outside GitHub Actions.

    All text goes to standard error: the runner reads the two streams independently, so a fence
    protects only its own stream.
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
