"""An author's tests run on students' files: outcomes, messages, limits."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from textwrap import indent

import pytest

from grader.models.questions import CaseResult
from grader.results import Outcome
from tests.support.functions_samples import ITEM_ID, Examiner, examining, make_assignment

TESTS = '''
@pytest.mark.points(1)
@given(x=st.integers(0, 1000))
def test_double(student, x):
    """double(x) is twice x."""
    assert student.double(x) == 2 * x

@pytest.mark.points(1)
def test_values(student):
    """echo gives its argument back."""
    x = (1, [2.5, None], {"k": np.float32(3)}, np.array([[1.0, np.nan]]), torch.ones(2))
    answer = student.echo(x)
    assert answer[:3] == x[:3]
    np.testing.assert_array_equal(answer[3], x[3])
    assert torch.equal(answer[4], x[4])

@pytest.mark.points(1)
def test_raises(student):
    """negative(x) raises a ValueError."""
    with pytest.raises(StudentError, match="ValueError: x is 3") as caught:
        student.negative(3)
    assert caught.value.type == "ValueError"
    assert "student_file.py" in caught.value.frames

@pytest.fixture
def counter(student):
    return student.Counter(start=5)

@pytest.mark.points(1)
def test_objects(student, counter):
    """A Counter counts."""
    assert counter.add(2) == counter
    assert counter.count == 7
    assert list(counter.upto()) == [0, 1, 2, 3, 4, 5, 6]
    assert len(counter) == 7
    counter.count = 1
    assert counter[10] == 11
    assert student.double(student.unwrap(counter)) == 2
    assert student.apply(student.double, 4) == 8

@pytest.mark.points(1)
def test_arguments(student):
    """fill(x) changes x in place."""
    x = np.zeros(2)
    returned = student.call("fill", x, value=3)
    assert returned.value is None
    np.testing.assert_array_equal(returned.arguments[0], [3, 3])
    np.testing.assert_array_equal(x, [0, 0])
    assert returned.keywords == {"value": 3}

@pytest.mark.points(1)
@pytest.mark.parametrize("n", [1, 2], ids=["one", "two"])
def test_cases(student, n):
    """zeros(n) has n entries."""
    np.testing.assert_allclose(student.zeros(n), np.zeros(n))

@pytest.mark.points(1)
@pytest.mark.timeout(5)
def test_fresh(student):
    """Every test has a fresh process."""
    assert student.count_calls() == 1
    assert student.count_calls() == 2

@pytest.mark.points(1)
@pytest.mark.hidden
def test_secret(student):
    assert student.double(4242) == 8484, "secret words"
'''

RIGHT = """
import numpy as np
calls = 0
def double(x): return 2 * x
def echo(x): return x
def negative(x): raise ValueError(f"x is {x}")
def fill(x, value): x[:] = value
def zeros(n): return np.zeros(n)
def unwrap(counter): return counter.count
def apply(f, x): return f(x)
def count_calls():
    global calls
    calls += 1
    return calls
class Counter:
    def __init__(self, start): self.count = start
    def add(self, n):
        self.count += n
        return self
    def upto(self): yield from range(self.count)
    def __len__(self): return self.count
    def __getitem__(self, n): return self.count + n
