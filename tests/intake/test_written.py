"""Written answers: found under other names and under headings, or named for a person."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from grader.intake.private_copy import collect
from grader.intake.written import WrittenAnswer, divide
from grader.models.failures import Failure

MARKER = "<!-- below -->"
FILES = ["problem_1.py", "problem_2.py", "written/1A.md", "written/1B.md"]
LONG = "word " * 40


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A submission with one file of code."""
    directory = tmp_path / "ada"
    directory.mkdir()
    (directory / "problem_1.py").write_text("x = 1\n")
    return directory


def read(directory: Path, files: dict[str, str], wanted: str = "1A") -> WrittenAnswer | Failure:
    """Return the answer to one part of a submission with these files."""
    for name, content in files.items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_text(content)
    with collect(directory, FILES) as submission:
        return submission.read_written(f"written/{wanted}.md", MARKER)


def notebook(*sources: str) -> str:
    cells = [{"cell_type": "markdown", "source": source} for source in sources]
    return json.dumps({"nbformat": 4, "cells": cells})


@pytest.mark.parametrize(
    "name",
    [
        "written/1A.md",
        "written/1a.md",
        "written/1A.MD",
        "Written/1A.md",
        "written/1A.txt",
        "written/1A.md.txt",
        "1A.md",
        "1a.txt",
        "1A",
        "Problem 1A.md",
        "problem_1/part_a.md",
        "lovelace_1A.md",
    ],
)
def test_other_names(directory: Path, name: str) -> None:
    """A text that names the part by its own name is the answer, without the question."""
    answer = read(directory, {name: f"question\n{MARKER}\nbecause\n"})
    assert isinstance(answer, WrittenAnswer)
    assert (answer.text, answer.place) == ("because", name)


@pytest.mark.parametrize(
    ("name", "content", "place"),
    [
        ("answers.md", "# 1A\nbecause\n# 1B\nso\n", "answers.md"),
        ("answers.txt", "1A: because\n1B: so", "answers.txt"),
        ("set4.ipynb", notebook("# 1A", "because", "# 1B\nso"), "set4.ipynb, cell 1"),
        ("problem_1.ipynb", notebook("text", "## (a) Zero\nbecause"), "problem_1.ipynb, cell 2"),
    ],
)
def test_under_heading(directory: Path, name: str, content: str, place: str) -> None:
    """One text for all parts is divided by its headings."""
    answer = read(directory, {name: content})
    assert isinstance(answer, WrittenAnswer)
    assert (answer.text, answer.place) == ("because", place)


@pytest.mark.parametrize(
    ("name", "documents"),
    [
        ("written/1A.pdf", ("written/1A.pdf",)),
        ("1A.jpg", ("1A.jpg",)),
        ("scan-1a-page-2.HEIC", ("scan-1a-page-2.HEIC",)),
        ("lovelace_set4.pdf", ("lovelace_set4.pdf",)),
        ("set4.docx", ("set4.docx",)),
        ("IMG_2034.jpeg", ("IMG_2034.jpeg",)),
        ("1B.pdf", ()),
        ("figure.png", ()),
        ("README.md", ()),
        ("notes.md", ("notes.md",)),
        ("problem_2.ipynb", ()),
        ("work.ipynb", ("work.ipynb",)),
    ],
)
def test_for_a_person(directory: Path, name: str, documents: tuple[str, ...]) -> None:
    """With an empty template beside it, what is no text is named, unless it is of another part."""
    content = notebook(LONG) if name.endswith(".ipynb") else LONG
    (directory / "problem_1.py").write_text("x = 'figure.png'\n")
    answer = read(directory, {"written/1A.md": f"question\n{MARKER}\n", name: content})
    assert isinstance(answer, WrittenAnswer)
    assert (answer.text, answer.documents) == ("", documents)


def test_too_large_picture(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A photo that is too large to be copied is named all the same."""
    monkeypatch.setattr("grader.intake.private_copy.MAXIMUM_FILE_BYTES", 100)
    answer = read(directory, {"1A.jpg": LONG})
    assert isinstance(answer, WrittenAnswer)
    assert answer.documents == ("1A.jpg",)


def test_two_answers(directory: Path) -> None:
    """Two different texts for one part are both named for a person; equal ones are one answer."""
    answer = read(directory, {"1a.md": "because", "1A.txt": "therefore"})
    assert isinstance(answer, WrittenAnswer)
    assert (answer.text, answer.documents) == ("", ("1A.txt", "1a.md"))
    answer = read(directory, {"1A.txt": "because"})
    assert isinstance(answer, WrittenAnswer)
    assert answer.text == "because"


def test_nothing(directory: Path) -> None:
    """Nothing at all is a missing file."""
    answer = read(directory, {"written/1B.md": "so"})
    assert isinstance(answer, Failure)
    assert answer.kind == "missing-file"


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("# 1A\n# 1b. Title\n## Problem 1, Part C: title\n# 2.D", ["1a", "1b", "1c", "2d"]),
        ("**1A (5 points).** x\n> **1B** y\n__1C__", ["1a", "1b", "1c"]),
        ("1A\nx\n1B) y\n1 (c): z\nQ1d. w", ["1a", "1b", "1c", "1d"]),
        ("# Problem 2\n## (b)\n## Part C\n# 3.\n## D.", ["2b", "2c", "3d"]),
        ("# 1A\n## (b) a case of it\n## 2 steps", ["1a"]),
        ("# A network\n## 3 A sweep\n1. a list\n(a) a list\nIn 1A we saw", []),
        ("```\n# 1A\n```", []),
    ],
)
def test_headings(text: str, labels: list[str]) -> None:
    """Headings name parts in many ways; sentences, lists and code do not."""
    assert ["".join(section.label) for section in divide([("x", text)])] == labels


def test_sections_end() -> None:
    """A section ends at the next part, or at a title that is not below its own."""
    (section,) = divide([("x", "## 1A\nbecause\n### Detail\nso\n## Appendix\nno")])
    assert section.text.strip() == "because\n### Detail\nso"
