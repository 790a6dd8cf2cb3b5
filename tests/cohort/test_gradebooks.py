"""Gradebook files, read back as their systems read them and compared with the store."""

import csv
import io
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grader.cohort.gradebooks import FORMATS, Column, write_gradebook
from grader.cohort.gradebooks.moodle import has_worksheet, not_on_the_worksheet, participant
from grader.cohort.store import Store
from grader.cohort.summary import ItemSummary, Status, StudentSummary
from grader.intake.roster import participant_number
from grader.intake.students import Student
from grader.results import Lateness, Outcome, Score

COLUMN = Column(title="Set 4 (12345)", points_possible=100)
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
points = st.floats(0, 100).map(lambda value: round(value, 3))


@st.composite
def summaries(draw: st.DrawFn) -> list[StudentSummary]:
    """A class, as hostile as its students' names can make it."""
    plain = texts.filter(lambda one: one.strip() and not participant_number(one))
    ids = draw(st.lists(plain, min_size=1, max_size=8, unique=True))
    return [draw(one_summary(student_id)) for student_id in sorted(ids)]


@st.composite
def one_summary(draw: st.DrawFn, student_id: str) -> StudentSummary:
    earned = draw(points)
    kept = draw(st.sampled_from([1.0, 0.9, 0.0]))
    return StudentSummary(
        student=Student(id=student_id, name=draw(texts), email=draw(texts)),
        status=draw(st.sampled_from(list(Status))),
        score=Score(possible=100, earned=earned, lost=100 - earned),
        final_points=earned * kept,
        late=Lateness(share_kept=kept, penalty_points=earned - earned * kept),
        message=draw(texts),
        items=(
            ItemSummary(
                id="1D",
                part="1D",
                title="OR",
                kind="truth-table",
                outcome=Outcome.PASSED,
                score=Score(possible=100, earned=earned),
            ),
        ),
    )


def write(format_name: str, members: list[StudentSummary]) -> list[list[str]]:
    file = io.StringIO(newline="")
    FORMATS[format_name](members, COLUMN, file)
    return list(csv.reader(io.StringIO(file.getvalue(), newline="")))


def points_of(rows: list[list[str]], header: str) -> list[float | None]:
    position = rows[0].index(header)
    return [float(row[position]) if row[position] else None for row in rows[1:]]


@pytest.mark.parametrize(
    ("format_name", "header", "rows_above"),
    [
        ("canvas", COLUMN.title, 1),
        ("moodle", COLUMN.title, 0),
        ("nbgrader", "score", 0),
        ("csv", "points", 0),
    ],
)
@settings(max_examples=20, deadline=None)
@given(members=summaries())
def test_points_read_back(format_name, header, rows_above, members, tmp_path_factory):
    """The points in a gradebook file are those of the store."""
    with Store(tmp_path_factory.mktemp("class") / "class.sqlite") as store:
        for member in members:
            store.record(member, inputs_sha256="", result=None)
        kept = list(store.summaries())
    rows = write(format_name, kept)
    assert len({len(row) for row in rows}) == 1
    read = points_of(rows, header)[rows_above:]
    wanted = [
        None if each.status in {Status.MISSING, Status.ERROR} else each.final_points
        for each in kept
    ]
    assert read == pytest.approx(wanted, abs=1e-4)


@pytest.mark.parametrize("format_name", list(FORMATS))
@settings(max_examples=30, deadline=None)
@given(members=summaries())
def test_cells(format_name, members):
    """No cell is a formula or contains a line break."""
    for row in write(format_name, members):
        for cell in row:
            assert "\n" not in cell
            assert "\r" not in cell
            assert cell == "-" or not cell.startswith(FORMULA_STARTS)


@pytest.mark.parametrize(
    "name",
    ["Participant 17", "Participant17", "Teilnehmer/in17", "Deltagare17", "Účastník17", "参加者17"],
)
def test_moodle_participants(name):
    assert participant_number(name) == "17"


@pytest.mark.parametrize("account", ["abc123", "AAA0", "jean-luc.17", "a_turing12", "ada@b1"])
def test_moodle_accounts(account):
    """A university's account is no identifier of Moodle's: feedback would go to its number."""
    student = Student(id=account, name="Ada", columns={"id": account, "name": "Ada"})
    summary = StudentSummary(student=student, status=Status.GRADED, score=Score(possible=100))
    assert not has_worksheet([summary])
    assert participant(summary) == ""
    assert write("moodle", [summary])[0][0] == "ID number"


@pytest.mark.parametrize(("modified", "cell"), [("=1+1", "'=1+1"), ("-", "-"), ("-=1", "'-=1")])
def test_moodle_times(modified, cell):
    """A roster's own column cannot bring a formula into the worksheet."""
    columns = {"Identifier": "Participant 7", "Last modified (grade)": modified}
    student = Student(id="7", name="Zoe", columns=columns)
    _, row = write(
        "moodle", [StudentSummary(student=student, status=Status.GRADED, score=Score(possible=1))]
    )
    assert row[3] == cell


