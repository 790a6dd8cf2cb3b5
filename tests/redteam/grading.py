"""Grades whole submissions as the command does, and looks at all that comes out of it."""

from __future__ import annotations

import io
import json
import re
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path

from rich.console import Console

from grader.assignment.loading import load_assignment
from grader.grading.pipeline import grade_submission
from grader.grading.options import Options
from grader.report.html import render_html
from tests.support.result_files import write_json
from grader.report.terminal import print_summary
from grader.results import ItemResult, Outcome, SubmissionResult
from tests.submissions.asking import leaving_nothing
from tests.support.paths import REFERENCE

QUICK = Options(practice=True, quick=True)
HIDDEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


class SilentObserver:
    """An observer that keeps what it is warned of."""

    def __init__(self) -> None:
        self.warnings: list[str] = []

    def stage(self, text: str) -> None:
        """Nothing."""

    def warn(self, text: str) -> None:
        self.warnings.append(text)

    def training_starts(self, item_ids: object) -> None:
        """Nothing."""

    def epoch_ended(self, *arguments: object) -> None:
        """Nothing."""

    def item_finished(self, item: object) -> None:
        """Nothing."""


@dataclass(frozen=True, kw_only=True)
class Outputs:
    """A result, and every form in which a person or a program reads it."""

    result: SubmissionResult
    html: str
    terminal: str
    json: str

    def items(self) -> dict[str, ItemResult]:
        """The items by their ids."""
        return {item.id: item for item in self.result.items()}

    def outcomes(self) -> dict[str, Outcome]:
        """The verdicts."""
        return {item.id: item.outcome for item in self.result.items()}

    def told(self, item_id: str) -> str:
        """Return the text of the failed checks of one item, as a student reads it."""
        return "\n".join(
            f"{check.observed} | {check.expected} | {check.next_step} | {check.location}"
            for check in self.items()[item_id].checks
            if check.outcome is Outcome.FAILED
        )

    def everything(self) -> str:
        """All outputs together."""
        return "\n".join((self.html, self.terminal, self.json))

    def without_timing(self) -> object:
        """Return the JSON result without times, equal for two gradings of the same work."""
        return json.loads(self.json, object_hook=_drop_times)


def _drop_times(fields: dict[str, object]) -> dict[str, object]:
    """Leave out what differs between two gradings, by the rule of `grader.results`."""
    return {name: value for name, value in fields.items() if not name.endswith(("_seconds", "_at"))}


def grade(directory: Path, work: Path) -> Outputs:
    """Grade without training; nothing may be left."""
    with leaving_nothing():
        graded = grade_submission(directory, load_assignment("set4"), QUICK, SilentObserver())
    written = io.StringIO()
    console = Console(file=written, width=100, no_color=True)
    print_summary(graded.result, console, str(work / "report.html"))
    write_json(graded.result, work / "result.json")
    return Outputs(
        result=graded.result,
        html=render_html(graded.result),
        terminal=written.getvalue(),
        json=(work / "result.json").read_text(encoding="utf-8"),
    )


class Page(HTMLParser):
    """A report as a browser parses it: elements, their attributes, and text."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def check_inert(outputs: Outputs) -> None:
    """Nothing in any output acts, is fetched, hides, or steers a terminal."""
    page = Page(outputs.html)
    for tag, attributes in page.elements:
        assert tag not in {"script", "iframe", "object", "embed", "form", "input", "base"}
        assert not [name for name in attributes if name.startswith("on")]
        source = attributes.get("src")
        assert source is None or source.startswith("data:image/png;base64,")
        target = attributes.get("href")
        allowed = ("#", "https://", "http://", "mailto:") if tag == "a" else ("data:,",)
        assert target is None or target.startswith(allowed)
    for text in (outputs.html, outputs.terminal, outputs.json):
        assert not HIDDEN.search(text), HIDDEN.findall(text)
