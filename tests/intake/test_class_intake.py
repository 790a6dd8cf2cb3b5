"""A class's submissions: every layout is understood, and nothing is guessed."""

from __future__ import annotations

import os
import pickle
import tempfile
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from grader.errors import UnusableSubmissionError, UsageError
from grader.intake.class_intake import Intake, find_submissions
from grader.intake.private_copy import collect
from grader.intake.roster import Roster, read_roster
from grader.intake.students import Student
from grader.intake.submitted import SubmittedWork, open_submission, submission_digest
from tests.support.archive_samples import make_lying_zip, make_symlink_zip, make_tar, make_zip

FILES = ["problem_1.py", "problem_2.py", "written/1A.md"]


def write(directory: Path, files: dict[str, str]) -> Path:
    """Files below a directory."""
    for name, content in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return directory


def roster_of(tmp_path: Path, text: str) -> Roster:
    """A roster with this content."""
    path = tmp_path / "roster.csv"
    path.write_text(text)
    return read_roster(path)


def read_class(directory: Path, roster: Roster | None = None) -> Intake:
    """The submissions; those in an archive of the class are deleted again."""
    with find_submissions(directory, roster) as intake:
        return intake


def contents(work: SubmittedWork) -> dict[str, str]:
    """Return the files that the grader would collect, with their content."""
    with (
        open_submission(work, FILES) as opened,
        collect(opened.directory, FILES) as submission,
    ):
        return {name: (submission.root / name).read_text() for name in submission.files}


def by_id(intake: Intake) -> dict[str, SubmittedWork]:
    """The submissions by their students' ids."""
    return {work.student.id: work for work in intake.submitted}


def messages(intake: Intake) -> list[str]:
    """All problems, as they are shown."""
    return [f"{problem.source.name} {problem.message}" for problem in intake.problems]


CANVAS = {
    "doejane_101_9001_problem_1.py": "jane 1",
    "doejane_101_9002_1A.md": "because",
    "roejohn_LATE_102_9003_problem_1-2.py": "john, third",
    "roejohn_LATE_102_9004_problem_1-1.py": "john, second",
    "garcíaluis_103_text.html": "<p>typed</p>",
    "anon_xYz9_9005_problem_1.py": "nobody",
    "LATE_anon_q7_9006_problem_1.py": "nobody, late",
}


def test_canvas_files(tmp_path: Path) -> None:
    """Marks in names are read, and files get back their names and directories."""
    found = by_id(read_class(write(tmp_path / "class", CANVAS)))
    assert found.keys() == {"101", "102", "103", "anon_xYz9", "anon_q7"}
    assert contents(found["101"]) == {"problem_1.py": "jane 1", "written/1A.md": "because"}
    assert contents(found["102"]) == {"problem_1.py": "john, third"}
    assert (found["101"].late, found["102"].late) == (False, True)
    assert (found["anon_xYz9"].late, found["anon_q7"].late) == (False, True)
    assert found["101"].student.name == "doejane"
    with pytest.raises(UnusableSubmissionError, match=r"none of .* \(there is text.html\)"):
        contents(found["103"])


def test_canvas_zips(tmp_path: Path) -> None:
    """A student's zip from Canvas is unpacked, even beside other files."""
    directory = write(tmp_path / "class", {"doejane_1_3_scan.pdf": "%PDF"})
    make_zip(directory / "doejane_1_2_homework.zip", {"hw/problem_1.py": "jane"})
    (work,) = read_class(directory).submitted
    assert contents(work) == {"problem_1.py": "jane"}


