"""The cost of calls into the sandbox: one call, 100 examples of hypothesis, and the start.

The student's function gives its argument back, so that what is measured is the way there and back.
"""

from __future__ import annotations

import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from statistics import median, quantiles

import numpy as np

from benchmarks.measuring import Outcome, Settings
from grader.assignment.records import Assignment, FunctionsItem, Limits, Part, Problem
from grader.assignment.selection import select_items
from grader.intake.private_copy import collect
from grader.intake.submission import Submission
from grader.sandbox.conversation import Conversations
from grader.sandbox.isolation.choice import Sandbox, choose_sandbox
from grader.testing.service import PytestService
from grader.testing.student import Line, Student

FILE = "echo.py"
TESTS = """
import pytest
from hypothesis import given, settings, strategies as st

@pytest.mark.points(1)
@given(x=st.lists(st.floats(), max_size=5))
@settings(max_examples={examples})
def test_echo(student, x):
    "echo(x) is x."
    student.echo(x)
"""


def measure_functions(settings: Settings) -> Outcome:
    """Single calls, then whole runs of an author's tests."""
    repetitions = settings.repetitions or (3 if settings.small else 9)
    calls = 200 if settings.small else 3000
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        handed_in = directory / "alice"
        handed_in.mkdir()
        (handed_in / FILE).write_text("def echo(x):\n    return x\n")
        submission = stack.enter_context(collect(handed_in, [FILE]))
        sandbox = choose_sandbox()
        single = {
            "one call, 15 numbers": _time_calls(submission, sandbox, np.ones(15), calls),
            "one call, 10,000 numbers": _time_calls(submission, sandbox, np.ones(10_000), calls),
        }
        whole = _time_runs(directory, submission, sandbox, repetitions)
    heading = ("what", "n", "median", "90th percentile")
    rows = [
        (name, str(len(values)), f"{1000 * median(values):.2f} ms", f"{1000 * tail:.2f} ms")
        for name, values in (single | whole).items()
        for tail in [quantiles(values, n=10)[-1]]
    ]
    return Outcome(table=[heading, *rows], record={"seconds": single | whole})


def _time_calls(
    submission: Submission, sandbox: Sandbox, value: np.ndarray, calls: int
) -> list[float]:
    with Conversations(submission, limits=Limits(), sandbox=sandbox) as conversations:
        conversation = conversations.open(FILE, call_seconds=10.0)
        line = Line(
            open=lambda: conversation, deadline=time.monotonic() + 600.0, test_seconds=600.0
        )
        student = Student(line)
        seconds = []
        for _ in range(calls):
            line.calls.clear()
            started = time.perf_counter()
            student.echo(value)
            seconds.append(time.perf_counter() - started)
        conversation.close()
    return seconds


def _time_runs(
    directory: Path, submission: Submission, sandbox: Sandbox, repetitions: int
) -> dict[str, list[float]]:
    """Time the process of pytest from its start, and submissions with 1 and 101 examples."""
    one, many = (_assignment(directory, examples) for examples in (1, 101))
    seconds: dict[str, list[float]] = {
        "start of pytest and hypothesis, tests rehearsed": [],
        "a further submission with one example": [],
        "100 more examples": [],
    }
    for _ in range(repetitions):
        taken = []
        for assignment in (one, many):
            started = time.perf_counter()
            with PytestService(assignment, select_items(assignment, ())) as service:
                service.require_sound_tests()
                ready = time.perf_counter()
                service.answer(submission, sandbox)
                taken.append(time.perf_counter() - ready)
            seconds["start of pytest and hypothesis, tests rehearsed"].append(ready - started)
        seconds["a further submission with one example"].append(taken[0])
        seconds["100 more examples"].append(taken[1] - taken[0])
    return seconds


def _assignment(directory: Path, examples: int) -> Assignment:
    place = directory / f"tests-{examples}"
    place.mkdir()
    (place / "test_echo.py").write_text(TESTS.format(examples=examples))
    item = FunctionsItem(title="Echo", points=1, file=FILE, tests="test_echo.py").located(place)
    part = Part(id="1A", title="Echo", items=(("", item),))
    problem = Problem(id="1", title="Echo", parts=(part,))
    return Assignment(id="echo", title="Echo", points=1, seeds=(1,), problems=(problem,))
