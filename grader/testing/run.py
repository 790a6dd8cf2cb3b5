"""One run of pytest over the author's tests: seeds, limits, and the outcome of every test."""

from __future__ import annotations

import inspect
import random
import signal
import time
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
import pytest
from hypothesis import HealthCheck, Phase

from grader.models.failures import Failure
from grader.results import CapturedOutput
from grader.testing.difference import Comparison
from grader.testing.errors import StudentReachedError, UnansweredError
from grader.testing.findings import Ending
from grader.testing.protocol import Suite
from grader.testing.student import Conversation, Line, Student, explain_slow_test

SHRINK_SECONDS = 5.0
"""The time to look for a smaller example that fails."""
_PROFILE = "grader"


@dataclass(kw_only=True)
class RunningTest:
    """One test while it runs.

    Attributes:
        ending: why it failed; None if it passed.
        failing: the last example of hypothesis that failed.
        skipped: the reason if it skipped itself.
        reached: it came to a call of the student, in a rehearsal.
    """

    suite: Suite
    line: Line
    started: float
    comparison: Comparison | None = None
    ending: Ending | None = None
    failing: Ending | None = None
    failed_at: float | None = None
    skipped: str | None = None
    reached: bool = False
    output: CapturedOutput | None = None


def points_of(item: pytest.Item) -> object:
    """Return the argument of a test's mark `points`, or None."""
    mark = item.get_closest_marker("points")
    return mark.args[0] if mark is not None and len(mark.args) == 1 else None


def is_hidden(item: pytest.Item) -> bool:
    """Return True if students do not see a test."""
    return item.get_closest_marker("hidden") is not None


def is_withheld(item: pytest.Item) -> bool:
    """Return True for what stands in a students' kit in place of hidden tests."""
    return item.get_closest_marker("withheld") is not None


def title_of(item: pytest.Item) -> str:
    """Return the first paragraph of a docstring without its full stop, and a parametrised case."""
    docstring = inspect.getdoc(getattr(item, "function", None)) or ""
    title = " ".join(docstring.partition("\n\n")[0].split()).removesuffix(".")
    case = getattr(item, "callspec", None)
    return f"{title} [{case.id}]" if case is not None and title else title