def test_moodle(tmp_path: Path) -> None:
    """Directories and flat files of Moodle; typed text is not mistaken for them."""
    directory = write(
        tmp_path / "class",
        {
            "Jane Doe_5001_assignsubmission_file/problem_1.py": "jane",
            "Jane Doe_5001_assignsubmission_onlinetext/onlinetext.html": "<p>",
            "John Roe_5002_assignsubmission_file_/sub/problem_1.py": "john",
            "Ann Poe_5003_assignsubmission_file_problem_1.py": "ann",
            "Ann Poe_5003_assignsubmission_file_1A.md": "because",
            "Participant_5004_assignsubmission_file/problem_1.py": "hidden",
        },
    )
    intake = read_class(directory)
    found = by_id(intake)
    assert intake.recognised == ("4 submissions: from Moodle",)
    assert {key: work.student.name for key, work in found.items()} == {
        "5001": "Jane Doe",
        "5002": "John Roe",
        "5003": "Ann Poe",
        "5004": "Participant",
    }
    assert contents(found["5001"]) == {"problem_1.py": "jane"}
    assert contents(found["5002"]) == {"problem_1.py": "john"}
    assert contents(found["5003"]) == {"problem_1.py": "ann", "written/1A.md": "because"}


GRADESCOPE = """\
submission_11:
  :submitters:
  - :name: Jane Doe
    :sid: '007'
    :email: jane@example.edu
  - :name: John Roe
    :sid: ''
    :email: john@example.edu
  :created_at: 2026-03-10 21:58:59.123456000 Z
  :score: 1.0
  :history:
  - :id: 10
    :created_at: 2026-03-09 21:58:59.123456000 Z
submission_12:
  :submitters:
  - :name: Gone
submission_13:
  :score: 0
"""


@pytest.mark.parametrize("zipped", [False, True])
def test_gradescope(tmp_path: Path, *, zipped: bool) -> None:
    """Both partners of a submission are found; entries that do not fit are named."""
    files = {
        "export/submission_metadata.yml": GRADESCOPE,
        "export/submission_11/problem_1.py": "both",
        "export/submission_14/problem_1.py": "unknown",
    }
    directory = write(tmp_path, files) / "export"
    if zipped:
        directory = make_zip(tmp_path / "export.zip", files)
    with find_submissions(directory) as intake:
        found = by_id(intake)
        assert found.keys() == {"007", "john@example.edu"}
        assert contents(found["007"]) == contents(found["john@example.edu"])
        assert found["007"].submitted_at == datetime(2026, 3, 10, 21, 58, 59, 123456, tzinfo=UTC)
        assert messages(intake) == [
            "submission_12 is in the metadata, but there is no such directory",
            "submission_13 has no list of submitters in the metadata, so it was left out",
            "submission_14 is not in the metadata, so it was left out",
        ]


@pytest.mark.parametrize("text", ["- a list", "{", "a: !!python/object/apply:os.system [id]"])
def test_hostile_metadata_refused(tmp_path: Path, text: str) -> None:
    """Bad metadata is refused, and no Python object is ever made from it."""
    write(tmp_path / "class", {"submission_metadata.yml": text})
    with pytest.raises(UsageError, match=r"submission_metadata\.yml"):
        read_class(tmp_path / "class")


@pytest.mark.parametrize("inside", ["submitted/", ""])
def test_nbgrader(tmp_path: Path, inside: str) -> None:
    """Times are read in a course's directory, or in the collected one."""
    stamps = {
        "alice": "2026-03-10 23:58:59.250000 UTC",
        "bob": "2026-03-10 23:58:59 +0100\n",
        "carol": "2026-03-10 23:58:59 PST",
    }
    files = {f"{inside}{name}/hw4/timestamp.txt": stamp for name, stamp in stamps.items()}
    files |= {f"{inside}{name}/hw4/problem_1.py": name for name in stamps}
    if inside:
        files["source/hw4/problem_1.py"] = "given"
    intake = read_class(write(tmp_path / "class", files))
    found = by_id(intake)
    assert found["alice"].submitted_at == datetime(2026, 3, 10, 23, 58, 59, 250_000, tzinfo=UTC)
    berlin = timezone(timedelta(hours=1))
    assert found["bob"].submitted_at == datetime(2026, 3, 10, 23, 58, 59, tzinfo=berlin)
    assert found["carol"].submitted_at is None
    assert contents(found["carol"])["problem_1.py"] == "carol"
    assert messages(intake) == [
        "timestamp.txt is not a time with a zone such as UTC or +01:00, so it was not used"
    ]


