"""One class of 24, as each platform hands it to the instructor: its download, and its roster."""

from __future__ import annotations

import csv
import io
import os
import shutil
import subprocess
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from pathlib import Path
from zoneinfo import ZoneInfo

from PIL import Image

from tests.support.archive_samples import Files, make_zip

BERLIN = ZoneInfo("Europe/Berlin")
SLIP_DAYS = "slip_days_used"


@dataclass(frozen=True, kw_only=True)
class Member:
    """A student; `slip_days` were used in earlier assignments.

    Attributes:
        key: the login, by which the tests speak of the student.
        given, family: the name.
        number: ends every platform's own number of the student.
        submitted: when, in Berlin; "" if nothing was submitted.
    """

    key: str
    given: str
    family: str
    number: int
    submitted: str = "2026-03-09 21:30"
    slip_days: str = ""

    @property
    def name(self) -> str:
        return f"{self.given} {self.family}".strip()

    @property
    def email(self) -> str:
        return f"{self.key}@example.edu"

    @property
    def school(self) -> str:
        return f"{4000 + self.number}"

    @property
    def time(self) -> datetime:
        return datetime.fromisoformat(self.submitted).replace(tzinfo=BERLIN)

    @property
    def files(self) -> Files:
        """The files of the student's own directory."""
        return _files_of(self.key)

    @property
    def is_late(self) -> bool:
        return self.submitted > "2026-03-09 23:59"


_NAMES = (
    *(("ada", "Ada", "Lovelace"), ("ben", "Ben", "Birne"), ("zoe", "Zoë", "Müller-Lüdenscheidt")),
    *(("dan", "Daniel", "D'Arcy"), ("mara", "Mara", "Muñoz"), ("anna1", "Anna", "Maier")),
    *(("anna2", "Anna", "Maier"), ("ann", "Ann", "Lee"), ("bob", "Bob", "Byrd")),
    *(("carl", "Carl", "Klein"), ("dora", "Dora", "Diaz"), ("paul", "Paul", "Papier")),
    *(("nils", "Nils", "Nichts"), ("pia", "Pia", "Pfeiffer"), ("fred", "Fred", "Foto")),
    *(("siobhan", "Siobhán", "O'Brien"), ("jose", "José Ángel", "Álvarez-Núñez")),
    *(("minh", "Thị Minh", "Nguyễn"), ("li", "小龙", "李"), ("lukasz", "Łukasz", "Żółć")),
    *(("piet", "Piet", "van der Berg"), ("sukarno", "", "Sukarno")),
    *(("jeanluc", "Jean-Luc", "Picard"), ("grace", "Grace", "Hopper")),
)
_UNUSUAL = {
    "zoe": {"submitted": "2026-03-10 09:15"},
    "dan": {"submitted": "2026-03-12 20:00", "slip_days": "4"},
    "mara": {"submitted": "2026-03-11 10:00"},
    "paul": {"submitted": ""},
    "nils": {"submitted": ""},
}
ROSTER = tuple(
    Member(key=key, given=given, family=family, number=number, **_UNUSUAL.get(key, {}))
    for number, (key, given, family) in enumerate(_NAMES, start=1)
)
"""Everybody on the roster. Ann and Bob are a team; the two Anna Maiers are two people."""

AUDITOR = Member(key="otto", given="Otto", family="Gast", number=99)
"""Hands in, and is not on the roster."""

DEE = "Dee"
"""The name under which Dora hands in, from an account that the roster does not have."""

TEAM = "Team COBOL"
SUBMITTED = tuple(one for one in ROSTER if one.submitted)
ALONE = tuple(one for one in SUBMITTED if one.key not in {"ann", "bob", "dora"})
_PLACES = {one.key: place for place, one in enumerate(ROSTER)}
ANN, BOB, DORA = (ROSTER[_PLACES[key]] for key in ("ann", "bob", "dora"))

