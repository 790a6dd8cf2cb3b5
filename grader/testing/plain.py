"""`pytest --student DIR`: an author runs the tests by hand, in the same sandbox."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import ExitStack
from pathlib import Path

import pytest

from grader.assignment.loading import load_assignment
from grader.assignment.records import Assignment, FunctionsItem
from grader.errors import GraderError, UsageError
from grader.intake.private_copy import collect
from grader.results import CapturedOutput, Outcome, Score
from grader.sandbox.conversation import Conversation, Conversations
from grader.sandbox.isolation.choice import choose_sandbox
from grader.testing.findings import Finding
from grader.testing.graded import describe, find, score
from grader.testing.protocol import Suite
from grader.testing.run import Run, RunningTest
from grader.training.data_sources.named import label_paths

ASSIGNMENT_NAME = "assignment.py"


class PlainRun(Run):
    """Runs the tests that pytest was told to run; they are those of the assignment near them."""

    def __init__(self, config: pytest.Config, directory: str) -> None:
        super().__init__({}, seed=0)
        self._directory = (config.invocation_params.dir / directory).resolve()
        self._resources = ExitStack()
        self._conversations: Conversations | None = None
        self._findings: dict[str, Finding] = {}
        self._scores: list[Score] = []

    @pytest.hookimpl(trylast=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Copy the submission, and choose the sandbox, for the tests that will run."""
        paths = {item.path: None for item in session.items if "student" in _fixtures(item)}
        if not paths or session.config.option.collectonly:
            return
        try:
            self._prepare(list(paths))
        except GraderError as error:
            raise pytest.UsageError(f"{error} ({error.next_step})") from error

    def _prepare(self, paths: list[Path]) -> None:
        assignment = _find_assignment(paths[0], self._directory)
        for item_id, item in assignment.item_ids():
            if isinstance(item, FunctionsItem) and Path(item.tests_path) in paths:
                self._suites[Path(item.tests_path)] = Suite.of(item_id, item)
        sandbox = choose_sandbox(
            hidden=[
                *label_paths(assignment.all_sources(), None),
                *{path.parent for path in self._suites},
            ]
        )
        submission = self._resources.enter_context(collect(self._directory, assignment.files()))
        self._seed = assignment.seeds[0]
        self._conversations = self._resources.enter_context(
            Conversations(submission, limits=assignment.limits, sandbox=sandbox)
        )

    def pytest_unconfigure(self) -> None:
        """End the sandbox."""
        self._resources.close()

    def open(self, suite: Suite) -> Conversation:
        """Open a conversation."""
        if self._conversations is None:
            raise RuntimeError("the tests were not collected")
        return self._conversations.open(suite.file, call_seconds=suite.call_seconds)

    def close(self, conversation: object) -> CapturedOutput | None:
        """End a conversation."""
        if not isinstance(conversation, Conversation):
            return None
        conversation.close()
        return conversation.output

    def finish(self, item: pytest.Item, test: RunningTest) -> None:
        """Count the points."""
        possible = describe(item).score
        if possible is not None:
            self._scores.append(score(find(test).outcome, possible.possible))

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_runtest_makereport(
        self, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Show beside pytest's own report what a student would read."""
        report = yield from super().pytest_runtest_makereport(call)
        if report.failed and self._test is not None:
            finding = find(self._test)
            if finding.outcome is Outcome.FAILED:
                facts = (
                    ("observed", finding.observed),
                    ("expected", finding.expected),
                    ("next step", finding.next_step),
                    ("where", finding.location),
                    ("details", f"\n{finding.details}"),
                )
                text = "\n".join(f"{name}: {fact}" for name, fact in facts if fact.strip())
                report.sections.append(("What the student reads", text))
        return report

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Show the points."""
        total = Score.total(self._scores)
        if total.possible:
            terminalreporter.write_line(f"points: {total.earned:g} of {total.possible:g}")


def _fixtures(item: pytest.Item) -> list[str]:
    return list(getattr(item, "fixturenames", []))


def _find_assignment(tests: Path, submission: Path) -> Assignment:
    """Return the assignment beside the tests, or in the directory above them.

    Raises:
        UsageError: there is none.
    """
    for directory in (tests.parent, tests.parent.parent):
        path = directory / ASSIGNMENT_NAME
        if path.is_file():
            return load_assignment(str(path), submission=submission)
    raise UsageError(
        f"there is no {ASSIGNMENT_NAME} beside {tests.name}, nor in the directory above",
        next_step="it says which file of the student's the tests are for",
    )