def test_moodle_other_language():
    """A worksheet comes back with every column, under its own headers."""
    columns = {
        "ID": "Teilnehmer/in7",
        "Vollständiger Name": "Ann",
        "Bewertung": "",
        "Bestwertung": "100,00",
        "Feedback als Kommentar": "",
    }
    student = Student(id="Teilnehmer/in7", name="Ann", columns=columns)
    member = StudentSummary(
        student=student, status=Status.GRADED, score=Score(possible=100), final_points=61.5
    )
    stranger = StudentSummary(
        student=Student(id="8", on_roster=False), status=Status.GRADED, score=Score(possible=100)
    )
    header, row = write("moodle", [member, stranger])
    assert dict(zip(header, row, strict=True)) == columns | {"Bewertung": "61.5"}


def test_canvas_knows_whose_id():
    """No number of another kind stands under "SIS User ID", and no stranger in the table."""
    students = [
        Student(id="7", name="A", id_header="sid"),
        Student(id="ann", name="B", id_header="login"),
        Student(id="octo", name="C", id_header="github_username"),
        Student(id="2043", name="D", on_roster=False),
    ]
    members = [
        StudentSummary(student=student, status=Status.GRADED, score=Score(possible=100))
        for student in students
    ]
    assert [row[:4] for row in write("canvas", members)[2:]] == [
        ["A", "", "7", ""],
        ["B", "", "", "ann"],
        ["C", "", "", ""],
    ]


def test_canvas():
    """Canvas's own export as the roster gives Canvas's ids back."""
    student = Student(
        id="81",
        name="Müller, Zoë",
        columns={"SIS User ID": "s-1", "SIS Login ID": "zoe", "Section": "A"},
    )
    member = StudentSummary(
        student=student, status=Status.GRADED, score=Score(possible=100), final_points=61.5
    )
    header, possible, row = write("canvas", [member])
    assert header == ["Student", "ID", "SIS User ID", "SIS Login ID", "Section", "Set 4 (12345)"]
    assert possible == ["Points Possible", "", "", "", "", "100"]
    assert row == ["Müller, Zoë", "81", "s-1", "zoe", "A", "61.5"]


def test_canvas_without_sis_ids():
    """An export without the school's ids still gives Canvas's ids back."""
    student = Student(id="81", name="Müller, Zoë", columns={"SIS Login ID": "zoe", "Section": "A"})
    member = StudentSummary(student=student, status=Status.GRADED, score=Score(possible=100))
    assert write("canvas", [member])[2][:4] == ["Müller, Zoë", "81", "", "zoe"]


def test_moodle():
    """Moodle's worksheet comes back with its identifiers."""
    student = Student(
        id="7", name="Ann", columns={"Identifier": "Participant 7", "Last modified (grade)": "-"}
    )
    member = StudentSummary(
        student=student, status=Status.GRADED, score=Score(possible=100), final_points=80
    )
    header, row = write("moodle", [member])
    assert dict(zip(header, row, strict=True)) == {
        "Identifier": "Participant 7",
        "Full name": "Ann",
        "Email address": "",
        "Grade": "80",
        "Maximum Grade": "100",
        "Last modified (grade)": "-",
    }


def test_moodle_unknown_student():
    """A student without an identifier is left out; without any there is no worksheet."""
    ann = Student(id="Participant 1", columns={"Identifier": "Participant 1"})
    stranger = Student(id="stranger")
    members = [
        StudentSummary(student=student, status=Status.GRADED, score=Score(possible=100))
        for student in (ann, stranger)
    ]
    header, *rows = write("moodle", members)
    assert header[0] == "Identifier"
    assert [row[0] for row in rows] == ["Participant 1"]
    assert not_on_the_worksheet(members) == ["stranger"]
    assert not_on_the_worksheet(members[1:]) == []


def test_missing_as_zero(tmp_path: Path):
    """A missing student gets 0 only with `missing_as_zero`."""
    member = StudentSummary(
        student=Student(id="a"), status=Status.MISSING, score=Score(possible=100, undecided=100)
    )
    assert COLUMN.points(member) == ""
    zero = Column(title="Set 4", points_possible=100, missing_as_zero=True)
    assert zero.points(member) == "0"


@pytest.mark.parametrize("format_name", list(FORMATS))
def test_persian_name(format_name, tmp_path):
    """A zero-width non-joiner in a Persian name reaches every gradebook file unchanged."""
    name = "علی\u200cرضا محمدی"  # noqa: RUF001
    member = StudentSummary(
        student=Student(id="7", name=name), status=Status.GRADED, score=Score(possible=100)
    )
    path = tmp_path / "grades.csv"
    write_gradebook(format_name, [member], COLUMN, path)
    cells = {cell for row in csv.reader(path.read_text("utf-8-sig").splitlines()) for cell in row}
    if format_name == "nbgrader":
        assert set(name.split(" ")) <= cells
    else:
        assert name in cells
