"""The release of a graded class to its students."""

import csv
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from grader.assignment.loading import load_assignment
from grader.cohort.feedback import write_canvas, write_mail, write_moodle
from grader.cohort.gradebooks import Column
from grader.cohort.release import Released, is_one_name, release, require_assignment
from grader.cohort.store import Store
from grader.cohort.summary import Status, StudentSummary, summarize_items
from grader.errors import UsageError
from grader.intake.layouts import moodle_directory, recognise
from grader.intake.students import Platform, Student
from grader.report.html import render_html
from grader.results import OPENED_BY_PERSON, Lateness, Score
from tests.support.result_files import read_json
from tests.support.result_samples import broken_result


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A class of a graded student and one without a grade."""
    result = broken_result()
    graded = StudentSummary(
        student=Student(id="ann"),
        status=Status.GRADED,
        score=result.score,
        folder="ann",
        items=summarize_items(result),
    )
    missing = StudentSummary(
        student=Student(id="zoe"), status=Status.MISSING, score=Score(possible=100)
    )
    with Store(tmp_path / "class.sqlite") as opened:
        opened.record(graded, inputs_sha256="", result=result)
        opened.record(missing, inputs_sha256="", result=None)
        yield opened


def test_hidden_part(store, tmp_path):
    """A released report and record contain neither a hidden part nor its points."""
    target = tmp_path / "released"
    told = release(store, target, hidden={"2C"})
    assert [each.folder for each in told] == ["ann", "zoe"]
    assert sorted(folder.name for folder in target.iterdir()) == ["ann", "zoe"]
    shown = read_json(target / "ann" / "result.json")
    whole = store.result("ann")
    parts = {part.id: part for problem in whole.problems for part in problem.parts}
    assert "2C" in parts
    assert "2C" not in {part.id for problem in shown.problems for part in problem.parts}
    assert shown.score.possible == whole.score.possible - parts["2C"].score.possible
    assert parts["2C"].title not in (target / "ann" / "report.html").read_text()


def test_late_penalty(store, tmp_path):
    """The penalty is that of the shown points, so that it tells nothing of hidden ones."""
    late = replace(store.result("ann"), late=Lateness(share_kept=0.5, penalty_points=1000.0))
    (summary, _) = store.summaries()
    store.record(summary, inputs_sha256="", result=late)
    release(store, tmp_path / "released", hidden={"2C"})
    shown = read_json(tmp_path / "released" / "ann" / "result.json")
    assert shown.late.penalty_points == shown.score.earned / 2


def test_another_assignment(store):
    """Another assignment, with other hidden parts, is refused."""
    with pytest.raises(UsageError, match="ann was graded with another assignment"):
        require_assignment(store, load_assignment("set4"))


def test_nothing_hidden(store, tmp_path):
    """Without hidden parts the result stays whole, but for the notices to instructors."""
    release(store, tmp_path / "released", hidden=())
    shown = read_json(tmp_path / "released" / "ann" / "result.json")
    assert shown == store.result("ann").for_students()
    assert shown.score == store.result("ann").score


def test_earlier_release(store, tmp_path):
    """A directory with an earlier release is refused."""
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "report.html").write_text("earlier")
    with pytest.raises(UsageError, match="not empty"):
        release(store, tmp_path / "old", hidden=())


NOTICES = ("person should", "person must", "orderline", "one seed only", "not reproduced", "imilar")
COLUMN = Column(title="Set 4", points_possible=100)


def test_no_instructors_notices():
    """A doubt about an automatic verdict is for those who can settle it, not for the student."""
    result = broken_result()

    def doubtful(item):
        if item.training is not None:
            training = replace(item.training, borderline=True, reported_differs=True)
            return replace(item, training=training)
        if item.written_text is not None:
            return replace(item, written_text=f"{OPENED_BY_PERSON} `answer.pdf`")
        return item

    doubted = result.with_parts(lambda part: replace(part, items=tuple(map(doubtful, part.items))))
    whole, shown = render_html(doubted), render_html(doubted.for_students())
    for notice in ("A person should check", "A person must open", "Borderline."):
        assert notice in whole
    assert [notice for notice in NOTICES if notice in shown] == []
    assert "answer.pdf" in shown
    assert doubted.for_students().score == result.score


@pytest.mark.parametrize(
    ("status", "needs_person", "message", "told", "not_told"),
    [
        (Status.MISSING, False, "the submission 7 is that of bob", "Nothing was submitted", "bob"),
        (Status.UNUSABLE, False, "the archive is damaged", "the archive is damaged.", "seems"),
        (Status.ERROR, True, "there are 2 archives", "not graded yet: there are 2", "seems"),
        (Status.ERROR, False, "no memory: /home/prof/x", "not a verdict", "memory"),
        (Status.UNUSABLE, False, "/home/prof/w/a.zip is no zip", "points: a.zip is no", "prof"),
        (Status.UNUSABLE, False, "there is <b>.py", "there is &lt;b&gt;.py", "<b>"),
    ],
)
def test_without_grade(store, tmp_path, status, needs_person, message, told, not_told):
    """Who has no grade is told why and what to do, and nothing about others or the machine."""
    (_, zoe) = store.summaries()
    row = replace(zoe, status=status, needs_person=needs_person, message=message)
    store.record(row, inputs_sha256="", result=None)
    (_, released) = release(store, tmp_path / "out", hidden=(), files=["a.py"])
    page = (tmp_path / "out" / "zoe" / "report.html").read_text()
    assert told in page
    assert not_told not in page
    assert "instructor" in page
    assert released.points is None
    assert ("a.py" in released.sentences) == (status is not Status.ERROR or needs_person)


def test_hostile_ids(store, tmp_path):
    """No id leads out of the target, and no two students share a folder."""
    for student_id in ("../../evil", "ANN", "/etc/passwd", ".."):
        row = StudentSummary(
            student=Student(id=student_id), status=Status.MISSING, score=Score(possible=1)
        )
        store.record(row, inputs_sha256="", result=None)
    target = tmp_path / "deep" / "out"
    told = release(store, target, hidden=())
    assert len({each.folder.casefold() for each in told}) == len(told) == 6
    assert {path.parent.parent for path in target.rglob("report.html")} == {target}
    assert list((tmp_path / "deep").iterdir()) == [target]


def told(target: Path, folder: str, summary: StudentSummary, **facts: Any) -> Released:
    """A student with a report below `target`/students."""
    (target / "students" / folder).mkdir(parents=True)
    (target / "students" / folder / "report.html").write_text(folder)
    return Released(summary=summary, folder=folder, **({"sentences": "Well done."} | facts))


def row_of(student: Student, **facts: Any) -> StudentSummary:
    return StudentSummary(student=student, status=Status.GRADED, score=Score(possible=9), **facts)


def names_in(path: Path) -> list[str]:
    with zipfile.ZipFile(path) as archive:
        return archive.namelist()


def test_moodle(tmp_path):
    """The zip has Moodle's own names, and the last column of any worksheet gets the comments.

    A column that the instructor added behind it stays as it is.
    """
    columns = {"ID": "Teilnehmer/in7", "Name": "Zoë Abe", "Bewertung": "", "Bestwertung": "9,00"}
    extra = {"Zuletzt geändert (Bewertung)": "-", "Feedback als Kommentar": ""}
    extra |= {"slip_days_used": "", "Group": ""}
    zoe = Student(id="Teilnehmer/in7", name="Zoë Abe", columns=columns | extra)
    bob = Student(
        id="Teilnehmer/in8",
        name="B/../o_b",
        columns=columns | extra | {"ID": "Teilnehmer/in8", "Name": "B/../o_b"},
    )
    kim = replace(
        zoe,
        id="Teilnehmer/in9",
        columns=zoe.columns | {"ID": "Teilnehmer/in9", "Feedback als Kommentar": "See me."},
    )
    name = "Zoë Abe_7_assignsubmission_file"
    members = [
        told(tmp_path, "z", row_of(zoe, platform=Platform.MOODLE, feedback_name=name)),
        told(tmp_path, "b", row_of(bob), sentences="=1+1 <b>"),
        told(tmp_path, "k", row_of(kim)),
        told(tmp_path, "s", row_of(Student(id="stranger", on_roster=False))),
    ]
    written = write_moodle(members, COLUMN, tmp_path, "students")
    assert names_in(tmp_path / "feedback.zip") == [
        f"{name}/report.html",
        "B .. o b_8_assignsubmission_file_/report.html",
        "Zoë Abe_9_assignsubmission_file_/report.html",
    ]
    with (tmp_path / "worksheet.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["Feedback als Kommentar"] for row in rows] == [
        "Well done.",
        "'=1+1 &lt;b&gt;",
        "See me.",
    ]
    assert [row["Zuletzt geändert (Bewertung)"] for row in rows] == ["-"] * 3
    assert {row["slip_days_used"] + row["Group"] for row in rows} == {""}
    warnings = "\n".join(written.warnings)
    assert "no file of theirs came from the platform: stranger" in warnings
    assert "comment was kept for Teilnehmer/in9" in warnings
    assert "not on the worksheet: stranger" in warnings


def test_moodle_without_comments(tmp_path):
    """A worksheet without a column of comments is given back without one, and this is said."""
    columns = {"Identifier": "Participant 7", "Full name": "A", "Grade": "", "Maximum Grade": "9"}
    ann = Student(id="7", name="A", columns=columns | {"Last modified (grade)": "-"})
    members = [told(tmp_path, "a", row_of(ann))]
    (warning,) = write_moodle(members, COLUMN, tmp_path, "students").warnings
    assert "no column of comments" in warning
    assert "Well done" not in (tmp_path / "worksheet.csv").read_text()


def test_canvas(tmp_path):
    """Canvas finds the submission by the beginning of the name."""
    platform = {"platform": Platform.CANVAS}
    members = [
        told(tmp_path, "a", row_of(Student(id="7"), feedback_name="ann_LATE_7_12_", **platform)),
        told(tmp_path, "b", row_of(Student(id="8"), feedback_name="../ann_8_13_", **platform)),
        told(tmp_path, "c", row_of(Student(id="9"), feedback_name="ann_LATE_7_12_", **platform)),
        told(tmp_path, "m", row_of(Student(id="ten"))),
    ]
    written = write_canvas(members, tmp_path, "students")
    assert names_in(tmp_path / "feedback.zip") == ["ann_LATE_7_12_report.html"]
    first, second = written.warnings
    assert "platform: 8, ten" in first
    assert "one report there: 9" in second


def test_mail(store, tmp_path):
    """The table has what to write to whom, without formulas."""
    (ann, _) = store.summaries()
    named = Student(id="ann", name="=cmd()", email="ann@uni.example")
    store.record(
        replace(ann, student=named, whose="?"), inputs_sha256="", result=store.result("ann")
    )
    members = release(store, tmp_path / "out" / "students", hidden={"2C"})
    written = write_mail(members, tmp_path / "out", "students")
    with (tmp_path / "out" / "mail.csv").open(encoding="utf-8-sig", newline="") as file:
        first, second = csv.DictReader(file)
    assert first["name"] == "'=cmd()"
    assert first["email"] == "ann@uni.example"
    shown = read_json(tmp_path / "out" / first["report"].replace("report.html", "result.json"))
    assert float(first["points"]) == shown.score.earned
    assert first["text"].startswith("Your points: ")
    assert "Fell short: " in first["text"]
    assert "2C" not in first["text"]
    assert (second["points"], second["text"][:22]) == ("", "Nothing was submitted.")
    assert (tmp_path / "out" / second["report"]).is_file()
    assert written.warnings == (
        "without an email address: zoe",
        "not certain whose the submission is: ann",
    )


def test_names_of_downloads(tmp_path):
    """The intake keeps the names under which platforms take feedback back."""
    for name in (
        "doejane_LATE_81_900_problem_1.py",
        "doejane_LATE_81_901_problem_2-1.py",
        "roe_82_text.html",
        "Zoë Abe_7_assignsubmission_file_problem_1.py",
    ):
        (tmp_path / name).touch()
    for name in ("Al Bo_8_assignsubmission_file_", "Cy Do_9_assignsubmission_file"):
        (tmp_path / name).mkdir()
    found = {each.identity.label: each.feedback_name for each in recognise(tmp_path, {}).found}
    assert found == {
        "81": "doejane_LATE_81_900_",
        "82": "",
        "7": "Zoë Abe_7_assignsubmission_file_",
        "8": "Al Bo_8_assignsubmission_file_",
        "9": "Cy Do_9_assignsubmission_file",
    }


@pytest.mark.parametrize("name", ["..", "../..", "a/b", "a\\b", "a_b", "\udcff\u202e", "", "\n"])
def test_hostile_moodle_name(name):
    """A name in Moodle's directory cannot lead out, nor end before the number."""
    directory = moodle_directory(name, "7")
    assert is_one_name(directory)
    assert directory.split("_", 1)[1] == "7_assignsubmission_file_"
    directory.encode()
