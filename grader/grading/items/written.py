"""Written answers: the grader looks for an answer, a person grades it."""

from __future__ import annotations

from dataclasses import replace

from grader.assignment.records import ANSWER_MARKER, WrittenItem
from grader.grading.items.calls import describe_failure
from grader.grading.items.interface import Context
from grader.grading.points import conclude
from grader.models.failures import Failure
from grader.results import CheckResult, ItemResult, Outcome


def check(item_id: str, item: WrittenItem, context: Context) -> ItemResult:
    """Fail a missing answer; any other answer waits for a person."""
    title = f"{item.file} is answered"
    content = context.read_written(item.file)
    if isinstance(content, Failure):
        return conclude(item_id, item, describe_failure(content, check_id="answered", title=title))
    answer = content.rpartition(ANSWER_MARKER)[2].strip()
    if not answer:
        missing = CheckResult.judged(
            "answered",
            title,
            passed=False,
            observed="the file has no answer",
            expected="an explanation in Markdown",
            next_step=f"write your answer into {item.file}",
        )
        return conclude(item_id, item, missing)
    words = len(answer.split())
    answered = CheckResult(
        id="answered",
        title=title,
        outcome=Outcome.PENDING,
        observed=f"{words} {'word' if words == 1 else 'words'}, for a person to grade",
    )
    return replace(conclude(item_id, item, answered), written_text=answer)
