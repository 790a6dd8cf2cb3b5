"""`pytest --student DIR`, as an author runs it by hand."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.paths import ROOT

ASSIGNMENT = """
from grader.assignment.records import Assignment, FunctionsItem, Part, Problem

item = FunctionsItem(title="Double", points=3, file="double.py", tests="tests/test_double.py")
part = Part(id="1A", title="Double", items=(("", item),))
problem = Problem(id="1", title="One", parts=(part,))
ASSIGNMENT = Assignment(id="own", title="Own", points=3, seeds=(1,), problems=(problem,))
"""
TESTS = """
import pytest
from hypothesis import given, strategies as st

@pytest.mark.points(1)
def test_two(student):
    "double(2) is 4."
    assert student.double(2) == 4

@pytest.mark.points(2)
@given(x=st.integers(0, 100))
def test_any(student, x):
    "double(x) is 2 * x."
    assert student.double(x) == 2 * x

def test_nothing():
    pass
"""


@pytest.fixture
def course(tmp_path: Path) -> Path:
    """An author's directory, and a student's."""
    for name, text in {
        "assignment.py": ASSIGNMENT,
        "tests/test_double.py": TESTS,
        "alice/double.py": "def double(x):\n    return 2 * x if x < 9 else 0\n",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def run_pytest(course: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Pytest in the author's directory, as from a shell."""
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments]
    return subprocess.run(command, cwd=course, capture_output=True, text=True, check=False)


def test_student(course: Path):
    """Pytest's own report, with what the student reads and the points."""
    ran = run_pytest(course, "tests", "--student", "alice")
    assert ran.returncode == 1, ran.stdout + ran.stderr
    assert "1 failed, 2 passed" in ran.stdout
    assert "What the student reads" in ran.stdout
    assert "observed: double(9) returned 0" in ran.stdout
    assert "expected: 18" in ran.stdout
    assert "from double import double" in ran.stdout
    assert "points: 1 of 3" in ran.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "name the submission: pytest --student DIR"),
        (("--student", "nobody"), "there is no directory"),
        (("--student", "."), "an assignment is never read from there"),
    ],
    ids=["no option", "no directory", "own directory"],
)
def test_wrong_use(course: Path, arguments: tuple[str, ...], message: str):
    """Wrong use is explained."""
    ran = run_pytest(course, "tests", *arguments)
    assert ran.returncode in {1, 4}
    assert message in ran.stdout + ran.stderr


def test_without_assignment(course: Path):
    """Tests that belong to no assignment are refused with the place to put it."""
    (course / "assignment.py").unlink()
    ran = run_pytest(course, "tests", "--student", "alice")
    assert "there is no assignment.py beside test_double.py" in ran.stdout + ran.stderr


def test_documented_example(tmp_path: Path):
    """The example of docs/authoring.md runs as it is shown there."""
    text = (ROOT / "docs" / "authoring.md").read_text(encoding="utf-8")
    solution = """
import numpy as np
def softmax(x):
    if x.ndim != 2:
        raise ValueError("x has no rows")
    powers = np.exp(x - x.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)
"""
    files = re.findall(r"```python\n# (\S+)\n(.*?)```", text, re.DOTALL)
    for name, content in [*files, ("reference/layers.py", solution)]:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content)
    ran = run_pytest(tmp_path, "--student", "reference")
    assert "points: 4 of 4" in ran.stdout, ran.stdout + ran.stderr


def test_inert(tmp_path: Path):
    """Without the fixture, the plugin changes nothing and loads nothing."""
    (tmp_path / "test_other.py").write_text(
        "import sys\n"
        "def test_modules():\n"
        "    loaded = [name for name in sys.modules if name.startswith('grader')]\n"
        "    assert sorted(loaded) == [\n"
        "        'grader', 'grader.testing', 'grader.testing.errors', 'grader.testing.plugin'\n"
        "    ]\n"
        "    assert 'torch' not in sys.modules\n"
    )
    ran = run_pytest(tmp_path, "--strict-markers", "-W", "error")
    assert ran.returncode == 0, ran.stdout
