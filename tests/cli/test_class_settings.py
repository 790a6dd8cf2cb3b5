"""A class keeps its settings: no points change because an option is forgotten or differs."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from grader.cli import cli
from grader.cohort.store import STORE_NAME, Store
from grader.errors import UsageError
from grader.results import Score

ASSIGNMENT = """
from grader.assignment import Assignment, Part, Problem, Rubric, RubricItem, WrittenItem

def part(id, points):
    rubric = Rubric(items=(RubricItem(id="all", text="All", points=points),), model_answer="Yes.")
    item = WrittenItem(
        title=id, points=points, question="Why?", file=f"written/{id}.md", rubric=rubric
    )
    return Part(id=id, title=id, items=(("", item),))

parts = (part("1A", 6), part("1B", 4))
problem = Problem(id="1", title="One", parts=parts)
ASSIGNMENT = Assignment(id="mine", title="Mine", points=10, seeds=(1,), problems=(problem,))
"""


@pytest.fixture(name="course")
def make_course(tmp_path: Path) -> Path:
    """A class of one, graded by an author's assignment, with a deadline."""
    (tmp_path / "mine.py").write_text(ASSIGNMENT)
    written = tmp_path / "class" / "ada" / "written"
    written.mkdir(parents=True)
    (written / "1A.md").write_text("Because it is zero.")
    (written / "1B.md").write_text("Because it is one.")
    assert batch(tmp_path, "--assignment", tmp_path / "mine.py", *DUE).exit_code == 0
    return tmp_path


DUE = ("--due", "2030-01-01 12:00", "--penalty-per-day", "0.1")


def run(course: Path, *arguments: object) -> Result:
    return CliRunner().invoke(cli, [*map(str, arguments), "--output", str(course / "out")])


def batch(course: Path, *arguments: object) -> Result:
    return run(course, "batch", course / "class", "--quiet", *arguments)


def refusal(result: Result) -> str:
    assert isinstance(result.exception, UsageError), result.exception
    return f"{result.exception}\n{result.exception.next_step}"


def judge_answer(course: Path, student: str, item: str, **judgement: str) -> Result:
    """Judge an answer in a spreadsheet, with all points of the rubric if nothing else is said."""
    table = course / "answers.csv"
    exported = run(course, "review", "export", table)
    if exported.exit_code != 0:
        return exported
    with table.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    with table.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        named = [row for row in rows if (row["student"], row["item"]) == (student, item)]
        writer.writerows(row | {"found": "all"} | judgement for row in named)
    return run(course, "review", "import", table, "--as", "Ina")


def score_of(course: Path) -> Score:
    with Store(course / "out" / STORE_NAME) as store:
        (summary,) = store.summaries()
    return summary.score


def test_forgotten_options(course: Path) -> None:
    """A later call without options grades by the class's; nothing is graded again."""
    before = (course / "out" / "ada" / "report.html").stat().st_mtime_ns
    later = batch(course)
    assert later.exit_code == 0, later.output
    assert (course / "out" / "ada" / "report.html").stat().st_mtime_ns == before
    assert score_of(course) == Score(possible=10, pending=10)


@pytest.mark.parametrize(
    ("arguments", "difference"),
    [
        (("--assignment", "set4"), "--assignment: "),
        (("--due", "2031-01-01"), "--due: 2030-01-01 12:00, now 2031-01-01"),
        (("--penalty-per-day", "0"), "--penalty-per-day: 0.1, now 0.0"),
        (("--practice",), "--practice: no, now yes"),
    ],
)
def test_other_options(course: Path, arguments: tuple[str, ...], difference: str) -> None:
    """A difference is shown and refused."""
    told = refusal(batch(course, *arguments))
    assert difference in told
    assert "--change-settings" in told
    assert score_of(course) == Score(possible=10, pending=10)


def test_changed_on_purpose(course: Path) -> None:
    """With --change-settings the new ones are kept."""
    changed = batch(course, "--due", "2031-01-01", "--practice", "--change-settings")
    assert changed.exit_code == 0
    assert "settings changed: --practice: no, now yes" in changed.stderr
    assert "2031-01-01, now 2030" in refusal(batch(course, *DUE))
    assert "--practice: yes, now no" in batch(course, "--change-settings").stderr


def test_changed_assignment(course: Path) -> None:
    """A changed file is named before every student is graded again."""
    file = course / "mine.py"
    file.write_text(ASSIGNMENT.replace('"1A", 6', '"1A", 3').replace('"1B", 4', '"1B", 7'))
    assert "the assignment mine has changed" in refusal(batch(course))
    assert batch(course, "--change-settings").exit_code == 0


def test_judged_by_a_changed_assignment(course: Path) -> None:
    """A judgement counts by the rubric by which the class was graded, not by a later one."""
    assert "1 judgements imported" in judge_answer(course, "ada", "1A").output
    assert score_of(course).earned == 6
    file = course / "mine.py"
    file.write_text(ASSIGNMENT.replace('"1A", 6', '"1A", 3').replace('"1B", 4', '"1B", 7'))
    told = refusal(judge_answer(course, "ada", "1B", found="none"))
    assert "the assignment mine has changed since this class was graded" in told
    assert "or put the earlier version back" in told
    assert score_of(course).earned == 6


def test_refused_call_changes_no_settings(course: Path) -> None:
    """What a call changes does not hold if the call is refused later."""
    before = run(course, "class", "show").output
    changed = ("--penalty-per-day", "0.5", "--change-settings")
    assert "--regrade names 'eve'" in refusal(batch(course, *changed, "--regrade", "eve"))
    assert run(course, "class", "show").output == before


def test_shown(course: Path) -> None:
    """The settings are printed."""
    shown = run(course, "class", "show")
    assert shown.exit_code == 0, shown.exception
    lines = dict(line.split(maxsplit=1) for line in shown.output.splitlines())
    assert lines["--assignment"].strip().endswith("mine.py")
    assert lines["--due"].strip() == "2030-01-01 12:00"
    assert lines["--roster"].strip() == "not given"


def test_other_commands(course: Path) -> None:
    """The review and the release take the class's assignment, and refuse another."""
    table = course / "answers.csv"
    exported = run(course, "review", "export", table)
    assert exported.exit_code == 0, exported.output
    assert "Because it is zero." in table.read_text()
    for command in (("review", "export", table), ("release", "-o", course / "released")):
        told = refusal(run(course, *command, "--assignment", "set4"))
        assert "this class was graded by" in told
        assert "not by set4" in told
    assert run(course, "release", "-o", course / "released").exit_code == 0


def test_the_same_assignment_elsewhere(course: Path) -> None:
    """A copy of the class on another machine is judged by the assignment's copy there."""
    (course / "mine.py").rename(course / "moved.py")
    export = ("review", "export", course / "answers.csv")
    assert "there is no assignment" in refusal(run(course, *export))
    there = run(course, *export, "--assignment", course / "moved.py")
    assert there.exit_code == 0, there.output
    other = ASSIGNMENT.replace('"1A", 6', '"1A", 5').replace('"1B", 4', '"1B", 5')
    (course / "moved.py").write_text(other)
    assert "graded by" in refusal(run(course, *export, "--assignment", course / "moved.py"))
