"""Checks that the sandbox got an answer from a student's function."""

from __future__ import annotations

from grader.models.failures import Failure
from grader.models.questions import Extraction
from grader.results import CheckResult

_KINDS_WITH_A_PHASE = frozenset({"exception", "exit", "crash", "limit", "protocol"})
"""Failures whose message does not say by itself what was being done."""


def check_answered(extraction: Extraction) -> CheckResult:
    """Fail if the sandbox got no answer from the student's function."""
    title = f"{extraction.question.function}() can be called"
    if extraction.failure:
        return describe_failure(extraction.failure, check_id="called", title=title)
    return CheckResult.judged(
        "called", title, passed=True, observed="it returned", location=extraction.location
    )


def describe_failure(failure: Failure, *, check_id: str, title: str) -> CheckResult:
    """Return a failure of the student's code as a failed check."""
    with_phase = failure.kind in _KINDS_WITH_A_PHASE
    return CheckResult.judged(
        check_id,
        title,
        passed=False,
        observed=f"{failure.phase}: {failure.message}" if with_phase else failure.message,
        next_step=failure.next_step,
        location=failure.location,
        details=failure.traceback,
    )
