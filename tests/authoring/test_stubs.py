"""Templates: solutions become stubs, by marks or without."""

import ast
from pathlib import Path

import pytest

from grader.assignment.loading import bundled_assignments, home_of, load_assignment
from grader.assignment.records import AnswerItem, Assignment, Part, Problem
from grader.authoring.stubs import make_template
from grader.errors import UsageError

MARKED = '''
import torch
SECRET = 42  # SOLUTION

def answer():
    """The answer."""
    first = 3
    # BEGIN SOLUTION
    second = helper()
    return first * second
    # END SOLUTION


### BEGIN SOLUTION
def helper():
    return 14
### END SOLUTION
'''


def one_answer() -> Assignment:
    """An assignment with one answer, in answers.py."""
    item = AnswerItem(title="The answer", points=1, file="answers.py", function="answer")
    part = Part(id="1A", title="Answer", items=(("", item),))
    problem = Problem(id="1", title="Only", parts=(part,))
    return Assignment(id="one", title="One", points=1, problems=(problem,))


def template_of(tmp_path: Path, solution: str) -> str:
    """The stub of a solution."""
    (tmp_path / "answers.py").write_text(solution)
    return make_template(one_answer(), tmp_path)["answers.py"]


def test_marks_of_otter_and_nbgrader(tmp_path: Path):
    """What stands between marks is cut out, the rest stays."""
    stub = template_of(tmp_path, MARKED)
    ast.parse(stub)
    assert "SECRET = ...  # YOUR CODE" in stub
    assert "first = 3" in stub
    assert "42" not in stub
    assert "14" not in stub
    assert "helper" not in stub
    assert stub.count("raise NotImplementedError") == 2


def test_without_marks(tmp_path: Path):
    """Only the asked function's signature and docstring stay, and the imports."""
    solution = "import math\nKEY = 42\ndef _help(): return 14\ndef answer(x=1):\n    '''Say.'''\n"
    stub = template_of(tmp_path, solution + "    return KEY + _help()\n")
    ast.parse(stub)
    assert "import math" in stub
    assert "def answer(x=1):" in stub
    assert '"""Say."""' in stub
    assert not {"42", "14", "_help", "KEY"} & set(stub.replace("(", " ").split())


@pytest.mark.parametrize(
    ("solution", "message"),
    [
        ("# BEGIN SOLUTION\nx = 1\n", "line 1: this solution has no END SOLUTION"),
        ("x = 1  # SOLUTION\n# END SOLUTION\n", "line 2: no solution has begun"),
        (
            "# BEGIN SOLUTION\n# BEGIN SOLUTION\n# END SOLUTION\n",
            "line 2: the solution of line 1 goes on",
        ),
        ("def answer(:\n", "answers.py, line 1"),
    ],
)
def test_wrong_marks(tmp_path: Path, solution: str, message: str):
    """Marks that do not match are reported with their line; nothing is given away."""
    with pytest.raises(UsageError, match=message):
        template_of(tmp_path, solution)


@pytest.mark.parametrize("name", bundled_assignments())
def test_from_the_assignment_alone(tmp_path: Path, name: str):
    """Without a reference every asked function is a stub with its task."""
    assignment = load_assignment(name)
    files = make_template(assignment, tmp_path)
    for _, item in assignment.item_ids():
        assert item.file in files
        if item.kind not in {"functions", "written"}:
            assert f"def {getattr(item, item.function_fields[0])}(" in files[item.file]


@pytest.mark.parametrize("name", ["digits", "fashion"])
def test_committed_templates(name: str):
    """`grade assignment template` renews them."""
    for file, text in make_template(load_assignment(name), home_of(name) / "reference").items():
        assert (home_of(name) / "template" / file).read_text() == text