_CODE = {"ada": (6, "relu"), "ben": (7, "rellu"), "zoe": (7, "relu")}
"""The answers of those who hand in code: the number and the name of the layer."""


@cache
def _files_of(key: str) -> dict[str, str | bytes]:
    author = "team" if key in {"ann", "bob"} else key
    files: dict[str, str | bytes] = {
        "written/1A.md": f"Because {author} says so: a sum has the sum of its terms' gradients.",
        "written/1B.md": f"So {author} halves the step.",
    }
    if key in _CODE:
        number, layer = _CODE[key]
        files["answers.py"] = (
            f"def number():\n    return {number}\n\ndef layer():\n    return {layer!r}\n"
        )
    kind = {"pia": "pdf", "fred": "jpeg"}.get(key)
    if kind or key == "jeanluc":
        del files["written/1B.md"]
    if kind:
        picture = io.BytesIO()
        Image.new("RGB", (300, 200), "orange").save(picture, kind)
        files[f"written/1B.{kind}"] = picture.getvalue()
    return files


@dataclass(frozen=True, kw_only=True)
class ClassLayout:
    """A class as a platform hands it out.

    Attributes:
        name: in `LAYOUTS`.
        submissions, roster: names in the directory of the course.
        words: ids and labels by the words that stand for them in docs/teaching.md. A command with a
            word that is missing here is not needed: the platform knows.
        more: further commands that say what the platform does not carry.
        export, back: the formats of `grade export` and `grade release --for`.
    """

    name: str
    submissions: str
    roster: str
    words: Mapping[str, str]
    more: tuple[tuple[str, ...], ...] = ()
    export: str = "csv"
    back: str = "mail"


@dataclass(frozen=True, kw_only=True)
class _Table:
    """A roster in the making: a function for each column."""

    columns: Mapping[str, Callable[[Member], str]]
    above: tuple[str, ...] = field(default=())

    def write(self, path: Path, members: Iterable[Member] = ROSTER) -> None:
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(self.columns)
            writer.writerows([self.above] if self.above else [])
            writer.writerows([column(one) for column in self.columns.values()] for one in members)


def _words(identify: Callable[[Member], str], **labels: str) -> dict[str, str]:
    """Each student's id, and labels of submissions: `dee` is 2043 in docs/teaching.md."""
    known = {one.key: identify(one) for one in ROSTER} | {"ann,bob": ""}
    known["ann,bob"] = f"{known['ann']},{known['bob']}"
    names = {"dee": "2043", "otto": "2044", "team": "team7"}
    return known | {names.get(name, name): label for name, label in labels.items()}


def _below(directory: str, files: Files) -> Files:
    return {f"{directory}/{name}": content for name, content in files.items()}


def _write(directory: Path, files: Files) -> None:
    for name, content in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)


def _zipped(directory: Path, files: Files) -> bytes:
    return make_zip(directory / "one.zip", files).read_bytes()


_SLIP = {SLIP_DAYS: lambda one: one.slip_days}
_TIMES = {"submitted_at": lambda one: one.submitted}
_PLAIN = _Table(
    columns={
        "id": lambda one: one.key,
        "name": lambda one: one.name,
        "email": lambda one: one.email,
        **_TIMES,
        **_SLIP,
    }
)
"""A table of the instructor's own. Folders carry no time, so the table does."""


def _folders() -> Files:
    """A folder for each student, by login, name or address; one for the team."""
    files: dict[str, str | bytes] = {}
    for one in ALONE:
        folder = {"zoe": one.name, "siobhan": one.name, "jose": one.email}.get(one.key, one.key)
        files |= _below(folder, one.files)
    files |= _below("team7", ANN.files)
    return files | _below("2043", DORA.files) | _below("2044", AUDITOR.files)


def make_folders(course: Path) -> ClassLayout:
    """A zip of folders, word by word as in docs/teaching.md."""
    make_zip(course / "submissions.zip", _folders())
    _PLAIN.write(course / "gradebook.csv")
    words = _words(lambda one: one.key, dee="2043", otto="2044", team="team7")
    return ClassLayout(
        name="folders",
        submissions="submissions.zip",
        roster="gradebook.csv",
        words=words,
        export="canvas",
        back="moodle",
    )


