"""Similar work of a class and of earlier ones, through the command line."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from grader.cohort.store import STORE_NAME, Store
from tests.cli.test_class_settings import batch, refusal, run
from tests.cli.test_override import ASSIGNMENT

ESSAY = " ".join(
    f"The {word} follows from what was said about number {word}."
    for word in ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth")
)


@pytest.fixture(name="course")
def make_course(tmp_path: Path) -> Path:
    """A class of two, and last year's, in which Ada's essay was written by another Ben."""
    (tmp_path / "mine.py").write_text(ASSIGNMENT)
    hand_in(tmp_path / "2025", "ben", ESSAY)
    hand_in(tmp_path / "2025", "eve", "Nothing of the kind, as nobody else has ever written this.")
    hand_in(tmp_path / "class", "ada", ESSAY.replace("first", "1st"))
    hand_in(tmp_path / "class", "ben", "Because it is so.")
    last_year = run(tmp_path, "batch", tmp_path / "2025", "--quiet", *chosen(tmp_path))
    assert last_year.exit_code in {0, 1}, last_year.output
    (tmp_path / "out").rename(tmp_path / "autumn-2025")
    return tmp_path


def chosen(course: Path) -> tuple[str, str]:
    return "--assignment", str(course / "mine.py")


def hand_in(directory: Path, name: str, essay: str) -> None:
    written = directory / name / "hw" / "written"
    written.mkdir(parents=True)
    written.joinpath("1C.md").write_text(essay)
    written.parent.joinpath("answers.py").write_text("def number():\n    return 7\n")


def page(course: Path) -> str:
    html = (course / "out" / "index.html").read_text()
    return html.partition('id="similar"')[2]


def test_last_years_work(course: Path) -> None:
    """It is named with its class, kept as a setting, and not changed."""
    earlier = course / "autumn-2025"
    before = (earlier / STORE_NAME).read_bytes()
    graded = batch(course, *chosen(course), "--earlier", earlier)
    assert graded.exit_code in {0, 1}, graded.output
    assert "ben (autumn-2025)" in page(course)
    assert "answer&#39;s runs of words are the same" in page(course)
    assert "eve (" not in page(course)
    assert (earlier / STORE_NAME).read_bytes() == before
    assert "autumn-2025" in run(course, "class", "show").output
    assert batch(course, "--regrade", "all").exit_code in {0, 1}
    assert "ben (autumn-2025)" in page(course)
    assert run(course, "undo", "--yes").exit_code == 0
    assert "ben (autumn-2025)" in page(course)


def test_last_years_work_is_gone(course: Path) -> None:
    """That is said, and everybody is graded all the same."""
    assert batch(course, *chosen(course), "--earlier", course / "autumn-2025").exit_code in {0, 1}
    shutil.rmtree(course / "autumn-2025")
    again = batch(course, "--regrade", "all")
    assert again.exit_code in {0, 1}
    assert "was not compared: there are no results of a class" in " ".join(again.stderr.split())
    assert "was not compared" in page(course)
    assert "autumn-2025)" not in page(course)


def test_given_later(course: Path) -> None:
    """The page follows though nobody is graded again; without --change-settings it is refused."""
    assert batch(course, *chosen(course)).exit_code in {0, 1}
    assert "autumn-2025" not in page(course)
    late = ("--earlier", course / "autumn-2025")
    assert "--earlier: not given, now" in refusal(batch(course, *late))
    assert batch(course, *late, "--change-settings").exit_code in {0, 1}
    assert "ben (autumn-2025)" in page(course)
    with Store(course / "out" / STORE_NAME) as store:
        assert len(store.history("ada")) == 1


def copied(course: Path) -> None:
    """Ben hands in Ada's essay, a little changed."""
    written = course / "class" / "ben" / "hw" / "written" / "1C.md"
    written.write_text(ESSAY.replace("second", "2nd") + " <script>alert(1)</script>")


def test_side_by_side(course: Path) -> None:
    """Each pair has a page for the instructor, with what both have marked, and nothing released."""
    copied(course)
    assert batch(course, *chosen(course)).exit_code in {0, 1}
    assert 'href="./similar-work/1.html">side by side' in page(course)
    shown = (course / "out" / "similar-work" / "1.html").read_text()
    assert ">ada</h2>" in shown
    marked = re.findall("<mark>(.*?)</mark>", shown, re.DOTALL)
    assert any("The third follows from what was said" in each for each in marked)
    assert not any("1st" in each or "2nd" in each for each in marked)
    assert "1st" in shown
    assert "<script>alert" not in shown
    assert run(course, "release", "-o", course / "told").exit_code == 0
    assert not list((course / "told").rglob("similar-work"))
    assert not any("side-1" in path.read_text() for path in (course / "told").rglob("*.html"))


def test_looked_at(course: Path) -> None:
    """A person's word moves a group out of the way, until the work changes."""
    copied(course)
    assert batch(course, *chosen(course)).exit_code in {0, 1}
    said = ("looked-at", "ben", "ada", "--reason", "they work together", "--as", "Ina")
    assert run(course, "class", *said).exit_code == 0
    looked_at = page(course).partition("Looked at")[2]
    assert "they work together" in looked_at
    assert "side by side" in looked_at
    assert batch(course, "--regrade", "all").exit_code in {0, 1}
    assert "Looked at" in page(course)
    with (course / "class" / "ben" / "hw" / "written" / "1C.md").open("a") as file:
        file.write(" And one more sentence.")
    assert batch(course).exit_code in {0, 1}
    assert "Looked at" not in page(course)
    assert "side by side" in page(course)
    assert run(course, "class", *said).exit_code == 0
    assert run(course, "class", "looked-at", "ada", "ben", "--forget").exit_code == 0
    assert "Looked at" not in page(course)
    refused = refusal(run(course, "class", "looked-at", "ada", "eve", "--reason", "x"))
    assert "no group of ada, eve" in refused
    assert "say what you found" in refusal(run(course, "class", "looked-at", "ada", "ben"))
