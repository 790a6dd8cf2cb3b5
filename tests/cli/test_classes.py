"""`grade class`: whose a submission is, and who is in the class, through the command line."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from grader.cohort.store import STORE_NAME, Store
from grader.review.answers import collect_answers
from grader.review.judgements import Judgement
from grader.review.ledger import entries_version, judge
from grader.review.store import ReviewStore
from tests.cli.test_class_settings import ASSIGNMENT, batch, judge_answer, refusal, run
from tests.support.archive_samples import make_zip

GRADEBOOK = """\
Student,ID,SIS User ID,SIS Login ID,Section
"Apple, Anna",1001,5001,anna,S1
"Same, Sam",1002,2043,sam,S1
"""


@pytest.fixture(name="course")
def make_course(tmp_path: Path) -> Path:
    """A class from Canvas, with the work of somebody whose number is another's SIS id."""
    (tmp_path / "mine.py").write_text(ASSIGNMENT)
    (tmp_path / "roster.csv").write_text(GRADEBOOK)
    (tmp_path / "class").mkdir()
    for name in ("droppeddora_2043_1_1A.md", "appleanna_1001_2_1A.md"):
        (tmp_path / "class" / name).write_text(f"An answer of {name}, and of nobody else.")
    options = ("--assignment", tmp_path / "mine.py", "--roster", tmp_path / "roster.csv")
    assert batch(tmp_path, *options).exit_code == 0
    return tmp_path


def pending(course: Path) -> dict[str, float]:
    """The points that await a person, by student."""
    with Store(course / "out" / STORE_NAME) as store:
        return {each.student.id: each.score.pending for each in store.summaries()}


def answering(course: Path) -> set[str]:
    """The students whose answers people judge."""
    table = course / "answers.csv"
    assert run(course, "review", "export", table).exit_code == 0
    with table.open(encoding="utf-8-sig", newline="") as file:
        return {row["student"] for row in csv.DictReader(file)}


def page(course: Path) -> str:
    return (course / "out" / "index.html").read_text()


def test_match(course: Path) -> None:
    """Nobody gets a stranger's work, and a person settles whose it is."""
    assert pending(course) == {"1001": 6, "1002": 0, "2043": 6}
    assert "grade class match 2043 ID" in page(course)
    exported = run(course, "export", "canvas").output
    assert '"Same, Sam",1002,2043,sam,S1,\n' in exported
    assert "droppeddora" not in exported
    said = run(course, "class", "match", "2043", "1002")
    assert said.exit_code == 0, said.output
    assert batch(course).exit_code == 0
    assert pending(course) == {"1001": 6, "1002": 6}
    assert answering(course) == {"1001", "1002"}
    assert "grade class match" not in page(course)
    assert run(course, "class", "match", "2043", "--nobody").exit_code == 0
    assert batch(course).exit_code == 0
    assert pending(course) == {"1001": 6, "1002": 0}
    assert run(course, "class", "match", "2043", "--forget").exit_code == 0
    assert batch(course).exit_code == 0
    assert pending(course) == {"1001": 6, "1002": 0, "2043": 6}


def test_match_taken_back_after_the_stranger_was_removed(course: Path) -> None:
    """A grade that rests on a match goes with the match, though nobody else takes the work."""
    assert run(course, "class", "match", "2043", "--nobody").exit_code == 0
    assert run(course, "class", "remove", "2043").exit_code == 0
    assert run(course, "class", "match", "2043", "1002").exit_code == 0
    assert batch(course).exit_code == 0
    assert pending(course) == {"1001": 6, "1002": 6}
    assert run(course, "class", "match", "2043", "--forget").exit_code == 0
    assert "1002: the submission 2043 is that of 2043" in batch(course).stderr
    assert pending(course) == {"1001": 6, "1002": 0}
    assert '"Same, Sam",1002,2043,sam,S1,\n' in run(course, "export", "canvas").output


def test_match_refused(course: Path) -> None:
    """A mistyped submission or student is named, with those there are."""
    assert "nobody is known for: 2043" in refusal(run(course, "class", "match", "2044", "1002"))
    assert "'1003' is not on the roster" in refusal(run(course, "class", "match", "2043", "1003"))
    assert "say whose" in refusal(run(course, "class", "match", "2043"))


def test_judgements_follow(course: Path) -> None:
    """What a person judged of a stranger's answer counts for whose answer it turns out to be."""
    imported = judge_answer(course, "2043", "1A")
    assert "1 judgements imported" in imported.output, imported.output
    assert run(course, "class", "match", "2043", "1002").exit_code == 0
    assert batch(course).exit_code == 0
    with Store(course / "out" / STORE_NAME) as store:
        points = {each.student.id: each.final_points for each in store.summaries()}
    assert points == {"1001": 0, "1002": 6}


def test_matched_work_leaves_the_download(course: Path) -> None:
    """A matched submission that is in the download no more keeps its grade, as all others do."""
    assert run(course, "class", "match", "2043", "1002").exit_code == 0
    assert batch(course).exit_code == 0
    (course / "class" / "droppeddora_2043_1_1A.md").unlink()
    assert "has no submission now; the earlier grade is kept" in batch(course).stderr
    assert pending(course) == {"1001": 6, "1002": 6}