"""


@pytest.fixture(scope="module")
def examiner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Examiner]:
    """The tests above, in one process for all students."""
    directory = tmp_path_factory.mktemp("functions")
    assignment = make_assignment(directory, TESTS, points=9)
    with examining(directory, assignment) as examiner:
        yield examiner


def test_right(examiner: Examiner):
    """A right file passes every test; each check has its points."""
    cases = examiner.cases(RIGHT)
    assert {name: case.check.outcome for name, case in cases.items()} == dict.fromkeys(
        cases, Outcome.PASSED
    )
    assert len(cases) == 9
    assert [case.check.title for case in cases.values()][5:7] == [
        "zeros(n) has n entries [one]",
        "zeros(n) has n entries [two]",
    ]
    assert all(case.check.score and case.check.score.earned == 1 for case in cases.values())


@dataclass(frozen=True, kw_only=True)
class Wrong:
    """A wrong function, and the test that it fails.

    Attributes:
        body: of the function `wrong(x)`.
        test: the body of its test.
        says: the texts of the failed check, in any of its fields.
    """

    body: str
    says: tuple[str, ...]
    test: str = "np.testing.assert_allclose(wrong(2), np.zeros(2))"


DOUBLE = "assert wrong(x) == 2 * x"
RAISES = "with pytest.raises(StudentError, match='ValueError'): wrong(3)"

WRONG = {
    "value": Wrong(
        body="return 2 * x if x < 7 else x",
        test=DOUBLE,
        says=("value(7) returned 7", "14", "from student_file import value", "student_file.py:"),
    ),
    "none": Wrong(body="np.zeros(x)", says=("none(2) returned None",)),
    "none_used": Wrong(
        body="np.zeros(x)",
        test="assert wrong(2).sum() == 0",
        says=("none_used(2) returned None: did you forget `return`?", "End none_used with"),
    ),
    "raised": Wrong(
        body="if x > 99: raise KeyError('big')\nreturn 2 * x",
        test=DOUBLE,
        says=("raised(100) raised KeyError: 'big'", "in raised", "correct the line"),
    ),
    "silent": Wrong(
        body="return -x", test=RAISES, says=("silent(3) returned -3", "that it raises an error")
    ),
    "other_error": Wrong(
        body="raise TypeError(x)",
        test=RAISES,
        says=("other_error(3) raised TypeError: 3", "an error that matches"),
    ),
    "stub": Wrong(
        body="raise NotImplementedError",
        test=RAISES.replace(", match='ValueError'", ""),
        says=("stub is not written yet", "Write stub in student_file.py"),
    ),
    "missing": Wrong(
        body="pass",
        test="student.misssing(2)",
        says=("student_file.py has no function misssing(). Did you mean missing()?",),
    ),
    "signature": Wrong(
        body="return x",
        test="wrong(1, 2)",
        says=("signature cannot be called with 2 arguments", "too many positional"),
    ),
    "endless": Wrong(
        body="while x == 2: pass",
        says=("endless(2): There was no answer within 1 s", "a loop that", "student_file.py:"),
    ),
    "exited": Wrong(
        body="os._exit(0)",
        says=("exited(2): Your code ended the process (exit status 0)",),
    ),
    "sys_exit": Wrong(
        body="raise SystemExit('ValueError')",
        test=RAISES,
        says=("Your code ended the program with SystemExit",),
    ),
    "memory": Wrong(body="return np.ones(10**10)", says=("of memory",)),
    "large": Wrong(body="return np.ones(10**6)", says=("holds more than 2,000,000 bytes",)),
    "shape": Wrong(
        body="return np.zeros((x, 1))",
        says=("shape(2) returned np.array([[0.0], [0.0]])", "(2, 1), where (2,) is expected"),
    ),
    "array": Wrong(
        body="return np.arange(float(x))",
        says=(
            "array(2) returned np.array([0.0, 1.0])",
            "np.array([0.0, 0.0])",
            "first at [1]: 1.0, where",
        ),
    ),
    "list_used": Wrong(
        body="return [0.0] * x",
        test="assert wrong(2).sum() == 0",
        says=("returned [0.0, 0.0], a list that the test cannot use", "'sum'"),
    ),
    "thing": Wrong(body="return Counter(x)", says=("a Counter that the test cannot use",)),
    "different": Wrong(
        body="global calls\ncalls += 1\nreturn 2 * x + (calls == 9)",
        test=DOUBLE,
        says=("the same calls gave different results",),
    ),
    "message": Wrong(
        body="return x",
        test="assert wrong(2) in (3, 4), 'three or four'",
        says=("message(2) returned 2", "three or four"),
    ),
    "approximate": Wrong(
        body="return x",
        test="assert wrong(2) == pytest.approx(2.5)",
        says=("approximate(2) returned 2", "2.5 ± 2.5e-06"),
    ),
    "larger": Wrong(
        body="return x", test="assert wrong(2) > 5", says=("larger(2) returned 2", "> 5")
    ),
    "method": Wrong(
        body="return LazyCounter(x)",
        test="counter = wrong(5); counter.add(2); assert counter.count == 7",
        says=(
            "lazyCounter.count returned 5",
            "lazyCounter = method(5)",
            "lazyCounter.add(2)",
            "7",
        ),
    ),
}


@pytest.fixture(scope="module")
def wrong_cases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, CaseResult]:
    """One student's file with all the wrong functions, each with a test of its own."""
    tests, source = "", f"{RIGHT}\nclass LazyCounter(Counter):\n    add = lambda *_: None\n"
    for name, wrong in WRONG.items():
        given = "@given(x=st.integers(0, 1000))\n" if wrong.test == DOUBLE else ""
        tests += f"""
@pytest.mark.points(1)
{given}def test_{name}(student{", x" * bool(given)}):
    'The title of {name}.'
    wrong = student.{name}
    {wrong.test}
"""
        source += f"def {name}(x):\n{indent(wrong.body, '    ')}\n"
    directory = tmp_path_factory.mktemp("wrong")
    assignment = make_assignment(directory, tests, points=len(WRONG), call_seconds=1.0)
    with examining(directory, assignment) as examiner:
        return examiner.cases(f"import os\n{source}")


