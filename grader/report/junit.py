"""The result as JUnit XML, in the dialect that pytest calls xunit2.

A part is a test suite, a check is a test case. JUnit knows no "awaits a person", so pending and
skipped checks are both `skipped`, and their `type` tells them apart.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterator

from grader.report.wording import facts, points, worth
from grader.results import CheckResult, ItemResult, Outcome, PartResult, SubmissionResult
from grader.text import clean_block  # escapes every character that XML 1.0 forbids

_ELEMENTS = {
    Outcome.FAILED: "failure",
    Outcome.ERROR: "error",
    Outcome.SKIPPED: "skipped",
    Outcome.PENDING: "skipped",
}
"""The element inside a test case that did not pass."""


def render_junit(result: SubmissionResult) -> str:
    """Return the whole document.

    Its only times are those of training, in seconds, on the last check of an item.
    """
    suites = [
        _suite(part, result.timing.started_at)
        for problem in result.problems
        for part in problem.parts
    ]
    root = ET.Element("testsuites", name=clean_block(result.name))
    for attribute in ("tests", "failures", "errors"):
        root.set(attribute, str(sum(int(suite.get(attribute, 0)) for suite in suites)))
    root.set("time", _seconds(sum(float(suite.get("time", 0)) for suite in suites)))
    root.extend(suites)
    ET.indent(root)
    return f'<?xml version="1.0" encoding="utf-8"?>\n{ET.tostring(root, encoding="unicode")}\n'


def _suite(part: PartResult, started_at: str) -> ET.Element:
    cases = [case for item in part.items for case in _cases(item)]
    suite = ET.Element(
        "testsuite",
        name=clean_block(f"{part.id}: {part.title}"),
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
        ET.SubElement(suite, "system-out").text = clean_block("\n\n".join(printed))
    return suite


def _cases(item: ItemResult) -> Iterator[ET.Element]:
    checks = item.checks or (_only_check(item),)
    for check in checks:
        seconds = _training_seconds(item) if check is checks[-1] else 0.0
        case = ET.Element(
            "testcase",
            classname=clean_block(item.id),
            name=clean_block(
                f"{check.id}: {check.title}" + (worth(check) and f" ({worth(check)})")
            ),
            time=_seconds(seconds),
        )
        if check.outcome in _ELEMENTS:
            fault = ET.SubElement(case, _ELEMENTS[check.outcome], type=check.outcome.value)
            fault.set("message", clean_block(check.observed))
            explanation = [f"{name}: {text}" for name, text in facts(check)]
            fault.text = clean_block("\n".join([*explanation, *filter(None, [check.details])]))
        yield case


def _only_check(item: ItemResult) -> CheckResult:
    """Return a check that stands for an item without checks."""
    return CheckResult(
        id="graded", title=item.title, outcome=item.outcome, observed=" ".join(item.notes)
    )


def _training_seconds(item: ItemResult) -> float:
    return sum(run.wall_seconds for run in item.training.runs) if item.training else 0.0


def _seconds(value: float) -> str:
    return f"{value:.3f}"
