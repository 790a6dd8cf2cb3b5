"""A grader that is killed at any moment takes everything that it started with it."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.support.paths import ROOT
from tests.support.processes import describe, is_running

GRADE = Path(sys.executable).with_name("grade")
EARLIEST_SECONDS, LATEST_SECONDS = 0.2, 6.0
QUICK_MOMENTS = ((0.2, 0.8), (0.8, 1.6), (2.0, 3.0))
"""While the sandbox starts, while it is asked, and while the training starts."""
PATIENCE_SECONDS = 5.0
"""Enough for a loaded machine; what stays for ever is still found."""


def start(directory: Path) -> subprocess.Popen[bytes]:
    """Grade the reference: first the sandbox is at work, then the training."""
    temporary = directory / "temporary"
    temporary.mkdir(exist_ok=True)
    command = [GRADE, ROOT / "reference", "--practice", "--full", "--no-cache"]
    return subprocess.Popen(
        [*command, "--output", directory / "reports"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "TMPDIR": str(temporary), "MARKER": str(directory)},
    )


def descendants(process: psutil.Process) -> set[psutil.Process]:
    """All of them; a daemon's too, as long as its ancestors live."""
    try:
        return set(process.children(recursive=True))
    except psutil.NoSuchProcess:
        return set()


def kill_at(seconds: float, directory: Path) -> tuple[list[str], int]:
    """Kill a grader after some time.

    Returns:
        What still runs `PATIENCE_SECONDS` later, and how many processes it had had.
    """
    with start(directory) as grader:
        watched = psutil.Process(grader.pid)
        end = time.monotonic() + seconds
        seen: set[psutil.Process] = set()
        while time.monotonic() < end:
            assert grader.poll() is None, "graded before it was killed"
            seen |= descendants(watched)
            time.sleep(0.02)
        # Stopped first, so that nothing is started between the last look and the end.
        watched.suspend()
        seen |= descendants(watched)
        grader.kill()
        grader.wait()
    end = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < end and any(map(is_running, seen)):
        time.sleep(0.02)
    left = [process for process in seen if is_running(process)]
    named = [describe(process) for process in left]
    for process in left:
        process.kill()
    return named, len(seen)


def check_moments(moments: list[float], directory: Path) -> None:
    """Nothing is left after any of these moments."""
    seen = 0
    for moment in moments:
        left, processes = kill_at(moment, directory)
        seen += processes
        assert left == [], f"killed after {moment:.2f} s"
    assert seen >= len(moments), "no process was seen: this test looks at nothing"


def test_three_moments(tmp_path: Path) -> None:
    """Three moments, one in each stage."""
    choose = random.Random(1)
    check_moments([choose.uniform(*stage) for stage in QUICK_MOMENTS], tmp_path)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_fifty_moments(tmp_path: Path) -> None:
    """Fifty random moments."""
    choose = random.Random(2)
    moments = [choose.uniform(EARLIEST_SECONDS, LATEST_SECONDS) for _ in range(50)]
    check_moments(moments, tmp_path)