def test_judged_between_match_and_grading(course: Path) -> None:
    """A judgement made after the match, before the next grading, follows too."""
    (course / "class" / "samesam_1002_3_1A.md").write_text("An answer of Sam's own.")
    assert batch(course).exit_code == 0
    judge_answer(course, "1002", "1A", found="none")
    (course / "class" / "samesam_1002_3_1A.md").unlink()
    assert run(course, "class", "match", "2043", "1002").exit_code == 0
    judge_answer(course, "2043", "1A")
    assert batch(course).exit_code == 0
    with Store(course / "out" / STORE_NAME) as store:
        points = {each.student.id: each.final_points for each in store.summaries()}
    assert points == {"1001": 0, "1002": 6}


def test_judgements_of_a_namesake_stay(tmp_path: Path) -> None:
    """A submission's number may be the id of somebody else, whose judgements are no part of it."""
    (tmp_path / "mine.py").write_text(ASSIGNMENT)
    (tmp_path / "roster.csv").write_text("id,name\n1001,Anna Apfel\n1003,Ben Birne\n")
    files = {
        "Dora Dropped_1001_assignsubmission_file/written/1A.md": "Because it is zero, says Dora.",
        "Anna Apfel_7_assignsubmission_file/written/1A.md": "Because it is zero, says Anna.",
    }
    make_zip(tmp_path / "class.zip", files)
    options = ("--assignment", tmp_path / "mine.py", "--roster", tmp_path / "roster.csv")
    assert run(tmp_path, "batch", tmp_path / "class.zip", *options).exit_code == 0
    with ReviewStore(tmp_path / "out" / STORE_NAME) as store:
        collect_answers(store, tmp_path / "out")
        for student_id, comment in (("1001", "Anna's"), ("1001 (not on the roster)", "Dora's")):
            entries = [one for one in store.entries("1A") if one.student_id == student_id]
            judgement = Judgement(
                grader="Ina",
                comment=comment,
                answer_sha256=entries[0].answer_sha256,
                judged_at="2026-03-01T00:00:00+00:00",
            )
            judge(store, "1A", judgement, seen=entries_version(entries))
    assert run(tmp_path, "class", "match", "1001", "1003").exit_code == 0
    assert run(tmp_path, "batch", tmp_path / "class.zip").exit_code == 0
    with ReviewStore(tmp_path / "out" / STORE_NAME) as store:
        comments = {
            one.student_id: one.current.comment for one in store.entries("1A") if one.current
        }
    assert (comments["1001"], comments["1003"]) == ("Anna's", "Dora's")


def test_remove(course: Path) -> None:
    """Who left the course is on no page and in no export, and comes back by restore or undo."""
    for back in (("class", "restore", "1001"), ("undo", "--yes")):
        assert run(course, "class", "remove", "1001").exit_code == 0
        assert pending(course).keys() == {"1002", "2043"}
        assert "Apple" not in page(course)
        assert "Apple" not in run(course, "export", "csv").output
        assert answering(course) == {"2043"}
        assert (
            "left out, as a person took them out of the class: 1001"
            in run(course, "batch", course / "class").stderr
        )
        assert "removed" in run(course, "class", "show").output
        assert run(course, *back).exit_code == 0
        assert batch(course).exit_code == 0
        assert pending(course)["1001"] == 6
        assert answering(course) == {"1001", "2043"}
    assert "no student 'anna'" in refusal(run(course, "class", "remove", "anna"))


def test_group(tmp_path: Path) -> None:
    """Every member of a team gets its grade, and they are no plagiarism of each other."""
    (tmp_path / "mine.py").write_text(ASSIGNMENT)
    (tmp_path / "roster.csv").write_text(
        "Identifier,Full name,ID number,Group\n"
        "Participant 55,Ada Lovelace,1001,Other\n"
        "Participant 56,Grace Hopper,1018,Team COBOL\n"
        "Participant 57,Jean Sammet,1019,Team COBOL\n"
    )
    make_zip(
        tmp_path / "class.zip",
        {"Team COBOL_55_assignsubmission_file/written/1A.md": "Why not? " * 9},
    )
    options = ("--assignment", tmp_path / "mine.py", "--roster", tmp_path / "roster.csv")
    assert run(tmp_path, "batch", tmp_path / "class.zip", *options).exit_code == 0
    assert pending(tmp_path) == {"1001": 0, "1018": 6, "1019": 6}


def test_copied_essays(course: Path):
    """The class page names students whose written answers share many runs of words."""
    essay = " ".join(f"word{number} is followed by word{number + 1}," for number in range(20))
    for name in ("appleanna_1001_3_1A.md", "samesam_1002_4_1A.md"):
        (course / "class" / name).write_text(f"By {name}: {essay}")
    assert batch(course).exit_code == 0
    assert "of the answer&#39;s runs of words are the same" in page(course)
