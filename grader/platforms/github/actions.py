"""Report to GitHub Actions: the step's summary, annotations, and GitHub Classroom's output."""

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
    """Pass the result to the runner inside GitHub Actions; do nothing elsewhere.

    Raises:
        MachineError: a file of the runner cannot be written.
    """
    if not inside_actions():
        return
    try:
        if summary := os.environ.get("GITHUB_STEP_SUMMARY"):
            write_summary(result, Path(summary))
        if output := os.environ.get("GITHUB_OUTPUT"):
            write_classroom(result, Path(output))
    except OSError as error:
        raise MachineError(
            f"the result could not be passed to GitHub's runner: {error}",
            next_step="Run the step again; if it fails again, unset GITHUB_ACTIONS.",
        ) from error
    workspace = Path(os.environ.get("GITHUB_WORKSPACE") or ".").resolve()
    resolved = directory.resolve()
    inside = resolved.is_dir() and resolved.is_relative_to(workspace)
    folder = PurePosixPath(resolved.relative_to(workspace)) if inside else None
    sys.stderr.write(render_annotations(result, folder))
