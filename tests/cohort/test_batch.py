"""A class, graded for real: what is graded again, what is not, and who costs whom nothing."""

import csv
import shutil
import sqlite3
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner

from grader.assignment.loading import load_assignment
from grader.cli import cli
from grader.cohort import run
from grader.cohort.batch import (
    ClassRequest,
    ClassTotals,
    count_totals,
    folder_names,
    grade_class,
    locked,
)
from grader.cohort.changes import changed_grades
from grader.cohort.late_policy import LatePolicy
from grader.cohort.store import STORE_NAME, Store
from grader.cohort.summary import Status, StudentSummary
from grader.errors import UsageError
from grader.grading.options import Options
from grader.intake.roster import read_roster
from tests.support.paths import REFERENCE
from tests.support.result_files import read_json

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

    def taken_in(self) -> None:
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
    """Grade the class as `grade batch` does, without the class page."""
    request, observer = replace(request, **changes), RecordingObserver()
    with locked(request.output), Store(request.output / STORE_NAME) as store:
        grade_class(request, store, observer)
        return count_totals(store.summaries()), observer


def stored(request: ClassRequest) -> dict[str, StudentSummary]:
    with Store.open_existing(request.output) as store:
        return {summary.student.id: summary for summary in store.summaries()}


def test_only_changes_are_graded(school):
    """A class is graded once, and then only the students whose files changed."""
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


def test_gradebooks(school, tmp_path):
    """Every gradebook format has the points of the class."""
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


def test_retry(school):
    """A student with an error or without a report is graded again."""
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


def test_roster(school, tmp_path):
    """The roster tells missing students and unknown ones."""
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


def test_page_after_kill(school):
    """The command writes a class page that is older than the store, and then leaves it alone."""
    command = ["batch", str(school.directory), "--output", str(school.output)]
    command += ["--practice", "--only", "1A"]
    CliRunner().invoke(cli, command)
    page = school.output / "index.html"
    assert "alice" in page.read_text()
    page.write_text("an earlier page")
    CliRunner().invoke(cli, command)
    assert page.read_text() == "an earlier page"
    with Store.open_existing(school.output) as store:
        store.keep_setting("class_page_shows", "1")
    CliRunner().invoke(cli, command)
    assert "alice" in page.read_text()


def test_no_page_without_grading(tmp_path):
    """A wrong directory is refused, and no class page is written."""
    command = ["batch", str(tmp_path / "nothing"), "--output", str(tmp_path / "reports")]
    result = CliRunner().invoke(cli, command)
    assert isinstance(result.exception, UsageError)
    assert not (tmp_path / "reports" / "index.html").exists()


def test_reports_that_fail(school, monkeypatch):
    """A student whose report cannot be written has an error, and the others have grades."""
    write_reports = run.write_reports

    def fail_for_bob(result, folder):
        if folder.name == "bob":
            raise OSError(28, "No space left on device")
        return write_reports(result, folder)

    monkeypatch.setattr(run, "write_reports", fail_for_bob)
    totals, observer = grade(school, options=WRITTEN)
    assert (totals.passed, totals.error, totals.unusable) == (1, 1, 1)
    assert "No space left on device" in observer.warnings[0]


def test_late_policy_of_today(school):
    """A changed late policy changes the points of unchanged submissions without grading them."""
    grade(school, options=WRITTEN)
    due = datetime(2000, 1, 1, tzinfo=UTC)
    policy = LatePolicy(due=due, maximum_days=0)
    _, observer = grade(school, options=WRITTEN, late_policy=policy)
    assert sorted(observer.graded_ids) == ["alice", "bob", "carol"]
    summary = stored(school)["alice"]
    assert summary.late.due_at == due.isoformat()
    assert summary.late.reason.startswith("the time of submission is unknown")
    assert read_json(school.output / "alice" / "result.json").late == summary.late


def test_regrade_unknown(school):
    """An unknown id in --regrade is named."""
    with pytest.raises(UsageError, match="nobody"):
        grade(school, regrade=frozenset({"nobody"}))


def test_lock(school):
    """A second grading into the same directory is refused."""
    import fcntl

    school.output.mkdir()
    with (school.output / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(UsageError, match="another `grade batch` is running"):
            grade(school)


def test_foreign_store(tmp_path):
    """A store of a newer version is refused, and so is a file that is not a store."""
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


def test_folder_names():
    """Folder names are safe and different."""
    ids = ["alice", "Bob", "bob", "../../etc", "a b", "a_b", ".lock", "index.html", "", "é"]
    names = folder_names(ids)
    assert names["alice"] == "alice"
    assert names["é"] == "é"
    assert len({name.casefold() for name in names.values()}) == len(ids)
    assert not any("/" in name or name.startswith(".") for name in names.values())
    assert names["index.html"] != "index.html"