def make_directory(course: Path) -> ClassLayout:
    """The same folders in a directory."""
    layout = make_folders(course)
    (course / "submissions.zip").unlink()
    _write(course / "class", _folders())
    return ClassLayout(
        name="directory", submissions="class", roster=layout.roster, words=layout.words
    )


def make_zip_of_zips(course: Path) -> ClassLayout:
    """A zip with a zip for each student, in which a folder lies; both of the team hand in."""
    files = {
        f"{name}.zip": _zipped(course, _below("homework", one.files))
        for name, one in [
            *((one.school, one) for one in (*ALONE, ANN, BOB)),
            *(("dee", DORA), ("otto", AUDITOR)),
        ]
    }
    make_zip(course / "all.zip", files)
    columns = {"student id": lambda one: one.school, "name": lambda one: one.name}
    _Table(columns=columns | _TIMES | _SLIP).write(course / "students.csv")
    words = _words(lambda one: one.school, dee="dee", otto="otto")
    return ClassLayout(name="zips", submissions="all.zip", roster="students.csv", words=words)


def make_canvas(course: Path) -> ClassLayout:
    """Canvas: flat files with numbers, and a mark for late ones but no time."""
    files: dict[str, str | bytes] = {}

    def add(who: str, number: int, one: Member, *, packed: bool = False) -> None:
        late = "LATE_" if one.is_late else ""
        own = {"homework.zip": _zipped(course, one.files)} if packed else one.files
        for place, (name, content) in enumerate(own.items()):
            uploaded = name.rpartition("/")[2].replace("1A.md", "1A-1.md")
            files[f"{who}_{late}{number}_{90_000 + 10 * number + place}_{uploaded}"] = content

    for one in ALONE:
        name = "".join(filter(str.isalnum, f"{one.family}{one.given}".lower()))
        add(name, 7000 + one.number, one, packed=one.number % 3 == 0)
    add("teamcobol", 7000 + ANN.number, ANN)
    add(DEE.lower(), 4001, DORA)  # the number is Ada's at the school, but not in Canvas
    add("gastotto", 7000 + AUDITOR.number, AUDITOR)
    make_zip(course / "canvas.zip", files)
    table = _Table(
        columns={
            "Student": lambda one: f"{one.family}, {one.given}".rstrip(", "),
            "ID": lambda one: f"{7000 + one.number}",
            "SIS User ID": lambda one: one.school,
            "SIS Login ID": lambda one: one.key,
            "Section": lambda _: "S1",
            "Mine (12345)": lambda _: "",
            "group": lambda one: TEAM if one.key in {"ann", "bob"} else "",
            **_SLIP,
        },
        above=("    Points Possible", "", "", "", "", "100", "", ""),
    )
    table.write(course / "canvas.csv")
    times = tuple(
        ("grade", "class", "time", one.key, one.submitted) for one in SUBMITTED if one.is_late
    )
    return ClassLayout(
        name="canvas",
        submissions="canvas.zip",
        roster="canvas.csv",
        words=_words(lambda one: f"{7000 + one.number}", dee="4001", otto="7099"),
        more=tuple(time for time in times if "mara" not in time),
        export="canvas",
        back="canvas",
    )


_GERMAN_DAYS = ("Montag", "Dienstag", "Mittwoch", "Donnerstag", "Freitag", "Samstag", "Sonntag")


def _moodle_files() -> Files:
    files: dict[str, str | bytes] = {}
    for one in ALONE:
        files |= _below(f"{one.name}_{500 + one.number}_assignsubmission_file", one.files)
        page = f"{one.name}_{500 + one.number}_assignsubmission_onlinetext/onlinetext.html"
        files |= {page: "<p>See my files.</p>"} if one.number % 4 == 0 else {}
    files |= _below(f"{TEAM}_{500 + ANN.number}_assignsubmission_file", ANN.files)
    files |= _below(f"{DEE}_571_assignsubmission_file", DORA.files)
    return files | _below(f"{AUDITOR.name}_572_assignsubmission_file", AUDITOR.files)


