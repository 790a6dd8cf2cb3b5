"""An author's mistakes in tests are reported with file and line, before any student is graded."""

from __future__ import annotations

from pathlib import Path

import pytest

from grader.assignment.records import Assignment
from grader.errors import AssignmentError
from grader.grading.options import Options
from grader.grading.stages import start_tests
from tests.support.functions_samples import make_assignment

GOOD = """
@pytest.mark.points(2)
@given(x=st.integers())
def test_good(student, x):
    'Doubles.'
    student.double(x)
"""

MISTAKES = """
@pytest.mark.points(1)
def test_untitled(student):
    student.double(1)

def test_worthless(student):
    'Has no points.'
    student.double(1)

@pytest.mark.points("two")
def test_odd_points(student):
    'Has text for points.'
    student.double(1)

@pytest.mark.points(0)
def test_raises(student):
    'Raises.'
    student.double(undefined)

@pytest.mark.points(0)
@given(x=st.integers(5, 3))
def test_strategy(student, x):
    'Has no example.'
    student.double(x)

@pytest.mark.points(0)
def test_unsendable(student):
    'Sends a function.'
    student.double(lambda: 0)

@pytest.mark.points(0)
def test_uncalled(student):
    'Asks nothing.'

@pytest.mark.points(0)
@pytest.mark.skip(reason='later')
def test_skipped(student):
    'Is skipped.'

@pytest.mark.points(0)
def test_fixture(student, missing):
    'Has an unknown fixture.'

@pytest.mark.points(0)
@pytest.mark.hidden
def test_hidden(student):
    student.double(1)
"""


def mistakes_of(assignment: Assignment) -> list[str]:
    """The author's mistakes, without the item's id."""
    with start_tests(assignment, Options()) as tests, pytest.raises(AssignmentError) as caught:
        tests.require_sound_tests()
    return [mistake.removeprefix("item 1A.tests: ") for mistake in caught.value.mistakes]


def test_good_tests(tmp_path: Path):
    """Tests without a mistake are listed as checks without an outcome."""
    with start_tests(make_assignment(tmp_path, GOOD, points=2), Options()) as tests:
        (check,) = tests.require_sound_tests().checks["1A"]
    assert (check.id, check.title) == ("test_good", "Doubles")
    assert check.score is not None
    assert check.score.possible == 2
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["test_student.py", "tests"]


def test_mistakes(tmp_path: Path):
    """All mistakes of a file are reported at once, in its order."""
    found = mistakes_of(make_assignment(tmp_path, MISTAKES, points=9, header=""))
    assert "name 'pytest' is not defined" in found[0]
    assert found[0].startswith("test_student.py:2: ")
    found = mistakes_of(make_assignment(tmp_path, MISTAKES, points=9))
    expected = [
        "9: test_untitled has no docstring",
        "13: test_worthless has no points; write @pytest.mark.points(1)",
        "17: test_odd_points has 'two' points",
        "22: test_raises raises before it calls the student: NameError: name 'undefined'",
        "27: test_strategy raises before it calls the student: InvalidArgument",
        "33: test_unsendable raises before it calls the student: UnusableArgumentError: an",
        "38: test_uncalled never calls the student",
        "42: test_skipped is skipped (later)",
        "47: test_fixture raises before it calls the student: FixtureLookupError",
    ]
    for mistake, words in zip(found, expected, strict=False):
        assert f"test_student.py:{words}" in mistake
    assert found[len(expected) :] == [
        "test_student.py: its points add up to 1, but the item has 9",
    ]


@pytest.mark.parametrize(
    ("tests", "message"),
    [
        ("@pytest.mark.hiden\ndef test_a(student): pass", "test_student.py:8: Failed: 'hiden' not"),
        ("import nowhere", "test_student.py:8: ModuleNotFoundError: No module named 'nowhere'"),
        ("def test_a(:", "test_student.py:8: SyntaxError"),
        ("x = 1", "test_student.py: has no test"),
    ],
    ids=["mark", "import", "syntax", "empty"],
)
def test_uncollected(tmp_path: Path, tests: str, message: str):
    """A file that pytest cannot collect is named with the line."""
    (mistake,) = mistakes_of(make_assignment(tmp_path, tests, points=1))
    assert message in mistake


def test_helpers(tmp_path: Path):
    """Helper modules and conftest.py beside the tests work; a configuration above does not."""
    assignment = make_assignment(
        tmp_path,
        "from helper import VALUE\n" + GOOD.replace("student, x", "student, x, five"),
        points=2,
    )
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = --nonsense\n")
    (tmp_path / "tests" / "helper.py").write_text("VALUE = 1\n")
    (tmp_path / "tests" / "conftest.py").write_text(
        "import pytest\n@pytest.fixture\ndef five(): return 5\n"
    )
    with start_tests(assignment, Options()) as tests:
        assert len(tests.require_sound_tests().checks["1A"]) == 1
    assert not list(tmp_path.rglob("__pycache__"))


def test_nothing_to_test():
    """An assignment without such items starts no process."""
    from grader.assignment.loading import load_assignment

    with start_tests(load_assignment("set4"), Options()) as tests:
        assert tests.require_sound_tests().checks == {}
