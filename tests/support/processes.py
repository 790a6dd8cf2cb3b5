"""Which processes still run, for tests of what is left of them."""

from __future__ import annotations

import time

import psutil


def is_running(process: psutil.Process) -> bool:
    """Whether it runs; one that only waits to be taken notice of does not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def describe(process: psutil.Process) -> str:
    """Its number and command, for the message of a test that found it."""
    try:
        return f"{process.pid} {' '.join(process.cmdline())[:200]}"
    except psutil.Error:
        return str(process.pid)


def alive(pids: list[int]) -> list[int]:
    """Those that still run, after a moment's grace."""
    for _ in range(100):
        left = [pid for pid in pids if _runs(pid)]
        if not left:
            return []
        time.sleep(0.05)
    return left


def _runs(pid: int) -> bool:
    try:
        return is_running(psutil.Process(pid))
    except psutil.NoSuchProcess:
        return False
