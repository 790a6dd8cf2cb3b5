"""`grade override`: a person has the last word, for as long as the work is the same."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest

from grader.cohort.store import STORE_NAME, Store
from grader.cohort.summary import StudentSummary
from tests.cli.test_class_settings import batch, refusal, run

ASSIGNMENT = """
from grader.assignment import AnswerItem, Assignment, Part, Problem, WrittenItem, Rubric
from grader.assignment import RubricItem

def answer(points):
    return AnswerItem(
        title="Number", points=points, file="answers.py", function="number", accepted=(7,)
    )

written = WrittenItem(
    title="Why", points=3, question="Why?", file="written/1C.md",
    rubric=Rubric(items=(RubricItem(id="all", text="All", points=3),), model_answer="Yes."),
)
parts = (
    Part(id="1A", title="One number", items=(("", answer(4)),)),
    Part(id="1B", title="Two", items=(("first", answer(1)), ("second", answer(2)))),
    Part(id="1C", title="Words", items=(("", written),)),
)
problem = Problem(id="1", title="One", parts=parts)
ASSIGNMENT = Assignment(id="mine", title="Mine", points=10, seeds=(1,), problems=(problem,))
"""


@pytest.fixture(name="unchanged_course", scope="module")
def make_unchanged_course(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The class, for the tests that change nothing."""
    return make_course(tmp_path_factory.mktemp("unchanged"))


@pytest.fixture(name="course")
def make_own_course(tmp_path: Path) -> Path:
    return make_course(tmp_path)


def make_course(tmp_path: Path) -> Path:
    """A class of two by an author's assignment; Ada is a day late, and wrong."""
    (tmp_path / "mine.py").write_text(ASSIGNMENT)
    for name, number in (("ada", 6), ("ben", 7)):
        (tmp_path / "class" / name / "hw").mkdir(parents=True)
        hand_in(tmp_path, name, number)
    (tmp_path / "class" / "ada" / "hw" / "timestamp.txt").write_text("2026-03-02 12:00:00 UTC")
    due = ("--due", "2026-03-01", "--timezone", "UTC", "--penalty-per-day", "0.5")
    result = batch(tmp_path, "--assignment", tmp_path / "mine.py", *due)
    assert result.exit_code in {0, 1}, result.output
    return tmp_path


def hand_in(course: Path, name: str, number: int) -> None:
    source = f"def number():\n    return {number}\n"
    (course / "class" / name / "hw" / "answers.py").write_text(source)


def override(course: Path, *arguments: object) -> str:
    result = run(course, "override", *arguments, "--as", "Ina")
    assert result.exit_code == 0, result.output
    return result.output


def row(course: Path, name: str = "ada") -> StudentSummary:
    with Store(course / "out" / STORE_NAME) as store:
        return next(each for each in store.summaries() if each.student.id == name)


def exported(course: Path, name: str) -> dict[str, str]:
    result = run(course, "export", "csv")
    table = csv.DictReader(io.StringIO(result.stdout.lstrip("\ufeff")))
    return next(each for each in table if each["id"] == name)


def test_item_part_and_total(course: Path) -> None:
    """Each stands in row, report, export, diff and history, with its reason."""
    assert row(course).final_points == 0
    because = ("--reason", "the question said six")
    assert "0 → 2 points" in override(course, "ada", "1A", "4", *because)
    assert "2 → 3 points" in override(course, "ada", "1B", "2", *because)
    report = (course / "out" / "ada" / "report.html").read_text()
    assert "4 points count; the grader found 0." in report
    assert "2 points count; the grader found 0." in report
    assert report.count("the question said six") >= 2
    assert exported(course, "ada")["points"] == "3"
    assert "1A: 4 points by Ina, the question said six" in exported(course, "ada")["note"]
    assert "1A: 4 points by Ina" in (course / "out" / "index.html").read_text()
    assert "1B: 2 points by Ina" in run(course, "diff").output
    assert "the question said six" in run(course, "history", "ada").output
    assert "3 → 4 points" in override(course, "ada", "extra", "1", "--reason", "a good question")
    assert "4 → 8.5 points" in override(course, "ada", "total", "8.5", "--reason", "on paper")
    report = (course / "out" / "ada" / "report.html").read_text()
    assert "8.5 points count in the end; the grader found 3." in report
    assert "+1 points extra" in report
    assert "8.5 → 4 points" in override(course, "ada", "total", "--forget")


def test_survives_regrades_of_the_same_work(course: Path) -> None:
    """A regrade keeps the decision; other work asks again, and the same work brings it back."""
    override(course, "ada", "1A", "4", "--reason", "the question said six")
    assert batch(course, "--regrade", "all").exit_code == 1
    assert row(course).final_points == 2
    hand_in(course, "ada", 5)
    assert batch(course).exit_code == 1
    assert row(course).final_points == 0
    assert row(course).outdated_decisions
    assert "Decided before the work changed" in (course / "out" / "index.html").read_text()
    hand_in(course, "ada", 6)
    assert batch(course).exit_code == 1
    assert row(course).final_points == 2
    assert not row(course).outdated_decisions


def test_without_a_submission(course: Path) -> None:
    """Whoever handed in on paper gets a total, and nothing by item."""
    (course / "roster.csv").write_text("id,name\nada,Ada\nben,Ben\ncy,Cy\n")
    assert batch(course, "--roster", course / "roster.csv", "--change-settings").exit_code == 1
    assert exported(course, "cy")["points"] == ""
    refused = run(course, "override", "cy", "extra", "5", "--reason", "on paper")
    assert "no grade to which points could be added" in refusal(refused)
    assert "no grade → 5 points" in override(course, "cy", "total", "5", "--reason", "on paper")
    assert exported(course, "cy")["points"] == "5"
    told = run(course, "release", "-o", course / "told", "--for", "mail")
    assert "without a grade" not in told.stderr
    page = (course / "told" / "students" / "cy" / "report.html").read_text()
    assert "Decided by a person: 5 points." in page
    assert "on paper" in page
    assert "Not" not in page.partition("<main>")[2]
    assert ",5,Decided by a person: 5 points. on paper," in (course / "told/mail.csv").read_text()
    refused = run(course, "override", "cy", "1A", "4", "--reason", "on paper")
    assert "decide about the whole" in refusal(refused)
    assert "5 → no grade points" in override(course, "cy", "total", "--forget")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("ada", "1A", "5", "--reason", "x"), "1A has 0 to 4"),
        (("ada", "1A", "-1", "--reason", "x"), "1A has 0 to 4"),
        (("ada", "1A", "nan", "--reason", "x"), "not a number"),
        (("ada", "1A", "3"), "needs a reason"),
        (("ada", "1D", "3", "--reason", "x"), "1A, 1B, 1B.first, 1B.second, 1C"),
        (("eda", "1A", "3", "--reason", "x"), "did you mean 'ada'"),
        (("ada", "1A", "--reason", "x"), "say what you decide"),
        (("ada", "1A", "--forget"), "nothing was decided about 1A"),
    ],
)
def test_refused(unchanged_course: Path, arguments: tuple[str, ...], says: str) -> None:
    """A wrong decision is refused, and changes nothing."""
    before = row(unchanged_course)
    assert says in refusal(run(unchanged_course, "override", *arguments))
    assert row(unchanged_course) == before


def test_looked_at(course: Path) -> None:
    """Having looked at it changes no points."""
    assert "10 → 10" not in override(course, "ben", "1A", "--looked-at", "--reason", "fine")
    assert row(course, "ben").final_points == 7
    assert "The points stay as they are." in (course / "out" / "ben" / "report.html").read_text()
