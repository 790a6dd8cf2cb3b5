"""A rehearsal: every test runs up to its first call, and the author's mistakes are found."""

from __future__ import annotations

from pathlib import Path
from typing import Never

import pytest

from grader.results import CapturedOutput, CheckResult
from grader.testing.errors import StudentReachedError
from grader.testing.graded import describe
from grader.testing.protocol import Rehearsed, Suite
from grader.testing.run import (
    Run,
    RunningTest,
    is_hidden,
    is_withheld,
    points_of,
    title_of,
)


class Rehearsal(Run):
    """Collects the tests, and runs each up to its first call of the student."""

    def __init__(self, suites: dict[Path, Suite], seed: int) -> None:
        super().__init__(suites, seed)
        self._mistakes: list[tuple[str, str]] = []  # by item id
        self._checks: dict[str, list[CheckResult]] = {
            suite.item_id: [] for suite in suites.values()
        }
        self._is_broken: set[str] = set()

    def open(self, _suite: Suite) -> Never:
        """End the test: it has come to its first call."""
        raise StudentReachedError

    def close(self, _conversation: object) -> CapturedOutput | None:
        """Return no output: no code of a student has run."""
        return None

    def finish(self, item: pytest.Item, test: RunningTest) -> None:
        """Keep the test, and its author's mistakes."""
        suite = test.suite
        self._checks[suite.item_id].append(describe(item))
        points = points_of(item)
        if points is None:
            self._add(item, "has no points; write @pytest.mark.points(1) above it")
        elif isinstance(points, bool) or not isinstance(points, int | float) or not points >= 0:
            self._add(item, f"has {points!r} points, which is no number from 0 up")
        if not is_hidden(item) and not title_of(item):
            self._add(
                item, "has no docstring; students read it as the title, unless the test is hidden"
            )
        if test.skipped is not None:
            self._add(item, f"is skipped ({test.skipped}), so nobody can earn its points")
        elif test.ending is not None:
            error = test.ending.error
            self._add(
                item,
                f"raises before it calls the student: {type(error).__name__}: "
                f"{' '.join(str(error).split())[:300]}",
            )
        elif not test.reached and not is_withheld(item):
            self._add(item, "never calls the student, so every submission passes it")

    def pytest_exception_interact(
        self,
        node: pytest.Item | pytest.Collector,
        call: pytest.CallInfo[object],
        report: pytest.CollectReport | pytest.TestReport,
    ) -> None:
        """Keep the error of a file that cannot be collected, such as an unknown mark."""
        suite = self._suites.get(node.path)
        if suite is None or call.excinfo is None or not isinstance(report, pytest.CollectReport):
            return
        self._is_broken.add(suite.item_id)
        self._mistakes.append((suite.item_id, _describe(call.excinfo.value, node.path)))

    def result(self) -> Rehearsed:
        """Return everything that was found, once pytest has ended."""
        for suite in self._suites.values():
            checks = self._checks[suite.item_id]
            if suite.item_id in self._is_broken:
                continue
            if not checks:
                self._mistakes.append((suite.item_id, f"{suite.tests.name}: has no test"))
                continue
            total = sum(check.score.possible for check in checks if check.score)
            if abs(total - suite.points) > 1e-9:
                text = f"its points add up to {total:g}, but the item has {suite.points:g}"
                self._mistakes.append((suite.item_id, f"{suite.tests.name}: {text}"))
        return Rehearsed(
            mistakes=tuple(f"item {item_id}.tests: {text}" for item_id, text in self._mistakes),
            checks={item_id: tuple(checks) for item_id, checks in self._checks.items()},
        )

    def _add(self, item: pytest.Item, text: str) -> None:
        suite = self._suites[item.path]
        line = (item.location[1] or 0) + 1
        self._mistakes.append((suite.item_id, f"{item.path.name}:{line}: {item.name} {text}"))


def _describe(error: BaseException, tests: Path) -> str:
    """Return the first cause of an error with its line in the tests or in a helper beside them."""
    place = f"{tests.name}:1"
    message = ""
    cause: BaseException | None = error
    while cause is not None:
        message = f"{type(cause).__name__}: {' '.join(str(cause).split())[:300]}"
        if isinstance(cause, SyntaxError) and cause.filename:
            place = f"{Path(cause.filename).name}:{cause.lineno}"
            message = f"SyntaxError: {cause.msg}"
        traceback = cause.__traceback__
        while traceback is not None:
            file = Path(traceback.tb_frame.f_code.co_filename)
            if file.parent == tests.parent:
                place = f"{file.name}:{traceback.tb_lineno}"
            traceback = traceback.tb_next
        cause = cause.__cause__
    return f"{place}: {message}"
