"""Find processes that still run, for tests that expect none."""

from __future__ import annotations

import time

import psutil


def is_running(process: psutil.Process) -> bool:
    """Return True if the process runs; zombies do not count."""
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
