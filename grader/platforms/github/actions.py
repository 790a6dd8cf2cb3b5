"""What `grade` hands to GitHub Actions: the step's summary, annotations, and Classroom's output."""

from __future__ import annotations

import os
import sys
from pathlib import Path, PurePosixPath

from grader.errors import MachineError
from grader.platforms.github.classroom import write_classroom
from grader.platforms.github.fence import inside_actions
from grader.platforms.github.summary import render_annotations, write_summary
from grader.results import SubmissionResult


def report_to_actions(result: SubmissionResult, directory: Path) -> None:
    """Inside GitHub Actions, hand the result to the runner; elsewhere do nothing.

    Raises:
        MachineError: a file that the runner named cannot be written.
    """
    if not inside_actions():
        return
    try:
        for variable, write in (
            ("GITHUB_STEP_SUMMARY", write_summary),
            ("GITHUB_OUTPUT", write_classroom),
        ):
            if os.environ.get(variable):
                write(result, Path(os.environ[variable]))
    except OSError as error:
        raise MachineError(
            f"the result could not be handed to GitHub's runner: {error}",
            next_step="Start the step again; if it fails again, unset GITHUB_ACTIONS.",
        ) from error
    sys.stderr.write(render_annotations(result, _folder_in_repository(directory)))


def _folder_in_repository(directory: Path) -> PurePosixPath | None:
    workspace = Path(os.environ.get("GITHUB_WORKSPACE") or ".").resolve()
    resolved = directory.resolve()
    if not resolved.is_dir() or not resolved.is_relative_to(workspace):
        return None
    return PurePosixPath(resolved.relative_to(workspace))
