"""Rosters: what learning platforms export is understood, and every mistake is named at once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from grader.errors import UsageError
from grader.intake.roster import Roster, read_roster
from grader.intake.students import Student


def read(tmp_path: Path, text: str | bytes) -> Roster:
    """The roster with this content."""
    path = tmp_path / "roster.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_roster(path)


def mistakes(tmp_path: Path, text: str | bytes) -> list[str]:
    """Return the mistakes of a roster, one per line."""
    with pytest.raises(UsageError) as error:
        read(tmp_path, text)
    assert error.value.next_step
    return [line.removeprefix("  - ") for line in str(error.value).splitlines()]


JANE = Student(id="jd1", name="Jane Doe", email="jane@example.edu")


def without_header(students: tuple[Student, ...]) -> tuple[Student, ...]:
    """The students, whatever the header of their ids."""
    return tuple(replace(student, id_header="") for student in students)


@pytest.mark.parametrize(
    "text",
    [
        "id,name,email\njd1,Jane Doe,jane@example.edu\n",
        "\ufeffID;Name;E-Mail\r\njd1;Jane Doe;jane@example.edu\r\n",
        "sep=;\r\nID;Name;E-Mail\r\njd1;Jane Doe;jane@example.edu\r\n",
        "Email\tFull name\tStudent ID\njane@example.edu\tJane Doe\tjd1\n",
        '"First Name","Last Name",SID,Email\n\nJane,Doe,jd1,jane@example.edu\n\n',
        "First name,Surname,ID number,Email address\n Jane , Doe ,jd1,jane@example.edu\n",
        "first_name,last_name,student_id,email\nJane,Doe,jd1,jane@example.edu,,\n",
    ],
)
def test_headers(tmp_path: Path, text: str) -> None:
    """Headers of all platforms, in any order and case, between commas, semicolons or tabs."""
    assert without_header(read(tmp_path, text).students) == (JANE,)


def test_other_columns_kept(tmp_path: Path) -> None:
    """Other columns are kept as text by their headers; a short row has empty ones."""
    roster = read(tmp_path, "id,Section,extension_days\n007,A,2\n008\n")
    assert [student.id for student in roster.students] == ["007", "008"]
    assert roster.students[0].columns == {"Section": "A", "extension_days": "2"}
    assert roster.students[1].columns == {"Section": "", "extension_days": ""}


def test_email_as_id(tmp_path: Path) -> None:
    """An email address is the id if no column has one."""
    found = read(tmp_path, "email\na@b.org\n").students
    assert found == (Student(id="a@b.org", email="a@b.org", id_header="email"),)


def test_other_rows_skipped(tmp_path: Path) -> None:
    """Canvas's points and test student, and Gradescope's staff, are no students."""
    canvas = (
        'Student,ID,SIS Login ID\n"    Points Possible",,\n"Student, Test",9,t\n"Doe, Jane",1,jd1\n'
    )
    assert [student.id for student in read(tmp_path, canvas).students] == ["1"]
    posted_by_hand = 'Student,ID,SIS Login ID,Set 4 (9)\n,,,Manual Posting\n"Doe, Jane",1,jd1,\n'
    assert [student.id for student in read(tmp_path, posted_by_hand).students] == ["1"]
    gradescope = "Name,SID,Email,Role\nJ,1,j@b.org,Student\nT,2,t@b.org,TA\nI,,i@b.org,Instructor\n"
    assert [student.id for student in read(tmp_path, gradescope).students] == ["1"]


def test_all_mistakes_at_once(tmp_path: Path) -> None:
    """Each mistake has the line in which its row begins, even if a cell has two lines."""
    text = (
        "id,name,email,name\n"
        'a,"one\ntwo",a@b.org,\n'
        ",nobody,,\n"
        "A,again,a2@b.org,\n"
        "c,Carol,carol at home,\n"
        "d,Dora,d@b.org,,surplus\n"
        "e\u202ef,hidden,,\n"
    )
    assert mistakes(tmp_path, text) == [
        "the roster has 6 mistakes:",
        "roster.csv:1: 2 columns are headed 'name'",
        "roster.csv:4: the id is missing",
        "roster.csv:5: the id A is in line 2 already",
        "roster.csv:6: carol at home is not an email address",
        "roster.csv:7: 5 cells, but only 4 headers",
        "roster.csv:8: the id e\\u202ef has hidden characters",
    ]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "roster.csv is empty"),
        ("id,name\n", "roster.csv:1: there is no student below the header"),
        ("a,b\n1,2\n", "roster.csv:1: no column is headed id or email; the headers are: a, b"),
        ('id,name\n1,"open\n', "roster.csv:2: this is not a CSV file: unexpected end of data"),
    ],
)
def test_bad_roster_refused(tmp_path: Path, text: str | bytes, says: str) -> None:
    """A file that is no roster is refused with the line number, if any."""
    assert says in mistakes(tmp_path, text)


def test_missing_roster(tmp_path: Path) -> None:
    """A missing file is named, and a directory is no roster."""
    with pytest.raises(UsageError, match=r"no\.csv cannot be read"):
        read_roster(tmp_path / "no.csv")
    with pytest.raises(UsageError, match="cannot be read"):
        read_roster(tmp_path)
