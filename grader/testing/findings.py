"""Explain a failed test to the student: the call, what it returned, and what was expected."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from grader.models.failures import Failure
from grader.results import Outcome
from grader.testing.difference import (
    Comparison,
    describe_expected,
    find_comparison,
    first_difference,
)
from grader.testing.errors import StudentError, UnansweredError, UnusableArgumentError
from grader.testing.student import Call, Remote, kind_of
from grader.testing.writing import (
    MAXIMUM_LINE,
    MAXIMUM_SHORT,
    name_objects,
    write_call,
    write_program,
    write_value,
)
from grader.text import clean_block, clean_line

_FAULTS_OF_THE_TEST = (NameError, ImportError, SyntaxError, UnusableArgumentError)
"""Exceptions of a test that no answer of a student causes."""
_RUN_IT = "Run this call on your own machine, and compare."


@dataclass(frozen=True, kw_only=True)
class Finding:
    """The outcome of a test; the other fields are as in `CheckResult`."""

    outcome: Outcome
    observed: str
    expected: str = ""
    next_step: str = ""
    location: str = ""
    details: str = ""
    unanswered: bool = False


@dataclass(frozen=True, kw_only=True)
class Ending:
    """The end of a test, or of one example of it.

    Attributes:
        calls: of the last example.
        comparison: of the assertion that failed, if pytest saw one.
    """

    error: BaseException
    calls: tuple[Call, ...]
    comparison: Comparison | None = None


def explain(ending: Ending, file: str, *, called: bool) -> Finding:
    """Return the finding of a test that did not pass.

    Args:
        ending: its end.
        file: the student's.
        called: the test has called the student at all.
    """
    error = ending.error
    if isinstance(error, UnansweredError):
        return _explain_unanswered(error.failure, ending.calls, file)
    if not called or _is_fault_of_test(error):
        return _blame_test(error)
    if isinstance(error, StudentError):
        return _explain_raised(error, ending.calls, file)
    return _explain_answer(ending, file)


def explain_pass(calls: int) -> Finding:
    """Return the finding of a test that passed."""
    return Finding(
        outcome=Outcome.PASSED, observed=f"{calls:,} call{'' if calls == 1 else 's'} checked"
    )


def explain_skip(reason: str) -> Finding:
    """Return the finding of a test that skipped itself."""
    return Finding(outcome=Outcome.SKIPPED, observed=f"skipped: {clean_line(reason)[:300]}")


def explain_withheld() -> Finding:
    """Return the finding of hidden tests that are not here."""
    return Finding(outcome=Outcome.PENDING, observed="run when the work is graded")


def _is_fault_of_test(error: BaseException) -> bool:
    # Of hypothesis, only the errors about the test: its failures of student code are others.
    is_hypothesis = type(error).__module__ == "hypothesis.errors" and not _is_flaky(error)
    return isinstance(error, _FAULTS_OF_THE_TEST) or is_hypothesis


def _is_flaky(error: BaseException) -> bool:
    return any(kind.__name__ == "Flaky" for kind in type(error).__mro__)


def _blame_test(error: BaseException) -> Finding:
    return Finding(
        outcome=Outcome.ERROR,
        observed=clean_line(
            f"the test itself failed: {type(error).__name__}: {error}{_line_of_test(error)}"
        )[:MAXIMUM_LINE],
        next_step="your submission is not at fault; report this to your instructor",
    )


def _line_of_test(error: BaseException) -> str:
    """Return the innermost line outside of installed packages: " (test_layers.py, line 12)"."""
    traceback, found = error.__traceback__, ""
    while traceback is not None:
        name = traceback.tb_frame.f_code.co_filename
        if "site-packages" not in name and not name.startswith(("<", str(_PACKAGE))):
            found = f" ({Path(name).name}, line {traceback.tb_lineno})"
        traceback = traceback.tb_next
    return found


_PACKAGE = Path(__file__).resolve().parents[1]


def _explain_unanswered(failure: Failure, calls: Sequence[Call], file: str) -> Finding:
    failed = next((call for call in reversed(calls) if call.failure is not None), None)
    last = failed or (calls[-1] if calls else None)
    if last is None or failure.kind in {"missing-function", "missing-file"}:
        return Finding(
            outcome=Outcome.FAILED,
            observed=failure.message,
            next_step=failure.next_step,
            location=failure.location,
            details=clean_block(failure.traceback),
            unanswered=failure.is_unanswered,
        )
    if last.raised:  # NotImplementedError: a stub, which needs no traceback
        return Finding(
            outcome=Outcome.FAILED,
            observed=f"{last.name} is not written yet: it raises {clean_line(last.raised)[:200]}",
            next_step=f"Write {last.name} in {file}.",
            location=failure.location,
            unanswered=True,
        )
    return Finding(
        outcome=Outcome.FAILED,
        observed=f"{write_call(last, name_objects(calls), MAXIMUM_SHORT)}: {failure.message}",
        next_step=failure.next_step,
        location=failure.location or last.location,
        details=_program(calls, file, [], failure.traceback),
    )


def _explain_raised(error: StudentError, calls: Sequence[Call], file: str) -> Finding:
    last = calls[-1]
    return Finding(
        outcome=Outcome.FAILED,
        observed=clean_line(
            f"{write_call(last, name_objects(calls), MAXIMUM_SHORT)} raised {error}"
        )[:MAXIMUM_LINE],
        next_step="Run this call on your own machine, and correct the line that raises.",
        location=error.failure.location,
        details=_program(calls, file, [], error.frames),
    )


def _explain_answer(ending: Ending, file: str) -> Finding:
    """Explain an answer that is wrong, or that the test cannot use."""
    calls, error = ending.calls, ending.error
    names = name_objects(calls)
    last = next((call for call in reversed(calls) if call.answered), None)
    if last is None:
        return _blame_test(error) if not calls else _explain_without_answer(calls, file, error)
    shown = write_call(last, names, MAXIMUM_SHORT)
    observed = f"{shown} returned {_write_answer(last.value, names, MAXIMUM_SHORT)}"
    location = last.location
    if last.value is None and not last.reads and not isinstance(error, AssertionError):
        return Finding(
            outcome=Outcome.FAILED,
            observed=f"{shown} returned None: did you forget `return`?",
            next_step=f"End {last.name} with a return of the answer.",
            location=location,
            details=_program(calls, file, []),
        )
    if _is_flaky(error):
        return Finding(
            outcome=Outcome.FAILED,
            observed=f"the same calls gave different results: {shown} failed once, and passed then",
            expected="the same answer whenever the arguments are the same",
            next_step="Use no global or default value that changes, and no unseeded random number.",
            location=location,
            details=_program(calls, file, []),
        )
    in_library = find_comparison(error.__traceback__)
    comparison = in_library or ending.comparison
    if comparison is not None and isinstance(error, AssertionError):
        message = "" if in_library else _message_of(error)
        return Finding(
            outcome=Outcome.FAILED,
            observed=observed,
            expected=message or describe_expected(comparison, MAXIMUM_SHORT),
            next_step=_RUN_IT,
            location=location,
            details=_program(calls, file, _compared(comparison, last)),
        )
    if isinstance(error, AssertionError | pytest.fail.Exception):
        return Finding(
            outcome=Outcome.FAILED,
            observed=observed,
            expected=_message_of(error),
            next_step=_RUN_IT,
            location=location,
            details=_program(calls, file, []),
        )
    if isinstance(error, MemoryError):
        problem = "its shape is so large that the test runs out of memory"
    else:
        problem = clean_line(f"{type(error).__name__}: {error}")[:300]
    return Finding(
        outcome=Outcome.FAILED,
        observed=f"{observed}{_name_type(last.value)} that the test cannot use: {problem}",
        expected="a value of the type and the shape that the task names",
        next_step="Return the type that the task asks for, such as an array and not a list.",
        location=location,
        details=_program(calls, file, []),
    )


def _explain_without_answer(calls: Sequence[Call], file: str, error: BaseException) -> Finding:
    """Explain a failure after calls that all raised, such as another exception than expected."""
    last = calls[-1]
    return Finding(
        outcome=Outcome.FAILED,
        observed=clean_line(
            f"{write_call(last, name_objects(calls), MAXIMUM_SHORT)} "
            + (f"raised {last.raised}" if last.raised else "gave no answer")
        )[:MAXIMUM_LINE],
        expected=_message_of(error),
        next_step=_RUN_IT,
        location=last.location,
        details=_program(calls, file, [], last.failure.traceback if last.failure else ""),
    )


def _message_of(error: BaseException) -> str:
    """Return the author's own message of a failed assertion or of `pytest.fail`, or ""."""
    text = str(getattr(error, "msg", None) or error)
    if text.startswith("DID NOT RAISE"):
        return "that it raises an error"
    if match := re.search(r"^ *Expected regex: (.*)$", text, re.MULTILINE):
        return clean_line(f"an error that matches {match[1]}")[:MAXIMUM_LINE]
    # Pytest adds the failed expression, which is the test's source.
    message = text.partition("\nassert ")[0]
    return "" if message.startswith("assert ") else clean_line(message)[:MAXIMUM_LINE]