def test_one_entry_each(tmp_path: Path) -> None:
    """A directory, clone or archive each; the rest is named, and links are not followed."""
    directory = write(
        tmp_path / "class",
        {
            "alice/problem_1.py": "alice",
            "bob/.git/config": "",
            "bob/problem_1.py": "bob",
            "reports/index.html": "",
            ".DS_Store": "",
            "README.txt": "",
        },
    )
    make_zip(directory / "carol.zip", {"problem_1.py": "carol"})
    make_tar(directory / "dora@b.org.tar.gz", {"homework/problem_1.py": "dora"})
    (directory / "emil").symlink_to(tmp_path)
    intake = read_class(directory)
    found = by_id(intake)
    assert {key: contents(work) for key, work in found.items()} == {
        name: {"problem_1.py": name.partition("@")[0]}
        for name in ("alice", "bob", "carol", "dora@b.org")
    }
    assert found["dora@b.org"].student.email == "dora@b.org"
    assert messages(intake) == [
        "emil is a symbolic link, so it was left out",
        "README.txt is neither directory nor archive, so it was left out",
    ]


BLACKBOARD = {
    "Set 4_ada_attempt_2026-03-06-13-59-00.txt": "Name: Ada Lovelace (ada)\nAssignment: Set 4\n",
    "Set 4_ada_attempt_2026-03-06-13-59-00_problem_1.py": "first",
    "Set 4_ada_attempt_2026-03-07-08-00-05.txt": "Name: Ada Lovelace (ada)\nAssignment: Set 4\n",
    "Set 4_ada_attempt_2026-03-07-08-00-05_problem_1.py": "second",
    "Set 4_al.t_attempt_2026-03-06-13-59-00.txt": "Name: Alan Turing (al.t)\n",
    "Set 4_al.t_attempt_2026-03-06-13-59-00_problem_1.py": "alan",
}


def test_blackboard(tmp_path: Path) -> None:
    """The newest attempt counts; the text about it has the name, and is no answer."""
    intake = read_class(write(tmp_path / "class", BLACKBOARD))
    found = by_id(intake)
    assert {key: work.student.name for key, work in found.items()} == {
        "ada": "Ada Lovelace",
        "al.t": "Alan Turing",
    }
    assert contents(found["ada"]) == {"problem_1.py": "second"}
    assert found["ada"].submitted_at == datetime(2026, 3, 7, 8, 0, 5)  # noqa: DTZ001 - no zone
    assert intake.recognised == ("2 submissions: from Blackboard",)


def test_brightspace(tmp_path: Path) -> None:
    """Directories and flat files; the newest upload counts, and the number is nobody's id."""
    files = {
        "index.html": "",
        "101-9001 - Ada Lovelace - Mar 6, 2026 159 PM/problem_1.py": "first",
        "101-9002 - Ada Lovelace - Mar 6, 2026 1201 PM/problem_1.py": "earlier",
        "102-9001 - Alan Turing - Mar 7, 2026 1230 AM - problem_1.py": "alan",
        "103-9001 - Zoë/problem_1.py": "zoe",
    }
    roster = roster_of(tmp_path, "id,name\n101,Grace Hopper\na1,Ada Lovelace\nt1,Alan Turing\n")
    intake = read_class(write(tmp_path / "class", files), roster)
    found = by_id(intake)
    assert found.keys() == {"a1", "t1", "103"}
    assert contents(found["a1"]) == {"problem_1.py": "first"}
    assert contents(found["t1"]) == {"problem_1.py": "alan"}
    assert found["a1"].submitted_at == datetime(2026, 3, 6, 13, 59)  # noqa: DTZ001 - no zone
    assert found["t1"].submitted_at == datetime(2026, 3, 7, 0, 30)  # noqa: DTZ001 - no zone
    assert [student.id for student in intake.missing] == ["101"]


@pytest.mark.parametrize("inside", ["", "Set 4/"])
def test_google_drive_refused(tmp_path: Path, inside: str) -> None:
    """Files of all students in one directory are nobody's, which is said once."""
    names = ["problem_1.py", *(f"problem_1({number}).py" for number in range(1, 5))]
    directory = write(tmp_path / "class", {f"{inside}{name}": "" for name in names})
    with pytest.raises(UsageError, match="looks like a folder of Google Drive"):
        read_class(directory)


