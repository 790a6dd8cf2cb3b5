"""The messages between the grader and the process that runs the author's tests."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from grader.assignment.records import FunctionsItem, Limits
from grader.intake.submission import Submission
from grader.models.failures import Failure
from grader.models.questions import CaseResult
from grader.results import CheckResult
from grader.sandbox.isolation.choice import Sandbox


@dataclass(frozen=True, kw_only=True)
class Suite:
    """The tests of one item.

    Attributes:
        item_id: of the item.
        file: the student's.
        tests: the author's test file.
        points: of the item, to which those of the tests must add up.
        call_seconds, test_seconds, item_seconds: wall time for one call, one test, all tests.
    """

    item_id: str
    file: str
    tests: Path
    points: float
    call_seconds: float
    test_seconds: float
    item_seconds: float

    @classmethod
    def of(cls, item_id: str, item: FunctionsItem) -> Suite:
        """Return the tests of an item."""
        return cls(
            item_id=item_id,
            file=item.file,
            tests=Path(item.tests_path),
            points=item.points,
            call_seconds=item.call_seconds,
            test_seconds=item.test_seconds,
            item_seconds=item.item_seconds,
        )


@dataclass(frozen=True, kw_only=True)
class Request:
    """The tests to run; without a submission, they are rehearsed up to the first call.

    Attributes:
        seed: of hypothesis and of the generators of random numbers.
    """

    suites: tuple[Suite, ...]
    seed: int
    limits: Limits
    submission: Submission | None = None
    sandbox: Sandbox | None = None


@dataclass(frozen=True, kw_only=True)
class Started:
    """The first message: the process that runs the tests."""

    process_id: int


@dataclass(frozen=True, kw_only=True)
class Rehearsed:
    """The end of a rehearsal.

    Attributes:
        mistakes: of the author, each led by the item's id.
        checks: of each item by its id, as they are before they are run.
    """

    mistakes: tuple[str, ...]
    checks: dict[str, tuple[CheckResult, ...]]


@dataclass(frozen=True, kw_only=True)
class Ran:
    """The outcome of one test of an item."""

    item_id: str
    case: CaseResult


@dataclass(frozen=True, kw_only=True)
class Finished:
    """All tests were run.

    Attributes:
        failures: by item id, if the student's file cannot be imported.
    """

    failures: dict[str, Failure]


Message = Started | Rehearsed | Ran | Finished | Exception
"""A message to the grader; an exception is the grader's or the machine's."""