def _team(one: Member) -> str:
    return TEAM if one.key in {"ann", "bob"} else "-"


def make_moodle(course: Path) -> ClassLayout:
    """Moodle: a directory for each participant, and the grading worksheet with the times."""
    make_zip(course / "moodle.zip", _moodle_files())
    columns = {
        "Identifier": lambda one: f"Participant {500 + one.number}",
        "Full name": lambda one: one.name,
        "ID number": lambda one: one.school,
        "Email address": lambda one: one.email,
        "Status": lambda one: "Submitted for grading - " if one.submitted else "No submission - ",
        "Group": _team,
        "Grade": lambda _: "",
        "Maximum Grade": lambda _: "100.00",
        "Grade can be changed": lambda _: "Yes",
        "Last modified (submission)": lambda one: (
            f"{one.time:%A, %d %B %Y, %I:%M %p}" if one.submitted else "-"
        ),
        "Last modified (grade)": lambda _: "-",
        "Feedback comments": lambda _: "",
        **_SLIP,
    }
    _Table(columns=columns).write(course / "worksheet.csv")
    words = _words(lambda one: one.school, dee="571", otto="572")
    return ClassLayout(
        name="moodle",
        submissions="moodle.zip",
        roster="worksheet.csv",
        words=words,
        export="moodle",
        back="moodle",
    )


def make_german_moodle(course: Path) -> ClassLayout:
    """Moodle's worksheet as a German instructor downloads it."""
    make_zip(course / "moodle.zip", _moodle_files())

    def time(one: Member) -> str:
        if not one.submitted:
            return "-"
        return f"{_GERMAN_DAYS[one.time.weekday()]}, {one.time.day}. März {one.time:%Y, %H:%M}"

    columns = {
        "ID": lambda one: f"Teilnehmer/in{500 + one.number}",
        "Vollständiger Name": lambda one: one.name,
        "ID-Nummer": lambda one: one.school,
        "E-Mail-Adresse": lambda one: one.email,
        "Status": lambda one: "Zur Bewertung abgegeben" if one.submitted else "Keine Abgabe",
        "Gruppe": _team,
        "Bewertung": lambda _: "",
        "Bestwertung": lambda _: "100,00",
        "Bewertung kann geändert werden": lambda _: "Ja",
        "Zuletzt geändert (Abgabe)": time,
        "Zuletzt geändert (Bewertung)": lambda _: "-",
        "Feedback als Kommentar": lambda _: "",
        **_SLIP,
    }
    _Table(columns=columns).write(course / "bewertung.csv")
    words = _words(lambda one: f"Teilnehmer/in{500 + one.number}", dee="571", otto="572")
    return ClassLayout(
        name="moodle-german",
        submissions="moodle.zip",
        roster="bewertung.csv",
        words=words,
        export="moodle",
        back="moodle",
    )


def make_gradescope(course: Path) -> ClassLayout:
    """Gradescope: numbered directories, with submitters and times in the metadata."""
    import yaml

    metadata, files = {}, {}
    submitters = [*((one, (one,)) for one in ALONE), (ANN, (ANN, BOB)), (AUDITOR, (AUDITOR,))]
    for place, (one, owners) in enumerate(submitters, start=1):
        metadata[f"submission_{place}"] = {
            ":submitters": [
                {":name": each.name, ":sid": each.school, ":email": each.email} for each in owners
            ],
            ":created_at": one.time,
            ":score": 0.0,
        }
        files |= _below(f"export/submission_{place}", one.files)
    dee = {":name": DEE, ":sid": "", ":email": "dee@mail.example"}
    metadata["submission_99"] = {":submitters": [dee], ":created_at": DORA.time}
    files |= _below("export/submission_99", DORA.files)
    files["export/submission_metadata.yml"] = yaml.safe_dump(metadata, allow_unicode=True)
    make_zip(course / "export.zip", files)
    columns = {
        "First Name": lambda one: one.given,
        "Last Name": lambda one: one.family,
        "SID": lambda one: one.school,
        "Email": lambda one: one.email,
        "Role": lambda _: "Student",
        **_SLIP,
    }
    _Table(columns=columns).write(course / "roster.csv")
    words = _words(lambda one: one.school, dee="dee@mail.example", otto=AUDITOR.school)
    return ClassLayout(
        name="gradescope", submissions="export.zip", roster="roster.csv", words=words
    )


