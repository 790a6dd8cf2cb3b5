"""No point moves silently: runs can be taken back, versions do not mix, failures keep grades."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock

import pytest

from grader.cohort import batch as batch_module
from grader.cohort import run as run_module
from grader.cohort.store import STORE_NAME, Store
from grader.cohort.summary import Status
from grader.errors import MachineError
from grader.results import Score
from tests.cli.test_class_settings import ASSIGNMENT, batch, judge_answer, make_course, refusal, run

__all__ = ["make_course"]  # the fixture

MORE = '"1A", 3', '"1B", 7'


def write(course: Path, student: str, **answers: str) -> None:
    """A student's answers by part; the empty ones are not handed in."""
    written = course / "class" / student / "written"
    written.mkdir(parents=True, exist_ok=True)
    for part in ("1A", "1B"):
        (written / f"{part}.md").unlink(missing_ok=True)
        if answers.get(f"_{part}"):
            (written / f"{part}.md").write_text(answers[f"_{part}"])


def change_assignment(course: Path) -> None:
    """Another distribution of the same points."""
    text = ASSIGNMENT.replace('"1A", 6', MORE[0]).replace('"1B", 4', MORE[1])
    (course / "mine.py").write_text(text)


def graded(course: Path, *arguments: str) -> None:
    """Grade the class."""
    done = batch(course, *arguments)
    assert done.exit_code in {0, 1}, done.exception


def scores(course: Path) -> dict[str, Score]:
    """Every student's score that counts."""
    with Store(course / "out" / STORE_NAME) as store:
        return {summary.student.id: summary.score for summary in store.summaries()}


def test_regrade_is_taken_back(course: Path):
    """Grades, the report and the settings are as before; the history keeps everything."""
    before, page = scores(course), (course / "out" / "ada" / "report.html").read_text()
    shown = run(course, "class", "show").output
    change_assignment(course)
    write(course, "ada", _1A="Because.")
    graded(course, "--change-settings")
    assert scores(course)["ada"] == Score(possible=10, pending=3, lost=7)
    undone = run(course, "undo", "--yes")
    assert undone.exit_code == 0, undone.exception
    assert "run 2 is taken back, 1 grade" in undone.output
    assert scores(course) == before
    assert (course / "out" / "ada" / "report.html").read_text() == page
    assert run(course, "class", "show").output == shown
    history = run(course, "history").output
    assert "took back run 2" in history
    assert len(run(course, "history", "ada").output.splitlines()) == 4
    # The work and the assignment on the disk are the new ones, so a later run says so.
    assert "the assignment mine has changed" in refusal(batch(course))


def test_run_after_run(course: Path):
    """The run before the last is taken back after the last one, down to a class without grades."""
    write(course, "alan", _1A="It is.")
    graded(course)
    assert run(course, "undo", "--yes").exit_code == 0
    assert run(course, "undo", "--yes").exit_code == 0
    assert {score.undecided for score in scores(course).values()} == {10}
    assert "no run that could be taken back" in refusal(run(course, "undo", "--yes"))
    graded(course)
    assert scores(course)["ada"] == Score(possible=10, pending=10)


def test_judged_regrade_is_taken_back(course: Path):
    """Judgements count by the rubric of each grading again, whatever the file says by now."""
    judge_answer(course, "ada", "1A")
    assert scores(course)["ada"] == Score(possible=10, earned=6, pending=4)
    change_assignment(course)
    graded(course, "--change-settings")
    assert scores(course)["ada"] == Score(possible=10, earned=3, pending=7)
    assert "ada: 3 → 6" in run(course, "undo", "--yes").stderr
    assert scores(course)["ada"] == Score(possible=10, earned=6, pending=4)
    # The range of a decision is that of the grading, too.
    decided = run(course, "override", "ada", "1B", "7", "--reason", "read again")
    assert "1B has 0 to 4" in refusal(decided)
    assert run(course, "override", "ada", "extra", "1", "--reason", "asked well").exit_code == 0
    assert scores(course)["ada"] == Score(possible=10, earned=6, pending=4)


def test_judged_since(course: Path):
    """If the later answer was judged, the earlier one is open again, and that is told."""
    judge_answer(course, "ada", "1A")
    write(course, "ada", _1A="Because.", _1B="Because it is one.")
    graded(course)
    judge_answer(course, "ada", "1A", found="none", adjustment="2")
    told = run(course, "undo", "--yes").stderr
    assert "ada: 2 → 0, not 6 as before the run" in told
    assert scores(course)["ada"] == Score(possible=10, pending=10)