@pytest.mark.parametrize("name", WRONG)
def test_wrong(wrong_cases: dict[str, CaseResult], name: str):
    """A wrong function fails its test, and the message says why without the test's source."""
    check = wrong_cases[f"test_{name}"].check
    assert check.outcome is Outcome.FAILED
    assert check.score is not None
    assert check.score.lost == 1
    assert check.title == f"The title of {name}"
    shown = f"{check.observed}\n{check.expected}\n{check.next_step}\n{check.details}"
    for words in WRONG[name].says:
        assert words in f"{shown}\n{check.location}", shown
    assert check.next_step
    assert "def test_" not in shown
    assert "assert" not in shown


def test_time(tmp_path: Path):
    """A test and an item have limited time, whether the student's code or the test uses it."""
    tests = """
@pytest.mark.points(1)
def test_sleep(student):
    'Sleeps.'
    for _ in range(9):
        student.sleep(0.3)
@pytest.mark.points(1)
def test_loop(student):
    'Loops.'
    while student.sleep(0) is None:
        sum(range(10**6))
@pytest.mark.points(1)
def test_late(student):
    'Comes too late.'
    student.sleep(0)
"""
    assignment = make_assignment(tmp_path, tests, points=3, test_seconds=1.0, item_seconds=2.0)
    with examining(tmp_path, assignment) as examiner:
        cases = examiner.cases("from time import sleep")
    told = [case.check.observed for case in cases.values()]
    assert told[0] == "sleep(0.3): The test was not finished within 1 s."
    assert told[1].endswith("The test was not finished within 1 s.")
    assert told[2].startswith("The 2 s for all tests of this part were used up")
    assert {case.check.outcome for case in cases.values()} == {Outcome.FAILED}


def test_broken_import(examiner: Examiner):
    """A file that cannot be imported is explained once."""
    extraction = examiner.examine("import numpy as np\n1 / 0\n")[ITEM_ID]
    assert extraction.failure is not None
    assert extraction.failure.location == "student_file.py:2"
    assert {case.check.outcome for case in extraction.cases} == {Outcome.FAILED}


def test_output(examiner: Examiner):
    """What a file prints is kept for each test, and known to be a hidden test's."""
    cases = examiner.cases(
        f"{RIGHT}\ndef zeros(n):\n    print('n is', n)\n    return np.zeros(n)"
        "\ndef double(x):\n    print(x)\n    return 2 * x"
    )
    output = cases["test_cases[two]"].output
    assert output is not None
    assert output.text == "n is 2\n"
    assert not output.hidden
    output = cases["test_secret"].output
    assert output is not None
    assert output.hidden