def test_strays_in_few_lines(tmp_path: Path) -> None:
    """However many files are no submissions, they take four lines."""
    files = {f"notes {number}.txt": "" for number in range(250)}
    intake = read_class(write(tmp_path / "class", {"ann/problem_1.py": "ann"} | files))
    assert len(intake.problems) == 4
    assert "holds 247 more such files" in messages(intake)[-1]


@pytest.mark.parametrize("stray", ["HW 4/roster.csv", "HW 4/Icon\r", "HW 4/index.html"])
def test_stray_file_beside_students(tmp_path: Path, stray: str) -> None:
    """A roster beside the students does not make one student of them."""
    files = {"HW 4/anna/problem_1.py": "anna", "HW 4/ben/problem_1.py": "ben", stray: ""}
    intake = read_class(make_zip(tmp_path / "class.zip", files))
    assert by_id(intake).keys() == {"anna", "ben"}


@pytest.mark.parametrize("encoding", ["utf-8", "cp850", "cp1252"])
def test_names_in_old_zips(tmp_path: Path, encoding: str) -> None:
    """Names without the flag for UTF-8 are read as UTF-8, or as the roster's names say."""
    archive = tmp_path / "class.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for name in ("Zoe~ Mu~ller", "Jose~ N~andu~"):
            file.writestr(f"{name}/problem_1.py", name)
    content = archive.read_bytes()
    for ascii_name, name in (("Zoe~ Mu~ller", "Zoë Müller"), ("Jose~ N~andu~", "José Ñandú")):
        plain = name.encode(encoding).ljust(len(ascii_name), b" ")
        content = content.replace(ascii_name.encode(), plain)
    archive.write_bytes(content)
    roster = roster_of(tmp_path, "id,name\n1,Zoë Müller\n2,José Ñandú\n")
    with find_submissions(archive, roster) as intake:
        assert [work.student.id for work in intake.submitted] == ["1", "2"]


def test_odd_names_stay_apart(tmp_path: Path) -> None:
    """Odd names become ids of one line of text."""
    directory = tmp_path / "class"
    for name in ("new\nline", "\x1b[31mred", "-rf", "caf\udce9"):
        write(directory / name, {"problem_1.py": "x"})
    found = by_id(read_class(directory))
    assert found.keys() == {"new\\nline", "\\x1b[31mred", "-rf", "caf\\xe9"}
    assert all(contents(work) == {"problem_1.py": "x"} for work in found.values())


def test_list_of_paths(tmp_path: Path) -> None:
    """Paths are relative to the list, with or without an id; all wrong lines are named."""
    write(tmp_path, {"clones/repo-1/problem_1.py": "1", "clones/repo-2/problem_1.py": "2"})
    listing = tmp_path / "list.txt"
    listing.write_text("# clones\nclones/repo-1\n\nbob, clones/repo-2\n")
    found = by_id(read_class(listing))
    assert contents(found["repo-1"]) == {"problem_1.py": "1"}
    assert contents(found["bob"]) == {"problem_1.py": "2"}
    listing.write_text("clones/repo-1\nclones/repo-3\na,b,c\n")
    with pytest.raises(UsageError, match=r"(?s)list.txt:2: clones/repo-3.*list.txt:3: a,b,c"):
        read_class(listing)


@pytest.mark.parametrize("wrapping", ["", "hw4 submissions/"])
def test_class_archive(tmp_path: Path, wrapping: str) -> None:
    """One student's bad part keeps no other from being graded."""
    inner = make_zip(tmp_path / "inner.zip", {"problem_1.py": "carol"}).read_bytes()
    archive = make_zip(
        tmp_path / "class.zip",
        {
            f"{wrapping}alice/problem_1.py": "alice",
            f"{wrapping}bob/problem_1.py": "bob",
            f"{wrapping}bob/PROBLEM_1.py": "bob",
            f"{wrapping}carol.zip": inner,
        },
    )
    with find_submissions(archive) as intake:
        found = by_id(intake)
        assert contents(found["alice"]) == {"problem_1.py": "alice"}
        assert contents(found["carol"]) == {"problem_1.py": "carol"}
        with pytest.raises(UnusableSubmissionError, match="the same name on some file systems"):
            contents(found["bob"])
        private = found["alice"].source
    assert not private.exists()


