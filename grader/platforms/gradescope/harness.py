"""What `run_autograder` runs: the grader in a child process, and `results.json` whatever happens.

`python -m grader.platforms.gradescope.harness ROOT`, where ROOT is `/autograder`. Only the standard
library is used, so that this process stays small and needs nothing that may be broken.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from grader.platforms.gradescope.results_file import ResultsFile, failure_results, is_valid

if TYPE_CHECKING:
    from collections.abc import Sequence

FINISHING_SECONDS = 20.0
"""For the grader to report what it has finished, once its time is up."""
FIRST_TO_DIE = "1000"
"""Where memory runs out, the kernel ends the process with the highest such number (proc(5))."""


def run(root: Path, command: Sequence[str], *, seconds: float) -> None:
    """Grade in a child process and leave `results.json`.

    Args:
        root: Gradescope's directory.
        command: of the child; the number of the file descriptor that takes its results is added.
        seconds: after which the child is interrupted; then it has `FINISHING_SECONDS`.
    """
    results = ResultsFile(root / "results")
    results.prepare()
    try:
        content, ending = _grade(command, seconds)
    except OSError as error:
        content, ending = b"", f"The autograder could not be started: {error.strerror}."
    if not is_valid(content):
        print(f"no result: {ending}", flush=True)  # noqa: T201 - for the instructor
        content = failure_results(ending)
    results.conclude(content)


def _grade(command: Sequence[str], seconds: float) -> tuple[bytes, str]:
    """What the child wrote, and how it ended, in words."""
    # In memory, so that neither a full disk nor a child that ends half-way can spoil the file.
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
    """Wait for the child's end, which comes; returns whether its time was up."""
    try:
        child.wait(seconds)
    except subprocess.TimeoutExpired:
        child.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            child.wait(FINISHING_SECONDS)
        return True
    finally:
        # Its training processes and its sandbox end with it; whatever is left, ends here.
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
    """Grade what lies in the directory that the command line names."""
    root = Path(sys.argv[1])
    settings = json.loads((root / "source" / "settings.json").read_bytes())
    command = [sys.executable, "-P", "-m", "grader.platforms.gradescope.grade", str(root)]
    run(root, command, seconds=settings["time_limit_seconds"])


if __name__ == "__main__":
    main()
