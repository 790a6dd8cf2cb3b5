"""What is left on disk of one grading: the page, the record, and the files that were graded."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from grader.report.json import write_json
from grader.results import SubmissionResult

if TYPE_CHECKING:
    from grader.intake.private_copy import Submission

REPORT_NAME = "report.html"
RESULT_NAME = "result.json"
FILES_NAME = "files"
CLASS_PAGE_NAME = "index.html"


def write_reports(result: SubmissionResult, folder: Path) -> Path:
    """Write the page and the record into `folder`; returns the page's path."""
    from grader.report.html import write_html  # noqa: PLC0415  # its plots need half a second

    folder.mkdir(parents=True, exist_ok=True)
    write_json(result, folder / RESULT_NAME)
    write_html(result, folder / REPORT_NAME)
    return folder / REPORT_NAME


def keep_graded_files(submission: Submission, files: Sequence[str], folder: Path) -> None:
    """Copy the assignment's own files of a submission below `folder`, in place of earlier ones."""
    target = folder / FILES_NAME
    shutil.rmtree(target, ignore_errors=True)
    for file in files:
        if file in submission.files:
            copy = target / file
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(submission.root / file, copy)
