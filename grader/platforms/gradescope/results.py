"""The result as Gradescope's `results.json`.

The fields are those of https://gradescope-autograders.readthedocs.io/en/latest/specs/.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal

import msgspec

from grader.report import wording
from grader.report.html import template_environment
from grader.results import ItemResult, Outcome, PartResult, Provenance, SubmissionResult, Timing
from grader.text import make_visible

Visibility = Literal["hidden", "after_due_date", "after_published", "visible"]
Format = Literal["text", "html", "simple_format", "md", "ansi"]
UNJUDGED = {Outcome.PENDING, Outcome.ERROR, Outcome.SKIPPED}
"""Outcomes that are neither passed nor failed, which is all that Gradescope knows."""


class _Record(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A record of which only what is said is written."""


class Test(_Record, frozen=True):
    """What Gradescope shows for one part.

    Attributes:
        score, max_score: of the points that are given automatically; without any, neither.
        status: left out where the part is neither passed nor failed.
    """

    number: str
    name: str
    output: str
    output_format: Format
    score: float | None = None
    max_score: float | None = None
    status: Literal["passed", "failed"] | None = None
    visibility: Visibility | None = None


class LeaderboardRow(_Record, frozen=True):
    """One column of the leaderboard; the largest value comes first unless `order` is "asc"."""

    name: str
    value: float
    order: Literal["asc"] | None = None


class ExtraData(_Record, frozen=True):
    """What Gradescope keeps beside the result, for whoever asks later how it came about."""

    provenance: Provenance
    timing: Timing
    complete: bool


class GradescopeResults(_Record, frozen=True):
    """The whole file.

    Attributes:
        score: replaces the sum of the tests' scores.
        execution_time: seconds.
        stdout_visibility: of what the autograder printed, which is for instructors.
    """

    score: float
    execution_time: float
    output: str
    output_format: Format
    visibility: Visibility
    stdout_visibility: Visibility
    tests: tuple[Test, ...]
    extra_data: ExtraData
    leaderboard: tuple[LeaderboardRow, ...] | None = None


def render_gradescope(
    result: SubmissionResult,
    *,
    hidden: Collection[str] = (),
    leaderboard: bool = False,
    out_of_time: bool = False,
) -> GradescopeResults:
    """The result for Gradescope.

    Args:
        result: of one submission.
        hidden: the ids of the parts whose results students do not see.
        leaderboard: whether to add the models' accuracies and sizes.
        out_of_time: whether the time limit ended the grading before everything was graded.
    """
    parts = [part for problem in result.problems for part in problem.parts]
    visible = [part for part in parts if part.id not in hidden]
    return GradescopeResults(
        score=result.score.earned,
        execution_time=result.timing.total_seconds,
        output=_render("gradescope_summary.html", result=result, parts=visible, cut=out_of_time),
        output_format="html",
        visibility="visible",
        stdout_visibility="hidden",
        tests=tuple(_test(part, hidden=part.id in hidden) for part in parts),
        extra_data=ExtraData(
            provenance=result.provenance, timing=result.timing, complete=result.complete
        ),
        leaderboard=_leaderboard(visible) if leaderboard else None,
    )


def encode_gradescope(results: GradescopeResults) -> bytes:
    """The content of `results.json`."""
    return msgspec.json.encode(results)


def automatic_points(part: PartResult) -> float:
    """How many of a part's points no person has to give."""
    return part.score.possible - part.score.pending


def _test(part: PartResult, *, hidden: bool) -> Test:
    automatic = automatic_points(part)
    is_scored = automatic > 0
    awaits = f" (a person gives {wording.points(part.score.pending)})" if part.score.pending else ""
    return Test(
        number=make_visible(part.id),
        name=make_visible(part.title) + awaits,
        output=_render("gradescope_part.html", part=part),
        output_format="html",
        score=part.score.earned if is_scored else None,
        max_score=automatic if is_scored else None,
        status=_status(part),
        visibility="hidden" if hidden else None,
    )


def _status(part: PartResult) -> Literal["passed", "failed"] | None:
    """Passed or failed as far as it was graded automatically, or None where it was not."""
    outcomes = {item.outcome for item in part.items}
    if Outcome.FAILED in outcomes:
        return "failed"
    return None if outcomes <= UNJUDGED or part.score.undecided else "passed"


def _leaderboard(parts: Collection[PartResult]) -> tuple[LeaderboardRow, ...]:
    """Of each model its accuracy, and if it passed its size: a small model alone is no feat."""
    rows = []
    for item in (item for part in parts for item in part.items if item.kind == "model"):
        name = make_visible(item.id).removesuffix(".model")
        rows.append(LeaderboardRow(name=f"{name} accuracy", value=_accuracy(item)))
        if item.outcome is Outcome.PASSED and item.parameters is not None:
            rows.append(
                LeaderboardRow(name=f"{name} parameters", value=item.parameters, order="asc")
            )
    return tuple(rows)


def _accuracy(item: ItemResult) -> float:
    """0 to 1; 0 for a model that was not trained."""
    return item.training.accuracy if item.training is not None else 0.0


def _render(template: str, **values: object) -> str:
    return template_environment().get_template(template).render(values)
