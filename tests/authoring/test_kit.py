"""Kits: what is private stays out, and what is left in by mistake is found."""

from dataclasses import replace

import pytest

from grader.assignment.loading import home_of, load_assignment
from grader.assignment.records import AnswerItem
from grader.authoring.kit import find_leaks, make_kit, withhold_hidden
from grader.errors import UsageError
from grader.results import CheckResult, Outcome, Score

TESTS = '''"""Tests."""
import pytest


@pytest.mark.points(1)
def test_seen(student):
    """Seen."""
    assert student.f(1) == 1


@pytest.mark.points(2)
@pytest.mark.hidden
@pytest.mark.parametrize("x", [1, 2])
def test_secret(student, x):
    assert student.f(x) == 7777
'''


def check(name: str, *, points: float, hidden: bool) -> CheckResult:
    """A test as it is rehearsed."""
    score = Score(possible=points)
    return CheckResult(id=name, title=name, outcome=Outcome.ERROR, score=score, hidden=hidden)


CHECKS = (
    check("test_seen", points=1, hidden=False),
    check("test_secret[1]", points=2, hidden=True),
    check("test_secret[2]", points=2, hidden=True),
)


def test_hidden_tests_are_withheld():
    """One mark stands in their place, for all of their points."""
    public = withhold_hidden(TESTS, CHECKS, "tests/test_f.py")
    compile(public, "test_f.py", "exec")
    assert "test_seen" in public
    assert "test_secret" not in public
    assert "7777" not in public
    assert "@pytest.mark.points(4)\n@pytest.mark.withheld" in public


def test_nothing_hidden():
    """A file without hidden tests stays as it is."""
    assert withhold_hidden(TESTS, CHECKS[:1], "tests/test_f.py") == TESTS


def test_hidden_in_another_way():
    """A test that is hidden by a mark of its file cannot be cut out, which is said."""
    source = TESTS.replace("@pytest.mark.hidden\n", "") + "\npytestmark = pytest.mark.hidden\n"
    with pytest.raises(UsageError, match=r"test_secret.* is hidden, but not by a mark above"):
        withhold_hidden(source, CHECKS, "tests/test_f.py")


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("return 608", "an accepted value of 3B"),
        ("The zero weights\nstill stop the errors.", ""),
        ("every hidden unit gives 0,\nwhatever the input", "the key of 1A"),
        ("def test_secret(): ...", "the hidden test test_secret"),
        ("1608 and 608.5 and 6080", ""),
    ],
)
def test_search(text: str, what: str):
    """Values, sentences over line ends and names are found, and no part of a longer number."""
    leaks = list(find_leaks({"work/a.py": text.encode()}, load_assignment("set4"), CHECKS))
    assert [what in leak.what for leak in leaks] == [True] * bool(what)


def test_kit_of_set4():
    """The kit of a bundled assignment without tests names it, and has no copy."""
    assignment = load_assignment("set4")
    files = make_kit("set4", assignment, home_of("digits") / "template", {}, "git+https://a.b/c")
    assert files["grader.toml"] == b'assignment = "set4"\n'
    assert "pip install git+https://a.b/c" in files["README.md"].decode()
    assert not any(name.startswith("assignment/") for name in files)
    assert list(find_leaks(files, assignment, ())) == []


def test_value_in_the_public_half():
    """A key that stands in `assignment.py` is found there, with its line."""
    assignment = load_assignment("digits")
    found = {"accepted": (9876,)}
    careless = assignment.with_items(
        lambda _, item: replace(item, **found) if isinstance(item, AnswerItem) else item
    )
    (leak,) = find_leaks({"assignment/assignment.py": b"\naccepted=(9876,)"}, careless, ())
    assert (leak.file, leak.line) == ("assignment/assignment.py", 2)
