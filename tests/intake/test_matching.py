"""Whose a submission is: never somebody else's, and a person's when in doubt."""

from __future__ import annotations

from pathlib import Path

import pytest

from grader.intake.class_intake import Intake, find_submissions
from grader.intake.matching import Matcher
from grader.intake.roster import read_roster
from grader.intake.students import Identity, Platform, names_agree


def matcher(tmp_path: Path, text: str | bytes) -> Matcher:
    """The matcher of a roster with this content."""
    path = tmp_path / "roster.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return Matcher(read_roster(path))


def canvas(number: str, name: str = "") -> Identity:
    """A student of a download from Canvas."""
    return Identity(label=number, ids=(number,), name=name, platform=Platform.CANVAS)


def moodle(number: str, name: str) -> Identity:
    """A student of a download from Moodle."""
    return Identity(label=number, ids=(number,), name=name, platform=Platform.MOODLE)


def named(text: str) -> Identity:
    """A directory with this name."""
    return Identity(label=text, ids=(text,), name=text)


EVERY_PLATFORM = """\
ID,Student,SIS Login ID,Identifier,Email
101,"Doe, Jane",jd1,Participant 5001,jane.doe@example.edu
102,"García Márquez, José",jg2,Participant 5002,jose@example.edu
103,"Doe, John",jd3,Participant 5003,john@example.edu
104,"Doe, John",jd4,Participant 5004,john2@example.edu
"""


@pytest.mark.parametrize(
    ("identity", "ids"),
    [
        (named("101"), ["101"]),
        (named("JD1"), ["101"]),
        (named("5002"), ["102"]),
        (Identity(label="", email="Jose@Example.edu"), ["102"]),
        (named("jane.doe"), ["101"]),
        (Identity(label="", name="Jane Doe"), ["101"]),
        (Identity(label="", name="doejane"), ["101"]),
        (Identity(label="", name="garcíamárquezjosé"), ["102"]),
        (Identity(label="", name="Jose Garcia-Marquez"), ["102"]),
        (Identity(label="", name="John Doe"), ["103", "104"]),
        (Identity(label="", ids=("jd4",), name="John Doe"), ["104"]),
        (Identity(label="", ids=("101",), name="doejohn"), ["101", "103", "104"]),
        (Identity(label="", ids=("101",), email="jose@example.edu"), ["101", "102"]),
        (Identity(label="", ids=("101",), name="Jenny Doe"), ["101"]),
        (Identity(label="", name="Jane"), []),
        (Identity(label="", name="!?"), []),
        (canvas("101", "doejane"), ["101"]),
        (canvas("5001", "doejane"), ["101"]),
        (moodle("5004", "John Doe"), ["104"]),
        (moodle("5004", "Participant"), ["104"]),
        (moodle("5002", "Group 1-José García Márquez"), ["102"]),
        (moodle("101", "Somebody Else"), []),
    ],
)
def test_students(tmp_path: Path, identity: Identity, ids: list[str]) -> None:
    """An id counts before an address, an address before a name; one student is certain."""
    match = matcher(tmp_path, EVERY_PLATFORM).match(identity)
    assert [student.id for student in match.students] == ids
    assert match.certain == (len(ids) == 1)


CANVAS = 'Student,ID,SIS User ID\n"Apple, Anna",1001,5001\n"Same, Sam",1002,2043\n'
MOODLE = "First name,Surname,ID number\nAnna,Apfel,1001\nBen,Birne,1003\n"
WORKSHEET = (
    "Identifier,Full name,Status\nParticipant 1001,Anna Maier,-\nParticipant 1002,Anna Maier,-\n"
)
GERMAN = "ID,Vollständiger Name,E-Mail-Adresse\nTeilnehmer/in1001,Anna Apfel,a@b.org\n"
TEAMS = """\
Identifier,Full name,ID number,Group
Participant 55,Ada Lovelace,1001,Other
Participant 56,Grace Hopper,1018,Team COBOL
Participant 57,Jean Sammet,1019,Team COBOL
"""
CLASSROOM = '"identifier","github_username","github_id","name"\n"1001","octo-anna","5551","Anna"\n'