def test_missing_extra_and_ambiguous(tmp_path: Path) -> None:
    """Students on the roster come first, in its order; all others are graded, too."""
    roster = roster_of(
        tmp_path,
        "id,name,email\nc,Carol Poe,\na,Alice Ray,alice@b.org\nj1,John Doe,\nj2,John Doe,\nx,Xu,\n",
    )
    names = ["alice", "poe carol", "john doe", "stranger"]
    directory = write(tmp_path / "class", {f"{name}/problem_1.py": name for name in names})
    intake = read_class(directory, roster)
    students = [work.student for work in intake.submitted]
    assert students == [
        roster.students[0],
        roster.students[1],
        Student(id="john doe", name="john doe", on_roster=False),
        Student(id="stranger", name="stranger", on_roster=False),
    ]
    assert [student.id for student in intake.missing] == ["j1", "j2", "x"]
    assert [problem.message for problem in intake.problems] == [
        "stranger is not on the roster: say who it is by `grade class match stranger ID`",
        (
            "john doe may be John Doe (j1) or John Doe (j2): say who it is by "
            "`grade class match 'john doe' ID`"
        ),
    ]


def test_outsider_never_takes_id(tmp_path: Path) -> None:
    """A submission of no student on the roster must not become a student's grade."""
    roster = roster_of(tmp_path, "id,name,login\nann,Ann,\nb,Bo,ann\n")
    directory = write(tmp_path / "class", {"ann/problem_1.py": "whose?"})
    intake = read_class(directory, roster)
    assert [work.student.id for work in intake.submitted] == ["ann (not on the roster)"]
    assert [student.id for student in intake.missing] == ["ann", "b"]


def test_canvas_matched_by_number_or_name(tmp_path: Path) -> None:
    """The gradebook has Canvas's number; another roster may have only the name."""
    directory = write(tmp_path / "class", CANVAS)
    gradebook = 'Student,ID,SIS Login ID\n"Doe, Jane",101,jd1\n"Roe, John",102,jr2\n'
    assert {"101", "102"} <= by_id(read_class(directory, roster_of(tmp_path, gradebook))).keys()
    names = roster_of(tmp_path, "id,first name,last name\njd1,Jane,Doe\nlg3,Luis,García\n")
    found = by_id(read_class(directory, names))
    assert found["jd1"].student.on_roster
    assert found["lg3"].student.name == "Luis García"
    assert not found["102"].student.on_roster


def test_two_submissions_refused(tmp_path: Path) -> None:
    """A person must choose; ids that differ by case are one student."""
    directory = write(tmp_path / "class", {"alice/problem_1.py": "1", "Bob/problem_1.py": "1"})
    make_zip(directory / "alice.zip", {"problem_1.py": "2"})
    make_zip(directory / "bob.zip", {"problem_1.py": "2"})
    intake = read_class(directory)
    assert len(intake.submitted) == 2
    assert len(intake.problems) == 2
    with pytest.raises(
        UnusableSubmissionError, match=r"2 submissions are .*: alice and alice\.zip"
    ) as error:
        contents(by_id(intake)["alice"])
    assert error.value.needs_person


@pytest.mark.parametrize(
    ("files", "says", "needs_person"),
    [
        ({}, "there is nothing", False),
        ({"notes.txt": ""}, "there is notes.txt", False),
        ({"ada_set4.pdf": "%PDF"}, "there is ada_set4.pdf", True),
        ({"a/x.ipynb": "{}", "b/y.ipynb": "{}"}, "there is a, b", True),
        ({"a/problem_1.py": "1", "b/problem_1.py": "2"}, "several directories: a and b", True),
        ({"a.zip": "", "b.zip": ""}, "there are 2 archives: a.zip, b.zip", True),
        ({"a.zip": "no zip"}, "a.zip cannot be unpacked: it is not a zip", False),
        ({"1/2/3/4/problem_1.py": ""}, "there is 1", False),
    ],
)
def test_unusable_says_why(
    tmp_path: Path, files: dict[str, str], says: str, *, needs_person: bool
) -> None:
    """The refusal gives the reason, and tells if the student may have done nothing wrong."""
    (tmp_path / "class/alice").mkdir(parents=True)
    write(tmp_path / "class/alice", files)
    (work,) = read_class(tmp_path / "class").submitted
    with pytest.raises(UnusableSubmissionError, match=says) as error:
        contents(work)
    assert error.value.needs_person == needs_person
    assert error.value.next_step