def make_blackboard(course: Path) -> ClassLayout:
    """Blackboard: flat files by user name, with the time of each attempt, and a text about it."""
    files: dict[str, str | bytes] = {}

    def add(user: str, name: str, one: Member, time: datetime) -> None:
        start = f"Homework 1_{user}_attempt_{time:%Y-%m-%d-%H-%M-%S}"
        files[f"{start}.txt"] = f"Name: {name} ({user})\nAssignment: Homework 1\n"
        for path, content in one.files.items():
            files[f"{start}_{path.rpartition('/')[2]}"] = content

    for one in (*ALONE, ANN, BOB):
        add(one.key, one.name, one, one.time)
    early = "Homework 1_grace_attempt_2026-03-01-08-00-00"
    files |= {f"{early}.txt": "Name: Grace Hopper (grace)\n", f"{early}_1A.md": "Later."}
    add("dee", DEE, DORA, DORA.time)
    add("otto", AUDITOR.name, AUDITOR, AUDITOR.time)
    make_zip(course / "gradebook.zip", files)
    columns = {
        "Last Name": lambda one: one.family,
        "First Name": lambda one: one.given,
        "Username": lambda one: one.key,
        "Student ID": lambda one: one.school,
        "Availability": lambda _: "Yes",
        **_SLIP,
    }
    _Table(columns=columns).write(course / "blackboard.csv")
    words = _words(lambda one: one.school, dee="dee", otto="otto")
    return ClassLayout(
        name="blackboard", submissions="gradebook.zip", roster="blackboard.csv", words=words
    )


def make_brightspace(course: Path) -> ClassLayout:
    """Brightspace: directories by name and time; its own number is in no roster."""
    files: dict[str, str | bytes] = {"index.html": "<p>"}
    handed_in = [
        *((one.name, one) for one in (*ALONE, ANN, BOB, AUDITOR)),
        (DEE, DORA),
    ]
    for name, one in handed_in:
        hour = f"{one.time.hour % 12 or 12}{one.time:%M %p}"
        time = f"{one.time:%b} {one.time.day}, {one.time.year} {hour}"
        files |= _below(f"{300 + one.number}-88 - {name} - {time}", one.files)
    make_zip(course / "brightspace.zip", files)
    columns = {
        "OrgDefinedId": lambda one: one.school,
        "Username": lambda one: one.key,
        "Last Name": lambda one: one.family,
        "First Name": lambda one: one.given,
        "Email": lambda one: one.email,
        **_SLIP,
    }
    _Table(columns=columns).write(course / "brightspace.csv")
    words = _words(lambda one: one.school, dee=f"{300 + DORA.number}", otto="399")
    namesakes = [one for one in ROSTER if one.key in {"anna1", "anna2"}]
    return ClassLayout(
        name="brightspace",
        submissions="brightspace.zip",
        roster="brightspace.csv",
        words=words,
        more=tuple(
            ("grade", "class", "match", f"{300 + one.number}", one.key) for one in namesakes
        ),
    )


