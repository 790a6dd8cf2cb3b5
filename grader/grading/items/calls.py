"""Checks that the sandbox got an answer from a student's function."""

from __future__ import annotations

from dataclasses import replace

from grader.models.failures import Failure
from grader.models.questions import Extraction
from grader.models.recording import Doubt
from grader.results import CheckResult, Outcome

_KINDS_WITH_A_PHASE = frozenset({"exception", "exit", "crash", "limit", "protocol"})
"""Failures whose message does not say by itself what was being done."""


def check_answered(extraction: Extraction) -> CheckResult:
    """Fail if the sandbox got no answer from the student's function.

    A doubt is not a failure: a person must answer.
    """
    title = f"{extraction.question.function}() can be called"
    if extraction.doubt is not None:
        return ask_person(extraction.doubt)
    attribution = extraction.attribution
    is_recorded = attribution is not None and extraction.location in {
        "",  # the model could not be described
        str(attribution.training.statement),
    }
    if is_recorded:
        title = "The program trains a model that is one chain of layers"
    if extraction.failure:
        failed = describe_failure(extraction.failure, check_id="called", title=title)
        return mark_unanswered(failed, extraction.failure, extraction.question.function)
    return CheckResult.judged(
        "called",
        title,
        passed=True,
        observed=extraction.location if is_recorded else "it returned",
        location=extraction.location,
    )


def ask_person(doubt: Doubt) -> CheckResult:
    """Return a check that a person must make."""
    return CheckResult(
        id="unclear",
        title="An answer that the grader can read",
        outcome=Outcome.PENDING,
        observed=doubt.observed,
        next_step=doubt.next_step,
        location=doubt.location,
    )


def describe_failure(failure: Failure, *, check_id: str, title: str) -> CheckResult:
    """Return a failure of the student's code as a failed check; what is unclear, as pending."""
    with_phase = failure.kind in _KINDS_WITH_A_PHASE
    failed = CheckResult.judged(
        check_id,
        title,
        passed=False,
        observed=f"{failure.phase}: {failure.message}" if with_phase else failure.message,
        next_step=failure.next_step,
        location=failure.location,
        details=failure.traceback,
    )
    unclear = failure.kind == "unclear-file"
    return replace(failed, outcome=Outcome.PENDING) if unclear else failed


def mark_unanswered(check: CheckResult, failure: Failure, function: str = "") -> CheckResult:
    """Return a failed check as one of an answer that is still to be given, if it is one."""
    if not failure.is_unanswered:
        return check
    next_step = f"write {function}()" if failure.kind == "unanswered" else check.next_step
    return replace(check, title="An answer", next_step=next_step, unanswered=True)
