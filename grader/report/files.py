"""The files of one grading on disk: the report and the record."""

from __future__ import annotations

from pathlib import Path

from grader.report.json import render_json
from grader.results import SubmissionResult

REPORT_NAME = "report.html"
RESULT_NAME = "result.json"
FILES_NAME = "files"
CLASS_PAGE_NAME = "index.html"


def write_reports(result: SubmissionResult, folder: Path) -> Path:
    """Write the page and the record into `folder`, and return the page's path."""
    from grader.report.html import render_html  # noqa: PLC0415  # loads the templates

    page = folder / REPORT_NAME
    for place in (folder, page, folder / RESULT_NAME):
        if place.is_symlink():  # left there by a student, to have another file overwritten
            place.unlink()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / RESULT_NAME).write_text(render_json(result), encoding="utf-8")
    page.write_text(render_html(result), encoding="utf-8")
    return page