class Run(ABC):
    """A pytest plugin; a subclass says where calls are answered and what becomes of the outcomes.

    Args:
        suites: by test file.
        seed: of hypothesis and of the generators of random numbers.
    """

    def __init__(self, suites: dict[Path, Suite], seed: int) -> None:
        self._suites = suites
        self._seed = seed
        self._used_seconds: dict[str, float] = {}  # by item
        self._test: RunningTest | None = None
        self._wrapped: set[Any] = set()

    @abstractmethod
    def open(self, suite: Suite) -> Conversation:
        """Open the conversation of one test, at its first call."""

    @abstractmethod
    def close(self, conversation: Conversation) -> CapturedOutput | None:
        """End the conversation of one test; return what the student's code printed."""

    @abstractmethod
    def finish(self, item: pytest.Item, test: RunningTest) -> None:
        """Take the outcome of one test."""

    @pytest.hookimpl(tryfirst=True)
    def pytest_configure(self) -> None:
        """Make hypothesis repeatable, and patient with slow machines."""
        hypothesis.settings.register_profile(
            _PROFILE,
            derandomize=True,
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            report_multiple_bugs=False,
            print_blob=False,
            phases=(Phase.explicit, Phase.generate, Phase.target, Phase.shrink),
        )
        hypothesis.settings.load_profile(_PROFILE)

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Seed every test of hypothesis, and follow its examples."""
        for item in items:
            function = getattr(item, "function", None)
            if function is None or function in self._wrapped:
                continue  # cases of one parametrised test share a function
            handle = getattr(function, "hypothesis", None)
            if handle is None:
                continue
            self._wrapped.add(function)
            hypothesis.seed(self._seed_of(item))(function)
            # An author's own settings may have set a deadline, which a slow machine would miss.
            name = "_hypothesis_internal_use_settings"
            chosen = getattr(function, name)
            setattr(function, name, hypothesis.settings(chosen, deadline=None, database=None))
            handle.inner_test = self._follow_examples(handle.inner_test)

    def _seed_of(self, item: pytest.Item) -> int:
        name = f"{item.path.name}::{getattr(item, 'originalname', item.name)}"
        return zlib.crc32(f"{self._seed} {name}".encode())

    def _follow_examples(self, inner_test: Callable[..., Any]) -> Callable[..., Any]:
        """Wrap the body of a test of hypothesis, which runs once for each example."""

        @wraps(inner_test)
        def follow(*arguments: Any, **keywords: Any) -> Any:
            test = self._test
            if test is None:
                return inner_test(*arguments, **keywords)
            test.line.calls.clear()
            test.comparison = None
            if test.failed_at is not None and time.monotonic() > test.failed_at + SHRINK_SECONDS:
                raise UnansweredError(explain_slow_test(test.suite.test_seconds))
            try:
                return inner_test(*arguments, **keywords)
            except Exception as error:
                if not type(error).__module__.startswith("hypothesis"):
                    test.failing = self._end(test, error)
                    test.failed_at = test.failed_at or time.monotonic()
                raise

        return follow

    @staticmethod
    def _end(test: RunningTest, error: BaseException) -> Ending:
        return Ending(error=error, calls=tuple(test.line.calls), comparison=test.comparison)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        """Run one test with its own conversation and its own time."""
        suite = self._suites.get(item.path)
        if suite is None:
            return (yield)
        conversations: list[Conversation] = []

        def open_conversation() -> Conversation:
            conversation = self.open(suite)
            conversations.append(conversation)
            return conversation

        started = time.monotonic()
        remaining = suite.item_seconds - self._used_seconds.get(suite.item_id, 0.0)
        line = Line(
            open=open_conversation,
            deadline=started + min(suite.test_seconds, remaining),
            test_seconds=min(suite.test_seconds, suite.item_seconds),
        )
        test = self._test = RunningTest(suite=suite, line=line, started=started)
        seed = self._seed_of(item)
        random.seed(seed)
        np.random.seed(seed)  # noqa: NPY002 - the generator that authors may use
        try:
            return (yield)
        finally:
            for conversation in conversations:
                test.output = self.close(conversation)
            seconds = time.monotonic() - started - line.opening_seconds
            self._used_seconds[suite.item_id] = self._used_seconds.get(suite.item_id, 0.0) + seconds
            self._test = None
            self.finish(item, test)

    @contextmanager
    def serve(self, node: pytest.Item) -> Iterator[Student]:
        """Yield the fixture `student`."""
        if self._test is None:
            name = node.path.name
            pytest.fail(f"no item of the assignment has the tests {name}", pytrace=False)
        yield Student(self._test.line)

    @pytest.hookimpl(wrapper=True)
    def pytest_pyfunc_call(self) -> Generator[None, object, object]:
        """Bound the processor time of one test, which may loop over a student's answers."""
        test = self._test
        if test is None:
            return (yield)
        seconds = test.line.deadline - time.monotonic()
        if seconds <= 0:
            raise UnansweredError(_explain_slow_item(test.suite))
        with _limited_time(seconds, explain_slow_test(test.suite.test_seconds)):
            return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Keep the first error of a test."""
        test, report = self._test, (yield)
        if test is None or call.excinfo is None:
            return report
        error = call.excinfo.value
        if isinstance(error, StudentReachedError):
            test.reached = True
        elif isinstance(error, pytest.skip.Exception):
            test.skipped = str(error)
        elif test.ending is None:
            test.ending = self._end(test, error)
            if isinstance(error, UnansweredError) and test.failing is not None:
                test.ending = test.failing  # time ran out while hypothesis looked for a smaller one
        return report

    @pytest.hookimpl(tryfirst=True)
    def pytest_assertrepr_compare(self, op: str, left: object, right: object) -> None:
        """Keep the values that an `assert` compared."""
        if self._test is not None:
            self._test.comparison = Comparison(observed=left, expected=right, operator=op)


def _explain_slow_item(suite: Suite) -> Failure:
    return Failure(
        kind="limit",
        phase="test",
        message=(
            f"The {suite.item_seconds:g} s for all tests of this part were used up before this one."
        ),
        next_step="Look for an endless loop; each test that is stopped takes much time.",
    )


@contextmanager
def _limited_time(seconds: float, failure: Failure) -> Iterator[None]:
    """Raise `UnansweredError` when the block has used this much processor time.

    pytest-timeout uses the other timer and the other signal.
    """

    def stop(_number: int, _frame: object) -> None:
        raise UnansweredError(failure)

    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0.0)
        with suppress(TypeError):
            signal.signal(signal.SIGPROF, before)