@pytest.mark.parametrize(
    ("roster", "identity", "ids", "certain"),
    [
        (CANVAS, canvas("2043", "droppeddora"), [], False),
        (CANVAS, canvas("1001", "appleanna"), ["1001"], True),
        (CANVAS, canvas("1002", "droppeddora"), ["1002"], False),
        (MOODLE, moodle("1001", "Dora Dropped"), [], False),
        (MOODLE, moodle("1002", "Ben Birne"), ["1003"], True),
        (WORKSHEET, moodle("1002", "Anna Maier"), ["Participant 1002"], True),
        (WORKSHEET, moodle("7", "Anna Maier"), ["Participant 1001", "Participant 1002"], False),
        (GERMAN, moodle("1001", "Anna Apfel"), ["Teilnehmer/in1001"], True),
        (GERMAN, moodle("1001", "Teilnehmer"), ["Teilnehmer/in1001"], True),
        (TEAMS, moodle("55", "Team COBOL"), ["1018", "1019"], True),
        (TEAMS, moodle("55", "Default group"), ["1001"], False),
        (TEAMS, moodle("999", "Default group"), [], False),
        (TEAMS, canvas("88", "teamcobol"), ["1018", "1019"], True),
        (TEAMS, named("Team COBOL"), ["1018", "1019"], True),
        (CLASSROOM, named("octo-anna"), ["1001"], True),
        ("id,name\n12345,Zoe\n", named("0012345"), ["12345"], True),
        ("id,name\n12345,Zoe\n0012345,Zack\n", named("0012345"), ["0012345"], True),
    ],
)
def test_platforms(
    tmp_path: Path, roster: str, identity: Identity, ids: list[str], *, certain: bool
) -> None:
    """A number is its own platform's only, and a name that contradicts it asks a person."""
    match = matcher(tmp_path, roster).match(identity)
    assert ([student.id for student in match.students], match.certain) == (ids, certain)


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("id;name\n1;Zoë Müller\n".encode("utf-16"), ["1"]),
        ("id;name\n1;Zoë Müller\n".encode("cp1252"), ["1"]),
        ("id,name\n1,김철수\n2,이영희\n3,박민수\n".encode("cp949"), ["1", "2", "3"]),
    ],
)
def test_encodings(tmp_path: Path, text: bytes, ids: list[str]) -> None:
    """Names survive other encodings than UTF-8, and a guess is said."""
    roster = matcher(tmp_path, text).roster
    assert [student.id for student in roster.students] == ids
    assert roster.students[0].name in {"Zoë Müller", "김철수"}
    assert bool(roster.note) == (not text.startswith(b"\xff\xfe"))


@pytest.mark.parametrize(
    ("role", "kept"),
    [("Learner", True), ("STUDENT", True), ("Student, Grader", True), ("TA", False), ("", True)],
)
def test_roles(tmp_path: Path, role: str, *, kept: bool) -> None:
    """Whoever is a student among other things is a student."""
    path = tmp_path / "roster.csv"
    path.write_text(f'id,name,roles\n1,Zoe,"{role}"\n2,M,Student\n')
    assert [student.id for student in read_roster(path).students] == ["1", "2"][not kept :]


@pytest.mark.parametrize(
    ("name", "other", "agree"),
    [
        ("droppeddora", "Same, Sam", False),
        ("Dora Dropped", "Ben Birne", False),
        ("appleanna", "Apple, Anna", True),
        ("Anna Maria Apfel", "Anna Apfel", True),
        ("", "Anna", True),
        ("李雷", "Li Lei", True),
        ("Zoe Muller", "Zoë Müller", True),
    ],
)
def test_names_agree(name: str, other: str, *, agree: bool) -> None:
    """Two names contradict each other if no word is in both."""
    assert names_agree(name, other) is agree
    assert names_agree(other, name) is agree


def intake_of(tmp_path: Path, roster: str, names: list[str], **settled: list[str]) -> Intake:
    """The intake of a class of directories with these names."""
    for name in names:
        (tmp_path / "class" / name).mkdir(parents=True)
        (tmp_path / "class" / name / "problem_1.py").touch()
    (tmp_path / "roster.csv").write_text(roster)
    with find_submissions(tmp_path / "class", read_roster(tmp_path / "roster.csv"), settled) as one:
        return one


def test_group_members(tmp_path: Path) -> None:
    """Every member of a group has its submission, and is not compared with the others."""
    intake = intake_of(tmp_path, TEAMS, ["Team COBOL_55_assignsubmission_file"])
    assert [work.student.id for work in intake.submitted] == ["1018", "1019"]
    assert len({work.shared_as for work in intake.submitted} - {""}) == 1
    assert [student.id for student in intake.missing] == ["1001"]


def test_classroom_prefix(tmp_path: Path) -> None:
    """The assignment's name before a login is left out, but no part of a student's own name."""
    roster = "id,github_username\n1,ann\n2,ben\n3,paul\n"
    intake = intake_of(tmp_path, roster, ["set4-ann", "set4-ben", "jean-paul"])
    assert [work.student.id for work in intake.submitted] == ["1", "2", "jean-paul"]


def test_settled(tmp_path: Path) -> None:
    """What a person said counts; the others are suggestions."""
    roster = "id,name\n1,Jon Doe\n2,Ann Lee\n3,Bo Xu\n"
    intake = intake_of(tmp_path, roster, ["john doe", "x", "y"], x=["2", "3"], y=[])
    whose = {work.student.id: work.whose for work in intake.submitted}
    assert whose.pop("john doe") == (
        "john doe is not on the roster; Jon Doe (1) handed in nothing: say who it is by "
        "`grade class match 'john doe' ID`"
    )
    assert whose == {"2": "", "3": ""}
    assert intake.settled == ("x", "y")
