"""The result as JUnit XML, in the dialect that pytest calls xunit2.

A test suite for each part, a test case for each check. JUnit knows no "awaits a person", so pending
and skipped checks are both `skipped`, and their `type` tells them apart.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path

from grader.report.wording import points
from grader.results import CheckResult, ItemResult, Outcome, PartResult, SubmissionResult
from grader.text import clean_block

_ELEMENTS = {
    Outcome.FAILED: "failure",
    Outcome.ERROR: "error",
    Outcome.SKIPPED: "skipped",
    Outcome.PENDING: "skipped",
}
"""What a test case holds that did not pass."""


def render_junit(result: SubmissionResult) -> str:
    """The whole document, ready to be written as UTF-8.

    The only times in it are those of training, in seconds, on the last check of their item.
    """
    suites = [
        _suite(part, result.timing.started_at)
        for problem in result.problems
        for part in problem.parts
    ]
    root = ET.Element("testsuites", name=_text(result.name))
    for attribute in ("tests", "failures", "errors"):
        root.set(attribute, str(sum(int(suite.get(attribute, 0)) for suite in suites)))
    root.set("time", _seconds(sum(float(suite.get("time", 0)) for suite in suites)))
    root.extend(suites)
    ET.indent(root)
    return f'<?xml version="1.0" encoding="utf-8"?>\n{ET.tostring(root, encoding="unicode")}\n'


def write_junit(result: SubmissionResult, path: Path) -> None:
    """Write the document to `path`, whose folder must exist."""
    path.write_text(render_junit(result), encoding="utf-8")


def _suite(part: PartResult, started_at: str) -> ET.Element:
    cases = [case for item in part.items for case in _cases(item)]
    suite = ET.Element(
        "testsuite",
        name=_text(f"{part.id}: {part.title}"),
        tests=str(len(cases)),
        failures=str(sum(case.find("failure") is not None for case in cases)),
        errors=str(sum(case.find("error") is not None for case in cases)),
        skipped=str(sum(case.find("skipped") is not None for case in cases)),
        time=_seconds(sum(_training_seconds(item) for item in part.items)),
        timestamp=started_at,
    )
    properties = ET.SubElement(suite, "properties")
    score = part.score
    for name in ("possible", "earned", "pending", "lost", "undecided"):
        ET.SubElement(properties, "property", name=name, value=points(getattr(score, name)))
    suite.extend(cases)
    printed = [f"{output.source}:\n{output.text}" for item in part.items for output in item.output]
    if printed:
        ET.SubElement(suite, "system-out").text = _text("\n\n".join(printed))
    return suite


def _cases(item: ItemResult) -> Iterator[ET.Element]:
    checks = item.checks or (_only_check(item),)
    for check in checks:
        seconds = _training_seconds(item) if check is checks[-1] else 0.0
        case = ET.Element(
            "testcase",
            classname=_text(item.id),
            name=_text(f"{check.id}: {check.title}"),
            time=_seconds(seconds),
        )
        if check.outcome in _ELEMENTS:
            fault = ET.SubElement(case, _ELEMENTS[check.outcome], type=check.outcome.value)
            fault.set("message", _text(check.observed))
            fault.text = _text(_explanation(check))
        yield case


def _only_check(item: ItemResult) -> CheckResult:
    """What stands for an item that was left out before any check was made."""
    return CheckResult(
        id="graded", title=item.title, outcome=item.outcome, observed=" ".join(item.notes)
    )


def _explanation(check: CheckResult) -> str:
    facts = (
        ("observed", check.observed),
        ("expected", check.expected),
        ("next step", check.next_step),
        ("where", check.location),
    )
    lines = [f"{name}: {text}" for name, text in facts if text]
    return "\n".join([*lines, *filter(None, [check.details])])


def _training_seconds(item: ItemResult) -> float:
    return sum(run.wall_seconds for run in item.training.runs) if item.training else 0.0


def _seconds(value: float) -> str:
    return f"{value:.3f}"


def _text(text: str) -> str:
    """Text that XML 1.0 can hold: escapes for what it forbids, and for all that is invisible."""
    return clean_block(text)
