"""Names of files: what is nearly right is taken where it can only mean one thing."""

from __future__ import annotations

import pytest

from grader.assignment.bundled.set4 import ASSIGNMENT
from grader.intake.names import match_code

EXPECTED = ("problem_1.py", "problem_2.py", "problem_3.py")
OTHER_NAMES = dict(ASSIGNMENT.file_names)


def sources(*files: str) -> dict[int, tuple[str, ...]]:
    """Return the sources of the problems that have any, by number."""
    matches = match_code(files, EXPECTED, OTHER_NAMES)
    return {number: matches[f"problem_{number}.py"].sources for number in (1, 2, 3)}


@pytest.mark.parametrize(
    "name",
    [
        "Problem_2.py",
        "PROBLEM_2.PY",
        "problem-2.py",
        "problem2.py",
        "Problem 2.py",
        "problem_2.py.txt",
        "problem_2 (1).py",
        "problem_2 - Copy.py",
        "problem_2 copy 2.py",
        "problem_2_final.py",
        "lovelace_problem_2.py",
        "hw4_p2.py",
        "src/problem_2.py",
        "src/Problem_2 (1).py",
        "problem_2.ipynb",
        "Problem_2.ipynb",
        "2_notebook.ipynb",
        "ada_2_notebook.ipynb",
        "2_notebook (3).ipynb",
        "ada_set4_prob2.ipynb",
        "Set4 Problem 2.ipynb",
        "set4_prob2_2024.ipynb",
    ],
)
def test_nearly_right(name: str) -> None:
    """One file that can only be this problem's stands for it."""
    assert sources("problem_1.py", "problem_3.py", name)[2] == (name,)


@pytest.mark.parametrize(
    "name", ["problem_12.py", "problem_2_old.py", "test_problem_2.py", "solution.py", "2.py"]
)
def test_another_file(name: str) -> None:
    """A file beside the assignment's own, or with another purpose, is not taken."""
    assert sources("problem_1.py", "problem_3.py", name)[2] == ()


def test_exact_wins() -> None:
    """The exact name stands alone, whatever lies beside it, and the others stand for nothing."""
    others = ("problem_2 copy.py", "Problem_2.py", "problem_2.ipynb", "old/problem_2.py")
    assert sources("problem_2.py", *others) == {1: (), 2: ("problem_2.py",), 3: ()}


def test_other_names_in_order() -> None:
    """The name that the assignment gives first is preferred; a copy is not."""
    assert sources("2_notebook.ipynb", "problem_2.ipynb", "2_notebook (1).ipynb")[2] == (
        "problem_2.ipynb",
    )


def test_notebook_for_each_part() -> None:
    """Notebooks that differ in their part's letter stand for the problem together."""
    names = ("x_set4_prob2_A.ipynb", "x_set4_prob2_C.ipynb", "x_set4_prob2_D.ipynb")
    assert sources(*names)[2] == names


@pytest.mark.parametrize(
    "names",
    [
        ("problem_2 (1).py", "problem_2 (2).py"),
        ("problem_2_v1.py", "problem_2_v2.py"),
        ("a/problem_2.py", "b/problem_2.py"),
        ("Problem_2.py", "problem-2.py"),
        ("src/problem_2.py", "problem_2_final.py"),
    ],
)
def test_ambiguous(names: tuple[str, ...]) -> None:
    """Two files that may be meant are both named, unless their contents are equal."""
    match = match_code(names, EXPECTED, OTHER_NAMES)["problem_2.py"]
    assert match.sources == ()
    assert set(match.candidates) == set(names)
    equal = match_code(names, EXPECTED, OTHER_NAMES, lambda _first, _second: True)
    assert len(equal["problem_2.py"].sources) == 1


def test_one_notebook_for_all() -> None:
    """The only notebook stands for every problem without a file of its own."""
    whole = ("set4.ipynb",)
    assert sources("set4.ipynb", "helpers.py") == {1: whole, 2: whole, 3: whole}
    assert sources("set4.ipynb", "problem_1.py") == {1: ("problem_1.py",), 2: whole, 3: whole}
    assert sources("first.ipynb", "second.ipynb") == {1: (), 2: (), 3: ()}


def test_one_script_for_all() -> None:
    """So does the only script, if nothing else was handed in and it is not a tool."""
    whole = ("set4.py",)
    assert sources("set4.py", "train.py", "README.md") == {1: whole, 2: whole, 3: whole}
    assert sources("setup.py") == {1: (), 2: (), 3: ()}


def test_many_files() -> None:
    """Matching takes no time that grows with the square of the number of files."""
    files = [f"d{number}/problem_2.py" for number in range(20_000)]
    assert sources(*files)[2] == ()