def make_nbgrader(course: Path) -> ClassLayout:
    """A course of nbgrader with what it collected, and its list of students."""
    files: dict[str, str | bytes] = {"source/hw1/answers.py": "def number():\n    ...\n"}
    handed_in = [
        *((one.key, one) for one in (*ALONE, ANN, BOB)),
        *(("dee", DORA), ("otto", AUDITOR)),
    ]
    for name, one in handed_in:
        files |= _below(f"submitted/{name}/hw1", one.files)
        stamp = f"{one.time.astimezone(ZoneInfo('UTC')):%Y-%m-%d %H:%M:%S.%f} UTC"
        files[f"submitted/{name}/hw1/timestamp.txt"] = stamp
    _write(course / "nbgrader", files)
    columns = {
        "id": lambda one: one.key,
        "first_name": lambda one: one.given,
        "last_name": lambda one: one.family,
        "email": lambda one: one.email,
        **_SLIP,
    }
    _Table(columns=columns).write(course / "students.csv")
    words = _words(lambda one: one.key, dee="dee", otto="otto")
    return ClassLayout(
        name="nbgrader",
        submissions="nbgrader",
        roster="students.csv",
        words=words,
        export="nbgrader",
    )


def make_classroom(course: Path) -> ClassLayout:
    """GitHub Classroom: clones, dated by their commits, and Classroom's own roster."""
    clones = course / "hw1-submissions"
    handed_in = [*((one.key, one) for one in ALONE), ("team7", ANN)]
    for login, one in [*handed_in, ("dee", DORA), ("otto", AUDITOR)]:
        clone = clones / f"hw1-{login}"
        _write(clone, one.files)
        _commit(clone, one.time)
    columns = {
        "identifier": lambda one: one.school,
        "github_username": lambda one: "" if one.key == "dora" else one.key,
        "github_id": lambda one: f"{50_000 + one.number}",
        "name": lambda one: one.name,
        **_SLIP,
    }
    _Table(columns=columns).write(course / "classroom_roster.csv")
    words = _words(lambda one: one.school, dee="hw1-dee", otto="hw1-otto", team="hw1-team7")
    return ClassLayout(
        name="classroom", submissions="hw1-submissions", roster="classroom_roster.csv", words=words
    )


def _commit(clone: Path, time: datetime) -> None:
    environment = os.environ | {
        "GIT_AUTHOR_DATE": "2026-02-01T10:00:00+01:00",
        "GIT_COMMITTER_DATE": time.isoformat(),
        "GIT_CONFIG_GLOBAL": os.devnull,
    }
    who = ("-c", "user.name=Ann", "-c", "user.email=ann@b.org", "-c", "gc.auto=0")
    for arguments in (("init", "-q"), ("add", "."), ("commit", "-q", "-m", "done")):
        command = [shutil.which("git") or "git", "-C", str(clone), *who, *arguments]
        subprocess.run(command, check=True, env=environment)


def make_list(course: Path) -> ClassLayout:
    """A text file of ids and paths; two lines name the team's work."""
    handed_in = [*((one.key, one) for one in ALONE), ("team", ANN)]
    lines = ["# id,path", "ann,work/team", "bob,work/team", "work/dee", "work/otto"]
    for name, one in [*handed_in, ("dee", DORA), ("otto", AUDITOR)]:
        _write(course / "work" / name, one.files)
    lines += [f"{one.key},work/{one.key}" for one in ALONE]
    (course / "list.txt").write_text("\n".join(lines) + "\n")
    _PLAIN.write(course / "gradebook.csv")
    words = _words(lambda one: one.key, dee="dee", otto="otto")
    return ClassLayout(name="list", submissions="list.txt", roster="gradebook.csv", words=words)


LAYOUTS: Mapping[str, Callable[[Path], ClassLayout]] = {
    "folders": make_folders,
    "directory": make_directory,
    "zips": make_zip_of_zips,
    "canvas": make_canvas,
    "moodle": make_moodle,
    "moodle-german": make_german_moodle,
    "gradescope": make_gradescope,
    "blackboard": make_blackboard,
    "brightspace": make_brightspace,
    "nbgrader": make_nbgrader,
    "classroom": make_classroom,
    "list": make_list,
}
