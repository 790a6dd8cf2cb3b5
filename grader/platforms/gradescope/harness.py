"""Run the grader in a child process, and leave a valid `results.json` in every case.

`python -m grader.platforms.gradescope.harness ROOT`, where ROOT is `/autograder`. This module uses
only the standard library, so that the process stays small and depends on little that may be broken.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

FINISHING_SECONDS = 20.0
"""Time for the grader to report what it has finished, after the time limit."""
FIRST_TO_DIE = "1000"
"""If memory runs out, the kernel kills the process with the highest such number (proc(5))."""
RESERVED_BYTES = 8 * 2**20
"""Disk space kept for the results, which are far smaller."""
UNFINISHED = "The autograder ended before it could report a reason."
ADVICE = (
    "This is not a verdict on your work. Ask your instructor to grade it again. The autograder's "
    "output, which instructors see, says what happened."
)


def failure_results(reason: str) -> bytes:
    """Return valid results with 0 points and the reason."""
    return json.dumps(
        {
            "score": 0.0,
            "output": f"NOT GRADED. {reason} {ADVICE}",
            "output_format": "text",
            "visibility": "visible",
            "stdout_visibility": "hidden",
            "tests": [],
        }
    ).encode()


def is_valid(content: bytes) -> bool:
    """Return True for a JSON object with a score and a list of tests, as Gradescope requires."""
    try:
        results: Any = json.loads(content)
    except ValueError:
        return False
    return (
        isinstance(results, dict)
        and type(results.get("score")) in {int, float}
        and isinstance(results.get("tests"), list)
    )


def write_results(directory: Path, content: bytes) -> None:
    """Replace `results.json` atomically; if the disk is full, keep the old file."""
    draft = directory / ".results.json.draft"
    with suppress(OSError):
        with draft.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(directory / "results.json")
    draft.unlink(missing_ok=True)


def run(root: Path, command: Sequence[str], *, seconds: float) -> None:
    """Grade in a child process and write `results.json` below Gradescope's directory `root`.

    The command gets a file descriptor for the results as another argument. After the time limit the
    child is interrupted, and has `FINISHING_SECONDS`.
    """
    directory = root / "results"
    write_results(directory, failure_results(UNFINISHED))
    reserve = directory / ".reserve"
    with suppress(OSError), reserve.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, RESERVED_BYTES)
    try:
        content, ending = _grade(command, seconds)
    except OSError as error:
        content, ending = b"", f"The autograder could not be started: {error.strerror}."
    if not is_valid(content):
        print(f"no result: {ending}", flush=True)  # noqa: T201 - for the instructor
        content = failure_results(ending)
    reserve.unlink(missing_ok=True)
    write_results(directory, content)


def _grade(command: Sequence[str], seconds: float) -> tuple[bytes, str]:
    """Return the child's results, and a sentence about its end."""
    # In memory, so that neither a full disk nor a crash of the child can leave half a file.
    descriptor = os.memfd_create("results")
    with os.fdopen(descriptor, "rb") as written:
        child = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            [*command, str(descriptor)],
            stdin=subprocess.DEVNULL,
            stderr=subprocess.STDOUT,
            pass_fds=(descriptor,),
            start_new_session=True,
        )
        with suppress(OSError):
            Path(f"/proc/{child.pid}/oom_score_adj").write_text(FIRST_TO_DIE, encoding="ascii")
        is_late = _wait(child, seconds)
        written.seek(0)
        return written.read(), _describe(child.returncode, seconds if is_late else None)


def _wait(child: subprocess.Popen[bytes], seconds: float) -> bool:
    """Wait until the child has ended; return True if it reached the time limit."""
    try:
        child.wait(seconds)
    except subprocess.TimeoutExpired:
        child.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            child.wait(FINISHING_SECONDS)
        return True
    finally:
        # Kill the child if it is still running, and every process that it has left.
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
    return False


def _describe(code: int, seconds: float | None) -> str:
    if seconds is not None:
        return f"The time limit of {seconds:g} seconds was reached before anything was graded."
    if code == -signal.SIGKILL:
        return "The grader was killed, most likely because the container's memory ran out."
    if code < 0:
        return f"The grader was ended by signal {-code}."
    return f"The grader failed with exit code {code}."


def main() -> None:
    """Grade the submission in the directory that the command line names."""
    root = Path(sys.argv[1])
    settings = json.loads((root / "source" / "settings.json").read_bytes())
    command = [sys.executable, "-P", "-m", "grader.platforms.gradescope.grade", str(root)]
    run(root, command, seconds=settings["time_limit_seconds"])


if __name__ == "__main__":
    main()
