"""A program runs statement by statement in the sandbox."""

from __future__ import annotations

from dataclasses import replace

import pytest

from grader.models.questions import Extraction, Question
from tests.submissions.asking import LIMITS, ask_all, find_sandbox
from tests.support.programs import notebook_of

CELLS = (
    "%pip install x\nx = 20\nassert x == 1\ny = 2 * x",
    "\nz = = 1",
    "def answer():\n    return y",
    "import sys\nsys.exit()",
    "while True:\n    try:\n        w = 1\n    except: pass",
    "total = y + w",
)
SCRIPT = """
from __future__ import annotations
def answer(x: Missing = 5): return x
if __name__ == "__main__":
    raise ValueError("no")
    main = 7
"""


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Extraction]:
    """The recordings of a notebook and a script, and the answers of both."""
    files = {"a.ipynb": notebook_of(*CELLS), "b.py": SCRIPT}
    questions = [
        Question(id="notebook", kind="recording", file="a.ipynb", function=""),
        Question(id="answer of notebook", kind="answer", file="a.ipynb", function="answer"),
        Question(id="script", kind="recording", file="b.py", function=""),
        Question(
            id="answer of script", kind="answer", file="b.py", function="answer", program=True
        ),
    ]
    directory = tmp_path_factory.mktemp("programs")
    return ask_all(
        directory, files, questions, find_sandbox(), limits=replace(LIMITS, recording_seconds=3.0)
    )


def test_statements(answers: dict[str, Extraction]) -> None:
    """What fails costs itself alone; each failure has its cell and line."""
    recording = answers["notebook"].recording
    assert recording is not None, answers["notebook"].failure
    assert [(failure.kind, failure.location) for failure in recording.failures] == [
        ("exception", "a.ipynb, cell 1, line 3"),
        ("syntax", "a.ipynb, cell 2, line 2"),
        ("exit", "a.ipynb, cell 4, line 2"),
        ("limit", "a.ipynb, cell 5, line 1"),
    ]
    assert recording.names == ("x", "y", "answer", "sys", "w", "total")


def test_script(answers: dict[str, Extraction]) -> None:
    """The statements under a main guard run one by one."""
    recording = answers["script"].recording
    assert recording is not None, answers["script"].failure
    assert [failure.location for failure in recording.failures] == ["b.py:5"]
    assert recording.names == ("annotations", "answer", "main")


def test_answers(answers: dict[str, Extraction]) -> None:
    """A function of a program is called after the program has run."""
    assert answers["answer of notebook"].value == 40
    assert answers["answer of script"].value == 5
