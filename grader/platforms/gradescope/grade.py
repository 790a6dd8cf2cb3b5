"""The child of the harness: grade one submission, and write its results to a file descriptor.

`python -m grader.platforms.gradescope.grade ROOT DESCRIPTOR`.
"""

from __future__ import annotations

import os
import signal
import sys
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from grader.errors import GraderError
from grader.grading.options import Options
from grader.grading.pipeline import grade_submission
from grader.platforms.gradescope.harness import failure_results
from grader.platforms.gradescope.results import render_gradescope
from grader.platforms.gradescope.settings import FILE_NAME, read_settings
from grader.report.progress import TerminalProgress


def grade(root: Path) -> bytes:
    """Return the results for the submission in Gradescope's directory `root`.

    If there is no grade, students see one sentence, and instructors the whole message.
    """
    try:
        return _grade(root)
    except GraderError as error:
        print(f"error: {error}\nwhat to do: {error.next_step}", flush=True)  # noqa: T201
        summary = str(error).partition("\n")[0].rstrip(".:")
        return failure_results(f"The grader could not grade: {summary}.")
    except KeyboardInterrupt:
        return failure_results("The time was up before anything was graded.")


def _grade(root: Path) -> bytes:
    source = root / "source"
    settings = read_settings(source / FILE_NAME)
    submission = root / "submission"
    assignment = settings.load_assignment(source, submission=submission)
    # A container is often smaller than the assignment's own limit.
    memory_bytes = min(assignment.limits.memory_bytes, settings.question_memory_bytes)
    limits = replace(assignment.limits, memory_bytes=memory_bytes)
    assignment = replace(assignment, limits=limits)
    options = Options(
        data_directory=settings.data_path(),
        practice=settings.practice,
        may_fall_back=False,
        device="cpu",
        use_cache=False,
    )
    with TerminalProgress(Console(), quiet=False, verbose=False) as progress:
        graded = grade_submission(submission, assignment, options, progress)
    return render_gradescope(
        graded.result,
        hidden={
            part.id for problem in assignment.problems for part in problem.parts if part.hidden
        },
        leaderboard=settings.leaderboard,
        out_of_time=graded.interrupted,
    )


def main() -> None:
    """Grade, and write all results at once."""
    # A background job of a shell ignores SIGINT, which the harness sends after the time limit.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    results = grade(Path(sys.argv[1]))
    with os.fdopen(int(sys.argv[2]), "wb") as file:
        file.write(results)


if __name__ == "__main__":
    main()