def test_grade_taken_back_stays_away(course: Path):
    """What was taken back is no earlier grade that could be kept."""
    assert run(course, "undo", "--yes").exit_code == 0
    write(course, "ada", _1A="Because.")
    graded(course, "--only", "1A")
    assert scores(course)["ada"] == Score(possible=10, pending=6, undecided=4)


def test_failure_brings_no_grade_back(course: Path, monkeypatch: pytest.MonkeyPatch):
    """Nor does a run after a failure bring back a grade that was taken back."""
    assert run(course, "undo", "--yes").exit_code == 0
    with monkeypatch.context() as patched:
        patched.setattr(run_module, "begin", Mock(side_effect=MachineError("no memory")))
        assert batch(course).exit_code == 3
    graded(course)
    assert run(course, "undo", "--yes").exit_code == 0
    graded(course, "--only", "1A")
    assert scores(course)["ada"] == Score(possible=10, pending=6, undecided=4)


def test_nobody_to_ask(course: Path):
    """Without a terminal, --yes says that it is meant; nothing has changed."""
    told = refusal(run(course, "undo"))
    assert "add --yes" in told
    assert scores(course)["ada"] == Score(possible=10, pending=10)


def test_unknown_student(course: Path):
    """An unknown id is answered with known ones."""
    assert "give an id, such as ada" in refusal(run(course, "history", "bob"))


def test_half_a_regrade(course: Path):
    """While some students have grades of the old key, export and release refuse."""
    write(course, "alan", _1A="It is.")
    graded(course)
    change_assignment(course)
    graded(course, "--change-settings")
    with Store(course / "out" / STORE_NAME) as store:
        # As a regrade that was killed before ada leaves it.
        first = store.history("ada")[0]
        store.record(first.summary, inputs_sha256="", result=store.automatic_result(first.number))
    told = refusal(run(course, "export", "csv"))
    assert "different versions of the assignment" in told
    assert "1 student, ada" in told
    assert "1 student, alan" in told
    assert "add --mixed" in told
    assert "different versions" in refusal(run(course, "release", "-o", course / "released"))
    assert run(course, "export", "csv", "--mixed").exit_code == 0
    graded(course)
    assert run(course, "export", "csv").exit_code == 0


def test_failure_keeps_the_grade(course: Path, monkeypatch: pytest.MonkeyPatch):
    """A grader that fails leaves the earlier grade, marked, and tries again next time."""
    grade = batch_module.ClassRun.grade

    def fail(self, tasks):
        for task, summary, _ in grade(self, tasks):
            yield task, replace(summary, status=Status.ERROR, message="no memory", items=()), None

    write(course, "ada", _1A="Because it is not.")
    with monkeypatch.context() as patched:
        patched.setattr(batch_module.ClassRun, "grade", fail)
        failed = batch(course)
    assert failed.exit_code == 3
    assert scores(course)["ada"] == Score(possible=10, pending=10)
    exported = run(course, "export", "csv")
    assert "the earlier grade, because grading again failed" in exported.stderr
    page = (course / "out" / "index.html").read_text()
    assert "no memory; the grade of" in page
    graded(course)
    assert scores(course)["ada"] == Score(possible=10, pending=6, lost=4)


def test_only_is_merged(course: Path):
    """`--only` on a graded class replaces these items alone; the whole is up to date after it."""
    before = scores(course)
    graded(course, "--only", "1A")
    assert scores(course) == before
    report = (course / "out" / "ada" / "report.html").stat().st_mtime_ns
    graded(course)
    assert (course / "out" / "ada" / "report.html").stat().st_mtime_ns == report
    assert "only 1A" in run(course, "history").output


def test_only_on_changed_work(course: Path):
    """Where the work has changed since, a part cannot be merged: the whole grade is kept."""
    write(course, "ada", _1B="Because it is one.")
    done = batch(course, "--only", "1A")
    assert done.exit_code == 3
    assert scores(course)["ada"] == Score(possible=10, pending=10)
    page = (course / "out" / "index.html").read_text()
    assert "the work or the assignment has changed since" in page
    graded(course)
    assert scores(course)["ada"] == Score(possible=10, pending=4, lost=6)


def test_scheduler_that_does_not_answer(course: Path):
    """A scheduler that is not there ends the command once, before anybody is graded."""
    write(course, "alan", _1A="It is.")
    done = batch(course, "--scheduler", "tcp://127.0.0.1:9", "--regrade", "all")
    assert isinstance(done.exception, MachineError)
    assert "no Dask scheduler answers at tcp://127.0.0.1:9" in str(done.exception)
    assert set(scores(course)) == {"ada"}
