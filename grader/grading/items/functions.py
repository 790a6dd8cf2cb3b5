"""Functions: the outcomes of the author's tests, as students may read them."""

from __future__ import annotations

from dataclasses import replace

from grader.assignment.records import FunctionsItem
from grader.grading.items.calls import describe_failure, mark_unanswered
from grader.grading.items.interface import Context
from grader.grading.points import conclude, skipped
from grader.results import CheckResult, ItemResult, Outcome, Score, worst


def check(item_id: str, item: FunctionsItem, context: Context) -> ItemResult:
    """Return the tests as checks; each gives its own points."""
    extraction = context.extractions[item_id]
    if not extraction.cases and extraction.failure is None:
        reason = "the tests need the sandbox, which --own-work leaves out"
        return conclude(item_id, item, skipped("graded", "Graded", reason))
    checks = [case.check for case in extraction.cases]
    if extraction.failure is not None:
        title = f"{item.file} can be imported"
        failed = describe_failure(extraction.failure, check_id="imported", title=title)
        failed = mark_unanswered(failed, extraction.failure)
        checks = [failed, *(_leave_out(check, item.file) for check in checks)]
    score = Score.total([check.score for check in checks if check.score is not None])
    result = replace(
        conclude(item_id, item, *checks),
        outcome=worst([check.outcome for check in checks]),
        score=replace(score, possible=item.points),
        output=tuple(case.output for case in extraction.cases if case.output is not None),
    )
    return result if context.setting.options.shows_hidden else result.for_students()


def _leave_out(check: CheckResult, file: str) -> CheckResult:
    """Return a test that was not run because the file cannot be imported."""
    possible = check.score.possible if check.score is not None else 0.0
    return CheckResult(
        id=check.id,
        title=check.title,
        outcome=Outcome.SKIPPED,
        observed=f"not run, because {file} cannot be imported",
        score=Score(possible=possible, lost=possible),
        hidden=check.hidden,
    )
