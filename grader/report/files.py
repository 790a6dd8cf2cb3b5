"""The files of one grading on disk: the report and the record."""

from __future__ import annotations

from pathlib import Path

from grader.report.json import write_json
from grader.results import SubmissionResult

REPORT_NAME = "report.html"
RESULT_NAME = "result.json"
FILES_NAME = "files"
CLASS_PAGE_NAME = "index.html"


def write_reports(result: SubmissionResult, folder: Path) -> Path:
    """Write the report and the record into `folder`, and return the report's path."""
    from grader.report.html import write_html  # noqa: PLC0415  # loads the templates

    folder.mkdir(parents=True, exist_ok=True)
    write_json(result, folder / RESULT_NAME)
    write_html(result, folder / REPORT_NAME)
    return folder / REPORT_NAME
