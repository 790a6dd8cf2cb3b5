"""The run that grades one submission: each test talks with a process in the sandbox."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from grader.models.failures import Failure
from grader.models.questions import CaseResult
from grader.results import CapturedOutput, CheckResult, Outcome, Score
from grader.sandbox.conversation import Conversation, ConversationEndedError, Conversations
from grader.testing.findings import (
    Finding,
    explain,
    explain_pass,
    explain_skip,
    explain_withheld,
)
from grader.testing.protocol import Ran, Suite
from grader.testing.run import Run, RunningTest, is_hidden, is_withheld, points_of, title_of
from grader.text import clean_line


class GradedRun(Run):
    """Runs the tests on one submission.

    Args:
        suites: by test file.
        seed: of the run.
        conversations: with the submission.
        report: takes each outcome.

    Attributes:
        failures: by item id, if the student's file cannot be imported.
    """

    def __init__(
        self,
        suites: dict[Path, Suite],
        seed: int,
        conversations: Conversations,
        report: Callable[[Ran], object],
    ) -> None:
        super().__init__(suites, seed)
        self._conversations = conversations
        self._report = report
        self.failures: dict[str, Failure] = {}

    def open(self, suite: Suite) -> Conversation:
        """Open a conversation, unless the file could not be imported before."""
        known = self.failures.get(suite.item_id)
        if known is not None:
            raise ConversationEndedError(known)
        try:
            return self._conversations.open(suite.file, call_seconds=suite.call_seconds)
        except ConversationEndedError as error:
            self.failures[suite.item_id] = error.failure
            raise

    def close(self, conversation: object) -> CapturedOutput | None:
        """End a conversation."""
        if not isinstance(conversation, Conversation):
            return None
        conversation.close()
        return conversation.output

    def finish(self, item: pytest.Item, test: RunningTest) -> None:
        """Report one outcome."""
        check = describe(item)
        finding = explain_withheld() if is_withheld(item) else find(test)
        possible = check.score.possible if check.score else 0.0
        check = replace(
            check,
            outcome=finding.outcome,
            score=score(finding.outcome, possible),
            observed=finding.observed,
            expected=finding.expected,
            next_step=finding.next_step,
            location=finding.location,
            details=finding.details,
            unanswered=finding.unanswered,
        )
        output = test.output and replace(
            test.output, source=f"{test.suite.file}: {check.title}", hidden=check.hidden
        )
        case = CaseResult(check=check, output=output)
        self._report(Ran(item_id=test.suite.item_id, case=case))


def describe(item: pytest.Item) -> CheckResult:
    """Return the check of a test before it is run."""
    points = points_of(item)
    possible = float(points) if isinstance(points, int | float) else 0.0
    name = item.nodeid.partition("::")[2].replace("::", ".")
    return CheckResult(
        id=clean_line(name),
        title=clean_line(title_of(item)) or clean_line(name),
        outcome=Outcome.ERROR,
        score=Score(possible=possible, undecided=possible),
        hidden=is_hidden(item),
    )


def score(outcome: Outcome, possible: float) -> Score:
    """Return the score of one test."""
    match outcome:
        case Outcome.PASSED:
            return Score(possible=possible, earned=possible)
        case Outcome.FAILED:
            return Score(possible=possible, lost=possible)
        case Outcome.PENDING:
            return Score(possible=possible, pending=possible)
        case _:
            return Score(possible=possible, undecided=possible)


def find(test: RunningTest) -> Finding:
    """Return the finding of a test that has run."""
    calls = test.line.total_calls
    if test.ending is not None:
        return explain(test.ending, test.suite.file, called=calls > 0)
    if test.skipped is not None:
        return explain_skip(test.skipped)
    return explain_pass(calls)
