"""Written answers: the grader looks for an answer, a person grades it."""

from __future__ import annotations

from dataclasses import replace

from grader.assignment.records import ANSWER_MARKER, WrittenItem
from grader.grading.items.calls import describe_failure, mark_unanswered
from grader.grading.items.interface import Context
from grader.grading.points import conclude
from grader.intake.written import WrittenAnswer
from grader.models.failures import Failure
from grader.results import OPENED_BY_PERSON, CheckResult, ItemResult, Outcome

SHOWN_DOCUMENTS = 5


def check(item_id: str, item: WrittenItem, context: Context) -> ItemResult:
    """Fail a missing answer; any other answer waits for a person."""
    title = f"The answer in {item.file}"
    found = context.read_written(item.file, ANSWER_MARKER)
    if isinstance(found, Failure):
        missing = describe_failure(found, check_id="answered", title=title)
        return conclude(item_id, item, mark_unanswered(missing, found))
    if not found.text and not found.documents:
        empty = CheckResult.judged(
            "answered",
            title,
            passed=False,
            observed="the file has no answer",
            expected="an explanation in Markdown",
            next_step=f"write your answer into {item.file}",
        )
        return conclude(item_id, item, replace(empty, title="An answer", unanswered=True))
    words = len(found.text.split())
    elsewhere = f" in {found.place}" if found.place != item.file else ""
    answered = CheckResult(
        id="answered",
        title=title,
        outcome=Outcome.PENDING,
        observed=f"{words} {'word' if words == 1 else 'words'}{elsewhere}, for a person to grade"
        if found.text
        else f"{_listing(found)}, for a person to look at",
    )
    written_text = found.text or _describe(found)
    result = conclude(item_id, item, answered)
    return replace(result, written_text=written_text, question=item.question)


def _listing(found: WrittenAnswer) -> str:
    shown = ", ".join(found.documents[:SHOWN_DOCUMENTS])
    more = len(found.documents) - SHOWN_DOCUMENTS
    return f"{shown} and {more} more" if more > 0 else shown


def _describe(found: WrittenAnswer) -> str:
    """Return Markdown in place of an answer that is not text.

    Equal texts are graded together; the digest keeps the documents of two students apart.
    """
    names = ", ".join(f"`{name.replace('`', chr(39))}`" for name in found.documents)
    return f"{OPENED_BY_PERSON} {names} *(SHA-256 {found.sha256[:12]})*"
