"""A result as Gradescope's `results.json`.

The fields are those of https://gradescope-autograders.readthedocs.io/en/latest/specs/.
"""

from __future__ import annotations

from collections.abc import Collection

import msgspec

from grader.assignment.records import record_of
from grader.report import wording
from grader.report.html import template_environment
from grader.results import Metric, Outcome, PartResult, SubmissionResult, add_points
from grader.text import make_visible

UNJUDGED = {Outcome.PENDING, Outcome.ERROR, Outcome.SKIPPED}
"""Outcomes for which Gradescope has no status; it knows only passed and failed."""


def render_gradescope(
    result: SubmissionResult,
    *,
    hidden: Collection[str] = (),
    leaderboard: bool = False,
    out_of_time: bool = False,
) -> bytes:
    """Return the content of `results.json`; students do not see the parts with `hidden` ids.

    With `leaderboard`, it has the models' accuracies and sizes. `out_of_time` tells students that
    the time limit ended the grading early.
    """
    parts = [part for problem in result.problems for part in problem.parts]
    visible = [part for part in parts if part.id not in hidden]
    results: dict[str, object] = {
        "score": result.score.earned,  # Gradescope takes it instead of the sum of the tests' scores
        "execution_time": result.timing.total_seconds,
        "output": _render("gradescope_summary.html", result=result, parts=visible, cut=out_of_time),
        "output_format": "html",
        "visibility": "visible",
        "stdout_visibility": "hidden",  # the autograder's output is for instructors
        "tests": [_test(part, hidden=part.id in hidden) for part in parts],
        "extra_data": {
            "provenance": result.provenance,
            "timing": result.timing,
            "complete": result.complete,
        },
    }
    if leaderboard:
        results["leaderboard"] = _leaderboard(visible)
    return msgspec.json.encode(results)


def _test(part: PartResult, *, hidden: bool) -> dict[str, object]:
    """Return Gradescope's view of a part; it scores only the automatic points."""
    pending = part.score.pending
    awaits = f" (a person gives {wording.points(pending)})" if pending else ""
    test: dict[str, object] = {
        "number": make_visible(part.id),
        "name": make_visible(part.title) + awaits,
        "output": _render("gradescope_part.html", part=part),
        "output_format": "html",
    }
    automatic = add_points([part.score.possible, -pending])
    if automatic > 0:
        test |= {"score": part.score.earned, "max_score": automatic}
    outcomes = {item.outcome for item in part.items}
    if Outcome.FAILED in outcomes:
        test["status"] = "failed"
    elif not (outcomes <= UNJUDGED or part.score.undecided):
        test["status"] = "passed"
    if hidden:
        test["visibility"] = "hidden"
    return test


def _leaderboard(parts: Collection[PartResult]) -> list[dict[str, object]]:
    """List each model's accuracy or error, and its size if it passed."""
    rows: list[dict[str, object]] = []
    items = (item for part in parts for item in part.items)
    for item in (item for item in items if record_of(item.kind).has_accuracy):
        name = make_visible(item.id).removesuffix(".model")
        # Without "asc", Gradescope puts the largest value first.
        if item.training is not None and item.training.metric is Metric.RMSE:
            rows.append({"name": f"{name} RMSE", "value": item.training.accuracy, "order": "asc"})
        else:
            accuracy = item.training.accuracy if item.training is not None else 0.0
            rows.append({"name": f"{name} accuracy", "value": accuracy})
        if item.outcome is Outcome.PASSED and item.parameters is not None:
            rows.append({"name": f"{name} parameters", "value": item.parameters, "order": "asc"})
    return rows


def _render(template: str, **values: object) -> str:
    return make_visible(template_environment().get_template(template).render(values))