@pytest.mark.parametrize(
    ("files", "collected"),
    [
        ({"hw/Problem_1.py": "1"}, ["Problem_1.py"]),
        ({"hw/lovelace_problem_2.py": "1"}, ["lovelace_problem_2.py"]),
        ({"a/problem_1.py": "1", "b/problem_2.py": "2"}, ["a/problem_1.py", "b/problem_2.py"]),
        ({"hw/solution.py": "1"}, ["solution.py"]),
        ({"hw/1a.txt": "because"}, ["1a.txt"]),
        ({"hw/Written/1A.md": "because"}, ["Written/1A.md"]),
    ],
)
def test_other_names(tmp_path: Path, files: dict[str, str], collected: list[str]) -> None:
    """Files under other names are found in the directories that wrap them, too."""
    (work,) = read_class(write(tmp_path / "class/alice", files).parent).submitted
    assert sorted(contents(work)) == collected


def test_nested_archives(tmp_path: Path) -> None:
    """Archives in directories in archives are opened, but not without end."""
    content: dict[str, str | bytes] = {"problem_1.py": "deep"}
    directory = tmp_path / "class"
    directory.mkdir()
    for name in ("alice.zip", "bob.zip", "carol.zip", "dora.zip"):
        archive = make_zip(directory / name, content)
        content = {"hw/homework.zip": archive.read_bytes()}
    found = by_id(read_class(directory))
    for name in ("alice", "bob", "carol"):
        assert contents(found[name]) == {"problem_1.py": "deep"}
    with pytest.raises(UnusableSubmissionError, match=r"there is hw"):
        contents(found["dora"])


def test_loose_link_not_read(tmp_path: Path) -> None:
    """A link among Canvas's files is not read, wherever it leads."""
    directory = write(tmp_path / "class", {"doejane_1_2_problem_1.py": "mine"})
    (tmp_path / "secret").write_text("secret")
    (directory / "doejane_1_3_problem_2.py").symlink_to(tmp_path / "secret")
    (work,) = read_class(directory).submitted
    assert contents(work) == {"problem_1.py": "mine"}


def test_unpacked_files_deleted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unpacked files are deleted after grading, and after a refusal."""
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    make_zip(write(tmp_path, {"class/doejane_1_2_..": ""}) / "class/a.zip", {"problem_1.py": ""})
    make_lying_zip(tmp_path / "class/b.zip", really_bytes=1_000_000)
    found = by_id(read_class(tmp_path / "class"))
    assert contents(found["a"]) == {"problem_1.py": ""}
    for name, says in [("b", "damaged"), ("1", "there is nothing")]:
        with pytest.raises(UnusableSubmissionError, match=says):
            contents(found[name])
    (tmp_path / "broken.zip").write_bytes(b"PK\x03\x04")
    with pytest.raises(UsageError):
        read_class(tmp_path / "broken.zip")
    read_class(make_zip(tmp_path / "class.zip", {"a/1.py": "", "b/1.py": ""}))
    assert list((tmp_path / "temporary").iterdir()) == []


def test_nothing_found(tmp_path: Path) -> None:
    """A directory without submissions, a missing one, or another file."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "image.png").write_bytes(b"\x89PNG\xff")
    (tmp_path / "broken.zip").write_bytes(b"PK\x03\x04")
    for name, says in [
        ("empty", "no submissions found"),
        ("nowhere", "there is no directory"),
        ("image.png", "not a directory, archive or list"),
        ("broken.zip", "cannot be unpacked"),
    ]:
        with pytest.raises(UsageError, match=says) as error:
            read_class(tmp_path / name)
        assert error.value.next_step


def one(tmp_path: Path) -> SubmittedWork:
    """The only submission of a class."""
    (work,) = read_class(tmp_path / "class").submitted
    return work


