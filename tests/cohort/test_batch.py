"""A class, graded for real: what is graded again, what is not, and who costs whom nothing."""

import csv
import shutil
import sqlite3
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from grader.assignment.loading import load_assignment
from grader.cli import cli
from grader.cohort.batch import ClassRequest, ClassTotals, folder_names, grade_class
from grader.cohort.changes import changed_grades
from grader.cohort.store import STORE_NAME, Store
from grader.cohort.summary import Status, StudentSummary
from grader.errors import UsageError
from grader.grading.stages import Options
from grader.intake.roster import read_roster
from tests.support.paths import REFERENCE

UNTRAINED = Options(practice=True, only=("3B", "3D"))
WRITTEN = Options(practice=True, only=("1A",))
"""Needs no sandbox, so that it is soon graded."""


@dataclass
class RecordingObserver:
    """Keeps what it is told."""

    warnings: list[str] = field(default_factory=list)
    graded_ids: list[str] = field(default_factory=list)

    def stage(self, text: str) -> None:
        """Nothing."""

    def warn(self, text: str) -> None:
        self.warnings.append(text)

    def starts(self, *, to_grade: int, unchanged: int, missing: int) -> None:
        """Nothing."""

    def taken_in(self, student_id: str) -> None:
        """Nothing."""

    def runs_counted(self, *, trained: int, reused: int) -> None:
        """Nothing."""

    def graded(self, summary: StudentSummary) -> None:
        self.graded_ids.append(summary.student.id)


@pytest.fixture
def school(tmp_path: Path) -> ClassRequest:
    """A class of three, one of whom handed in nothing that can be graded."""
    submissions = tmp_path / "submissions"
    for name in ("alice", "bob"):
        shutil.copytree(REFERENCE, submissions / name)
    bobs = submissions / "bob" / "problem_3.py"
    bobs.write_text(bobs.read_text().replace("+ 8\n", "+ 9\n"))
    (submissions / "carol").mkdir()
    (submissions / "carol" / "notes.txt").write_text("sorry")
    return ClassRequest(
        directory=submissions,
        output=tmp_path / "reports",
        assignment=load_assignment("set4"),
        options=UNTRAINED,
    )


def grade(request: ClassRequest, **changes: object) -> tuple[ClassTotals, RecordingObserver]:
    observer = RecordingObserver()
    return grade_class(replace(request, **changes), observer), observer


def stored(request: ClassRequest) -> dict[str, StudentSummary]:
    with Store.open_existing(request.output) as store:
        return {summary.student.id: summary for summary in store.summaries()}


def test_a_class_is_graded_once_and_then_only_where_something_changed(school):
    totals, observer = grade(school)
    assert sorted(observer.graded_ids) == ["alice", "bob", "carol"]
    assert (totals.passed, totals.fell_short, totals.unusable, totals.error) == (1, 1, 1, 0)
    summaries = stored(school)
    assert summaries["alice"].score.earned == 5
    assert summaries["bob"].score.earned == 3
    assert summaries["carol"].status is Status.UNUSABLE
    assert (school.output / "bob" / "report.html").is_file()
    assert (school.output / "bob" / "files" / "problem_3.py").is_file()

    _, again = grade(school)
    assert again.graded_ids == []

    # As after a kill that came when all was recorded and the page was still to be written.
    page = school.output / "index.html"
    page.write_text("an earlier page")
    with Store.open_existing(school.output) as store:
        store.keep_setting("class_page_shows", "1")
    grade(school)
    assert "alice" in page.read_text()

    shutil.copy(REFERENCE / "problem_3.py", school.directory / "bob")
    _, changed = grade(school)
    assert changed.graded_ids == ["bob"]
    assert stored(school)["bob"].score.earned == 5
    with Store.open_existing(school.output) as store:
        (change,) = changed_grades(store)
    assert (change.student.id, change.before, change.after) == ("bob", 3, 5)
    assert [item.id for item in change.items] == ["3B"]
    assert "failed → passed" in change.items[0].checks[0]

    _, chosen = grade(school, regrade=frozenset({"alice"}))
    assert chosen.graded_ids == ["alice"]


def test_every_gradebook_format_has_the_points_of_a_graded_class(school, tmp_path):
    grade(school)
    final_points = {name: summary.final_points for name, summary in stored(school).items()}
    for format_name, id_header, points_header in (
        ("canvas", "SIS User ID", "CS 155 Set 4: deep learning"),
        ("moodle", "ID number", "CS 155 Set 4: deep learning"),
        ("nbgrader", "student_id", "score"),
        ("csv", "id", "points"),
    ):
        file = tmp_path / f"{format_name}.csv"
        command = ["export", format_name, "--output", str(school.output), "-o", str(file)]
        refused = CliRunner().invoke(cli, command)
        assert isinstance(refused.exception, UsageError)  # practice gives no grade
        assert CliRunner().invoke(cli, [*command, "--practice"]).exit_code == 0
        with file.open(encoding="utf-8-sig", newline="") as lines:
            rows = [row for row in csv.DictReader(lines) if row[id_header]]
        assert {row[id_header]: float(row[points_header]) for row in rows} == final_points


def test_an_error_is_tried_again_and_a_lost_report_too(school):
    school = replace(school, options=WRITTEN)
    grade(school)
    with Store.open_existing(school.output) as store:
        current = {each.summary.student.id: each for each in store.current()}["alice"]
        failed = replace(current.summary, status=Status.ERROR)
        store.record(failed, inputs_sha256=current.inputs_sha256, result=None)
    (school.output / "bob" / "report.html").unlink()
    totals, observer = grade(school)
    assert sorted(observer.graded_ids) == ["alice", "bob"]
    assert totals.error == 0
    _, everybody = grade(school, regrade=frozenset({"all"}))
    assert sorted(everybody.graded_ids) == ["alice", "bob", "carol"]


def test_the_roster_says_who_is_missing_and_who_is_a_stranger(school, tmp_path):
    roster = tmp_path / "roster.csv"
    roster.write_text(
        "id,name,email\nalice,Alice A,a@x.org\ndora,Dora D,d@x.org\nbob,Bob,b@x.org\n"
    )
    totals, observer = grade(school, roster=read_roster(roster), options=WRITTEN)
    summaries = stored(school)
    assert summaries["dora"].status is Status.MISSING
    assert summaries["alice"].student.name == "Alice A"
    assert not summaries["carol"].student.on_roster
    assert totals.missing == 1
    assert any("carol" in warning for warning in observer.warnings)


def test_an_unknown_student_to_regrade_is_named(school):
    with pytest.raises(UsageError, match="nobody"):
        grade(school, regrade=frozenset({"nobody"}))


def test_two_gradings_into_one_directory_do_not_mix(school):
    import fcntl

    school.output.mkdir()
    with (school.output / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(UsageError, match="another `grade batch`"):
            grade(school)


def test_a_store_of_a_newer_version_and_a_file_that_is_none_are_refused(tmp_path):
    path = tmp_path / STORE_NAME
    Store(path).close()
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(UsageError, match="newer version"):
        Store(path)
    path.write_bytes(b"no database" * 100)
    with pytest.raises(UsageError, match="not a store"):
        Store(path)


def test_folder_names_are_safe_and_different():
    ids = ["alice", "Bob", "bob", "../../etc", "a b", "a_b", ".lock", "index.html", "", "é"]
    names = folder_names(ids)
    assert names["alice"] == "alice"
    assert names["é"] == "é"
    assert len({name.casefold() for name in names.values()}) == len(ids)
    assert not any("/" in name or name.startswith(".") for name in names.values())
    assert names["index.html"] != "index.html"
