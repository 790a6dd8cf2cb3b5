"""The files of one grading on disk: the report and the record."""

from __future__ import annotations

from pathlib import Path

from grader.report.json import render_json
from grader.results import SubmissionResult

REPORT_NAME = "report.html"
RESULT_NAME = "result.json"
FILES_NAME = "files"
CLASS_PAGE_NAME = "index.html"
SIDE_BY_SIDE_NAME = "similar-work"


def write_reports(result: SubmissionResult, folder: Path) -> Path:
    """Write the page and the record into `folder`, and return the page's path."""
    from grader.report.html import render_html  # noqa: PLC0415  # loads the templates

    page = folder / REPORT_NAME
    remove_links(folder, page, folder / RESULT_NAME)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / RESULT_NAME).write_text(render_json(result), encoding="utf-8")
    page.write_text(render_html(result), encoding="utf-8")
    return page


def remove_links(*places: Path) -> None:
    """Delete links; a student may have left them, to have another file overwritten."""
    for place in places:
        if place.is_symlink():
            place.unlink()
