"""A result for GitHub Classroom: the step output that its `autograding-grading-reporter` reads.

Written answers, which people grade elsewhere, are left out: the maximum points are then the same
for every student. The reporter prints the texts, so none may be a command to GitHub's runner.
"""

from __future__ import annotations

import base64
from pathlib import Path

import msgspec

from grader.assignment.records import record_of
from grader.report.wording import deciding_check, verdict_label
from grader.results import ItemResult, Outcome, SubmissionResult, add_points, worst
from grader.text import clean_block

_STATUSES = {
    Outcome.PASSED: "pass",
    Outcome.FAILED: "fail",
    Outcome.ERROR: "error",
    Outcome.SKIPPED: "error",
    Outcome.PENDING: "error",
}
"""The reporter knows no other status."""

_LONGEST_MESSAGE = 300
"""Characters. The result travels in an environment variable, which Linux caps at 128 KiB."""


def render_classroom(result: SubmissionResult) -> str:
    """Return the step output `result`: JSON in base64, on one line."""
    items = [item for item in result.items() if not record_of(item.kind).graded_by_person]
    document = {
        "version": 1,
        "status": _STATUSES[worst([item.outcome for item in items])],
        "max_score": add_points(item.score.possible for item in items),
        "tests": [_test(item, practice=result.provenance.practice) for item in items],
    }
    return base64.b64encode(msgspec.json.encode(document)).decode("ascii")


def write_classroom(result: SubmissionResult, path: Path) -> None:
    """Append the output `result` to the file in GITHUB_OUTPUT."""
    with path.open("a", encoding="utf-8") as file:
        file.write(f"result={render_classroom(result)}\n")


def _test(item: ItemResult, *, practice: bool) -> dict[str, object]:
    check = deciding_check(item)
    facts = (check.title, check.observed, check.next_step) if check else ()
    file, _, line = (check.location if check else "").rpartition(":")
    name = f"{item.id}: {item.title}"
    return {
        "name": _line(f"PRACTICE, no grade: {name}" if practice else name),
        "status": _STATUSES[item.outcome],
        "score": item.score.earned,
        "message": _line("; ".join(filter(None, (verdict_label(item), *facts)))),
        "test_code": _line(check.title if check else ""),
        "filename": _line(file),
        "line_no": int(line) if line.isdigit() else 0,
        "duration": sum(run.wall_seconds for run in item.training.runs) if item.training else 0.0,
    }


def _line(text: str) -> str:
    """Return one line without the runner's commands, `::name::` and `##[name]`."""
    line = " ".join(clean_block(text).split())[:_LONGEST_MESSAGE]
    return line.replace("::", ": :").replace("##[", "# #[")
