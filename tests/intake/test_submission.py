"""A submission's files: what stands for what, what is missing and why, and what is not used."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from grader.errors import UsageError
from grader.intake.private_copy import collect
from grader.intake.submission import Submission

FILES = ["problem_1.py", "problem_2.py", "written/1A.md"]
OTHER_NAMES = {"problem_2.py": ("problem_2.ipynb", "2_notebook.ipynb")}
NOTEBOOK = json.dumps({"nbformat": 4, "cells": [{"cell_type": "code", "source": "x = 1"}]})


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A submission with one file of the assignment."""
    directory = tmp_path / "ada"
    directory.mkdir()
    (directory / "problem_1.py").write_text("import helper\n")
    return directory


def write(directory: Path, *names: str, content: str = "") -> None:
    """Files with one content, or each with its own."""
    for name in names:
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        text = NOTEBOOK if name.endswith(".ipynb") else f"# {name}\n"
        (directory / name).write_text(content or text)


def notes_of(submission: Submission) -> list[tuple[str, str, bool]]:
    return [(note.file, note.message, note.needs_person) for note in submission.notes]


def test_notebook(directory: Path) -> None:
    """A notebook is kept in the plain form under its own name, its digest that of the original."""
    write(directory, "2_notebook.ipynb")
    with collect(directory, FILES, OTHER_NAMES) as submission:
        assert submission.sources["problem_2.py"] == ("2_notebook.ipynb",)
        plain = json.loads(submission.root.joinpath("2_notebook.ipynb").read_text())
        assert plain == {"cells": [{"number": 1, "kind": "code", "source": "x = 1"}]}
        assert [cell.source for cell in submission.read_cells("2_notebook.ipynb")] == ["x = 1"]
        assert [cell.number for cell in submission.read_cells("problem_1.py")] == [0]
        assert notes_of(submission) == [("2_notebook.ipynb", "read as problem_2.py", False)]
        sha256 = submission.sha256
    write(directory, "2_notebook.ipynb", content=NOTEBOOK + "\n")
    with collect(directory, FILES, OTHER_NAMES) as submission:
        assert submission.sha256 != sha256


@pytest.mark.parametrize(
    ("files", "kind", "reason"),
    [
        ((), "missing-file", "not handed in"),
        (("helper.py",), "missing-file", "not handed in"),
        (("final.py", "more.py"), "missing-file", "not handed in; there is final.py and more.py"),
        (
            ("problem_2 (1).py", "Problem_2_b.py", "src/problem_2.py"),
            "unclear-file",
            (
                "not handed in; it is unclear whether Problem_2_b.py, problem_2 (1).py or "
                "src/problem_2.py is meant"
            ),
        ),
    ],
)
def test_absence(directory: Path, files: tuple[str, ...], kind: str, reason: str) -> None:
    """What was handed in instead is named, and a person is asked to look."""
    write(directory, *files)
    with collect(directory, FILES, OTHER_NAMES) as submission:
        failure = submission.explain_absence("problem_2.py")
        assert (failure.kind, failure.message) == (kind, f"problem_2.py was {reason}.")
        needing = [note for note in notes_of(submission) if note[2]]
    assert needing == (
        [("problem_2.py", reason, True)] if files and "helper.py" not in files else []
    )


@pytest.mark.parametrize(
    ("content", "says"),
    [("<html>", "it is a web page, not a notebook"), ("{", "it is damaged: line 1")],
)
def test_unreadable_notebook(directory: Path, content: str, says: str) -> None:
    """A notebook that cannot be read is named with the reason."""
    write(directory, "problem_2.ipynb", content=content)
    with collect(directory, FILES, OTHER_NAMES) as submission:
        failure = submission.explain_absence("problem_2.py")
        assert failure.kind == "unreadable-file"
        assert f"not handed in; problem_2.ipynb was left out: {says}" in failure.message
        assert any(note.needs_person for note in submission.notes)


def test_link_in_place_of_notebook(directory: Path, tmp_path: Path) -> None:
    """A link under a notebook's name is not followed."""
    write(tmp_path, "secret.ipynb")
    (directory / "Problem_2.ipynb").symlink_to(tmp_path / "secret.ipynb")
    with collect(directory, FILES, OTHER_NAMES) as submission:
        assert submission.sources["problem_2.py"] == ()
        assert "a symbolic link" in submission.explain_absence("problem_2.py").message


def test_not_used(directory: Path) -> None:
    """Files that no part uses are listed; modules, shown pictures and a README are used."""
    write(
        directory,
        *("helper.py", "problem_2.py", "problem_2 copy.py", "problem_2.ipynb", "notes.txt"),
        *("README.md", "written/1A.md", "written/1A.pdf", "old/problem_1.py", "weights.csv"),
    )
    write(directory, "written/1A.md", content="![](proof.png)")
    write(directory, "proof.png", "other.png")
    with collect(directory, FILES, OTHER_NAMES) as submission:
        assert notes_of(submission) == [
            ("notes.txt", "not used", False),
            ("old/problem_1.py", "not used, because problem_1.py is there", False),
            ("other.png", "not used", False),
            ("problem_2 copy.py", "not used, because problem_2.py is there", False),
            ("problem_2.ipynb", "not used, because problem_2.py is there", True),
        ]


def test_hostile_names(directory: Path) -> None:
    """Names with hidden characters, patterns or escapes stand for nothing, and do no harm."""
    names = [
        "problem_2\u202e.py",
        "*.py",
        "problem_[2].ipynb",
        "..\\problem_2.py",
        "problem_2\n.py",
    ]
    write(directory, *names)
    with collect(
        directory, FILES, {"problem_2.py": ("[!a]*.ipynb", "problem_2.ipynb")}
    ) as submission:
        shown = [file for sources in submission.sources.values() for file in sources]
        assert all(submission.root.joinpath(file).is_file() for file in shown)
        assert all(note.file.isprintable() for note in submission.notes)


@pytest.mark.parametrize("name", ["set4.ipynb", "problem_2.ipynb", "solution.py"])
def test_one_file(directory: Path, name: str) -> None:
    """One file of code may be the submission; its neighbours are not looked at."""
    write(directory, name, "problem_2.py")
    with collect(directory / name, FILES, OTHER_NAMES) as submission:
        assert (submission.name, submission.files) == (Path(name).stem, (name,))
        assert submission.sources["problem_2.py"] == (name,)


def test_nothing_fits(directory: Path) -> None:
    """What is there is named beside what was expected."""
    (directory / "problem_1.py").rename(directory / "setup.py")
    write(directory, "plan.csv")
    with (
        pytest.raises(UsageError, match=r"expected problem_1.py, .*; there is plan.csv, setup.py"),
        collect(directory, FILES),
    ):
        pass
