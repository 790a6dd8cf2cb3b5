"""Excerpts: the student's lines around a place, of files and of cells."""

from types import SimpleNamespace

import pytest

from grader.errors import SubmissionError
from grader.grading.excerpts import Sources

FILE = "import torch\n\ndef model_c():\n\treturn 3 \x1b[2J\n# end\n"


def read_cells(file: str) -> tuple[SimpleNamespace, ...]:
    """The cells of one file, of a notebook, and of a file that cannot be read."""
    if file == "broken.ipynb":
        raise SubmissionError("no notebook")
    if file.endswith(".ipynb"):
        return (SimpleNamespace(number=2, source="a = 1\nb = " + "x" * 500),)
    return (SimpleNamespace(number=0, source=FILE),)


@pytest.fixture(name="sources")
def read_sources() -> Sources:
    """The lines of a small submission."""
    files = ("problem_2.py", "work.ipynb", "broken.ipynb", "notes.md")
    return Sources(SimpleNamespace(files=files, read_cells=read_cells))


@pytest.mark.parametrize(
    ("location", "lines"),
    [
        ("problem_2.py:3", ["> 3  def model_c():", "  4      return 3", "  5  # end"]),
        ("problem_2.py:4", ["  3  def model_c():", "> 4      return 3", "  5  # end"]),
        ("problem_2.py:1", ["> 1  import torch", "  2", "  3  def model_c():"]),
        ("problem_2.py:5", ["  4      return 3", "> 5  # end"]),
    ],
)
def test_lines_of_a_file(sources, location, lines):
    """Three lines, the one that is meant marked; no control character is left."""
    assert sources.around(location).splitlines() == lines


def test_lines_of_a_cell(sources):
    """A cell's lines are cut, so that one line cannot fill a report."""
    first, second = sources.around("work.ipynb, cell 2, line 2").splitlines()
    assert first == "  1  a = 1"
    assert len(second) < 200


@pytest.mark.parametrize(
    "location",
    [
        "",
        "problem_2.py",
        "problem_2.py:0",
        "problem_2.py:9",
        "other.py:1",
        "w.ipynb, cell 9, line 1",
    ],
)
def test_unknown_places(sources, location):
    """A place that is not in the submission has no excerpt."""
    assert sources.around(location) == ""