def test_pickled(tmp_path: Path) -> None:
    """A submission goes to another process with all that opening it needs."""
    write(tmp_path / "class", CANVAS)
    for work in read_class(tmp_path / "class").submitted:
        assert pickle.loads(pickle.dumps(work)) == work


@pytest.mark.parametrize(
    "change",
    [
        lambda directory: (directory / "problem_1.py").write_text("x = 2\n"),
        lambda directory: (directory / "problem_1.py").rename(directory / "problem_2.py"),
        lambda directory: (directory / "written").rename(directory / "text"),
        lambda directory: (directory / "empty.py").write_text(""),
        lambda directory: (directory / "problem_1.py").unlink(),
        lambda directory: (directory / "link").symlink_to("problem_1.py"),
    ],
)
def test_digest_changes(tmp_path: Path, change: Callable[[Path], object]) -> None:
    """The digest changes with names and contents, wherever they are."""
    directory = write(tmp_path / "class/alice", {"problem_1.py": "x = 1\n", "written/1A.md": "a"})
    before = submission_digest(one(tmp_path))
    change(directory)
    assert submission_digest(one(tmp_path)) != before


def test_digest_stays(tmp_path: Path) -> None:
    """Times, tools' files and the targets of links do not count."""
    directory = write(tmp_path / "class/alice", {"problem_1.py": "x = 1\n"})
    (directory / "link").symlink_to(tmp_path / "elsewhere")
    os.mkfifo(directory / "pipe")
    before = submission_digest(one(tmp_path))
    os.utime(directory / "problem_1.py", (1, 1))
    write(directory, {"__pycache__/x.pyc": "", ".git/index": "", "reports/r.html": ""})
    (tmp_path / "elsewhere").write_text("changed")
    assert submission_digest(one(tmp_path)) == before


def test_digest_of_archive_bytes(tmp_path: Path) -> None:
    """An archive counts by its bytes, unopened; so do loose files."""
    (tmp_path / "class").mkdir()
    archive = make_zip(tmp_path / "class/alice.zip", {"problem_1.py": "x = 1\n"})
    before = submission_digest(one(tmp_path))
    assert submission_digest(one(tmp_path)) == before
    with zipfile.ZipFile(archive, "a") as opened:
        opened.writestr("problem_2.py", "y")
    assert submission_digest(one(tmp_path)) != before
    archive.unlink()
    loose = write(tmp_path / "class", {"doejane_1_2_problem_1.py": "x"})
    before = submission_digest(one(tmp_path))
    write(loose, {"doejane_1_2_problem_1.py": "y"})
    assert submission_digest(one(tmp_path)) != before


def test_link_in_archive_noted(tmp_path: Path) -> None:
    """A member that is no file is left out with a note, as from a directory."""
    archive = tmp_path / "class" / "alice.zip"
    archive.parent.mkdir()
    make_symlink_zip(archive)
    with zipfile.ZipFile(archive, "a") as opened:
        opened.writestr("problem_2.py", "x")
    (work,) = read_class(tmp_path / "class").submitted
    with (
        open_submission(work, FILES) as found,
        collect(found.directory, FILES, {}, found.left_out) as submission,
    ):
        assert [(note.file, note.message) for note in submission.notes] == [
            ("problem_1.py", "left out: it is a symbolic link")
        ]


def test_closed_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A directory that cannot be read is that student's error, and nobody else's."""
    files = {f"{name}/problem_1.py": name for name in ("a", "b", "c")}
    directory = write(tmp_path / "class", files)
    may_access = os.access
    # Root may read everything, so permissions cannot be tried by whoever runs the tests.
    monkeypatch.setattr(
        os, "access", lambda path, mode: Path(path).name != "b" and may_access(path, mode)
    )
    intake = read_class(directory)
    found = by_id(intake)
    assert messages(intake) == ["b cannot be read: its permissions forbid it"]
    assert contents(found["a"]) == {"problem_1.py": "a"}
    assert submission_digest(found["b"]) != submission_digest(found["c"])
    with pytest.raises(UnusableSubmissionError, match="its permissions forbid it") as error:
        contents(found["b"])
    assert error.value.needs_person
