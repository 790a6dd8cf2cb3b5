"""Outcomes and points of one item."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from grader.assignment.records import Item
from grader.errors import GraderError, SubmissionError
from grader.results import CheckResult, ItemResult, Outcome, Score, worst


def give_points(outcome: Outcome, points: float) -> Score:
    """Return the score of an item; its outcome decides about all of its points."""
    match outcome:
        case Outcome.PASSED:
            return Score(possible=points, earned=points)
        case Outcome.FAILED:
            return Score(possible=points, lost=points)
        case Outcome.PENDING:
            return Score(possible=points, pending=points)
        case Outcome.SKIPPED | Outcome.ERROR:
            return Score(possible=points, undecided=points)


def conclude(item_id: str, item: Item, *checks: CheckResult) -> ItemResult:
    """Return an item's result from its checks."""
    unchecked = ItemResult(
        id=item_id,
        title=item.title,
        kind=item.kind,
        outcome=Outcome.PASSED,
        score=Score(possible=item.points),
    )
    return add_checks(unchecked, *checks)


def add_checks(result: ItemResult, *checks: CheckResult) -> ItemResult:
    """Return a result after further checks; a failure outweighs the checks skipped for it."""
    together = (*result.checks, *checks)
    outcomes = [check.outcome for check in together]
    outcome = Outcome.FAILED if Outcome.FAILED in outcomes else worst(outcomes)
    score = give_points(outcome, result.score.possible)
    return replace(result, checks=together, outcome=outcome, score=score)


def add_scored_checks(
    result: ItemResult, checks: Sequence[CheckResult], points: Sequence[float]
) -> ItemResult:
    """Return a result that passed so far after checks that each give points of their own."""
    scored = [
        replace(check, score=give_points(check.outcome, possible))
        for check, possible in zip(checks, points, strict=True)
    ]
    together = add_checks(result, *scored)
    total = Score.total([check.score for check in scored if check.score is not None])
    return replace(together, score=replace(total, possible=result.score.possible))


def skipped(check_id: str, title: str, reason: str) -> CheckResult:
    """Return a check that was not made."""
    return CheckResult(id=check_id, title=title, outcome=Outcome.SKIPPED, observed=reason)


def end_training(so_far: ItemResult, error: GraderError) -> ItemResult:
    """Return the result of an item whose training ended in an error.

    A model that cannot be trained fails; an error of the grader or the machine costs no points.
    """
    if isinstance(error, SubmissionError):
        check_id, title, outcome = "trained", "The model can be trained", Outcome.FAILED
        usual = "run a training step on your own machine, and fix what fails"
    else:
        check_id, title, outcome = "graded", "Graded", Outcome.ERROR
        usual = "the submission is not at fault; grade it again"
    check = CheckResult(
        id=check_id,
        title=title,
        outcome=outcome,
        observed=str(error),
        next_step=error.next_step or usual,
    )
    return add_checks(so_far, check)