def _compared(comparison: Comparison, last: Call) -> list[str]:
    """Return lines about the compared values, where these are not the answer itself."""
    lines = []
    if comparison.observed is not last.value:
        lines.append(f"of this, the test looks at: {write_value(comparison.observed)}")
    lines.append(f"expected: {describe_expected(comparison, MAXIMUM_LINE)}")
    difference = first_difference(comparison)
    return [*lines, difference] if difference else lines


def _name_type(value: Any) -> str:
    return "" if isinstance(value, Remote) else f", {kind_of(value)}"


def _write_answer(value: Any, names: dict[int, str], limit: int) -> str:
    """Return an answer as code, or the class of an object that stays in the sandbox."""
    return kind_of(value) if isinstance(value, Remote) else write_value(value, names, limit)


def _program(calls: Sequence[Call], file: str, remarks: Sequence[str], traceback: str = "") -> str:
    """Return the calls as code, and remarks about the last answer as comments."""
    program = write_program(file, calls)
    comments: list[str] = []
    last = calls[-1] if calls else None
    if last is not None and last.answered:
        answer = _write_answer(last.value, name_objects(calls), MAXIMUM_LINE)
        comments.append(f"returned: {answer}")
    comments += remarks
    lines = [program, *(f"# {clean_line(comment)}" for comment in comments)]
    if traceback:
        lines += ["", clean_block(traceback)]
    return "\n".join(lines)
