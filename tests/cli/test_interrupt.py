"""Ctrl-C ends every command in time, and leaves nothing in the temporary directory."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.support.paths import REFERENCE, ROOT
from tests.support.processes import alive

SECONDS = 2.0
LOADED_SECONDS = 1.0
"""More on a busy machine, where other tests run beside these."""

PRACTICE = ("--practice", "--no-cache")
STUCK = """
import sys, time
import grader.cli

def stuck():
    from grader.intake.private_directory import private_directory
    import subprocess
    with private_directory() as directory:
        subprocess.Popen(["sleep", "100"], start_new_session=True)
        print("stuck", file=sys.stderr, flush=True)
        while True:
            try:
                time.sleep(100)
            except KeyboardInterrupt:
                pass  # as a library that is being loaded may do

grader.cli.main = stuck
from grader.__main__ import main
main()
"""


def interrupt(tmp_path: Path, *command: str, said: str = "", seconds: float = 0.0) -> str:
    """Start a command, press Ctrl-C at its text or after some time, and return its errors."""
    temporary = tmp_path / "tmp"
    temporary.mkdir(exist_ok=True)
    errors = tmp_path / "errors"
    with errors.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-P", *command],
            cwd=tmp_path,
            env={**os.environ, "TMPDIR": str(temporary), "PYTHONPATH": str(ROOT)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=file,
            process_group=0,
        )
    try:
        deadline = time.monotonic() + 120
        while said and said not in errors.read_text():
            assert process.poll() is None, errors.read_text()
            assert time.monotonic() < deadline, errors.read_text()
            time.sleep(0.02)
        time.sleep(seconds)
        children = psutil.Process(process.pid).children(recursive=True)
        pressed = time.monotonic()
        os.killpg(process.pid, signal.SIGINT)
        process.wait(timeout=30)
        took = time.monotonic() - pressed
    finally:
        process.kill()
        process.wait()
    told = errors.read_text()
    # CPython ends by the signal itself if the code of a named tuple, say, was interrupted last.
    assert process.returncode in (130, -signal.SIGINT), told
    assert took < SECONDS + LOADED_SECONDS, told
    assert "Traceback" not in told
    assert "stopped" in told
    assert list(temporary.iterdir()) == []
    assert not alive([child.pid for child in children])
    return told


def grade(*arguments: str) -> tuple[str, ...]:
    return ("-m", "grader", *arguments)


def test_while_loading(tmp_path: Path) -> None:
    """Before the command itself has begun."""
    interrupt(tmp_path, *grade("submission", str(REFERENCE)), seconds=0.15)


def test_in_the_sandbox(tmp_path: Path) -> None:
    """While the sandbox answers and torch loads."""
    command = grade("submission", str(REFERENCE), *PRACTICE)
    told = interrupt(tmp_path, *command, said="asking", seconds=0.3)
    # On a busy machine the command does not end by itself in time, and is ended.
    assert "stopped before anything was graded" in told or "stopped at once" in told


def test_swallowed(tmp_path: Path) -> None:
    """A command that does not end by itself is ended, with its children and directories."""
    told = interrupt(tmp_path, "-c", STUCK, said="stuck")
    assert "stopped at once" in told


@pytest.mark.slow
def test_in_training(tmp_path: Path) -> None:
    """While models are trained: the report holds what was finished."""
    command = grade("submission", str(REFERENCE), *PRACTICE, "--output", "reports")
    interrupt(tmp_path, *command, said="training for", seconds=1.0)
    assert (tmp_path / "reports" / "reference" / "report.html").is_file()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_at_random_moments(tmp_path: Path) -> None:
    """Twelve moments of a class, of which one is an archive."""
    submissions = tmp_path / "class"
    for name in ("ada", "bob", "eve"):
        shutil.copytree(REFERENCE, submissions / name)
    shutil.make_archive(str(submissions / "zoe"), "zip", REFERENCE)
    command = grade("batch", str(submissions), *PRACTICE, "--output", "reports")
    choose = random.Random(13)
    for _ in range(12):
        interrupt(tmp_path, *command, seconds=choose.uniform(0.3, 12.0))
        shutil.rmtree(tmp_path / "reports", ignore_errors=True)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "seconds"),
    [
        (("doctor",), 1.0),
        (("gradescope", "build", "--practice", "--output", "grader.zip"), 0.8),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_other_commands(tmp_path: Path, command: tuple[str, ...], seconds: float) -> None:
    """Commands that grade nothing."""
    interrupt(tmp_path, *grade(*command), seconds=seconds)
