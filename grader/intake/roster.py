"""The list of a course's students, read from what a learning platform exports as CSV.

Headers are those of Canvas's gradebook, Moodle's participants, grades and grading worksheet,
Gradescope's roster and nbgrader's export; their order does not matter, nor does case.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from grader.errors import UsageError
from grader.intake.students import Identity, Student, name_keys
from grader.text import clean_line, display_name

MAXIMUM_ROSTER_BYTES = 20_000_000

_ID_HEADERS = (
    *("id", "student id", "student_id", "studentid", "sid", "id number", "idnumber"),
    *("sis user id", "sis login id", "org defined id", "orgdefinedid", "username", "user name"),
    *("login", "login id", "net id", "netid", "identifier", "participant", "canvas id"),
)
"""Columns that tell one student from another; the first that is there gives the id."""

_NAME_HEADERS = ("name", "full name", "fullname", "student", "student name", "display name")
_FIRST_NAME_HEADERS = ("first name", "first_name", "firstname", "given name", "forename")
_LAST_NAME_HEADERS = ("last name", "last_name", "lastname", "surname", "family name")
_EMAIL_HEADERS = ("email", "e-mail", "email address", "e-mail address", "mail")
_ROLE_HEADERS = ("role", "roles")
_DELIMITERS = ",;\t"
_EXCEL_DELIMITER_LINE = "sep="
_NOBODY = ("points possible", "student, test")
"""Rows of Canvas's gradebook that are no student's."""

_MOODLE_PARTICIPANT = "participant "


@dataclass(frozen=True, kw_only=True)
class Roster:
    """Everybody who takes the course, in the order of the file."""

    path: Path
    students: tuple[Student, ...]

    def match(self, identity: Identity) -> tuple[Student, ...]:
        """Whom this can be: by an id, else by the address, else by the name.

        Several are returned if one name is that of several students, or if the id is one
        student's and the address or the name another's: platforms number users as they like.
        """
        by_id = self._find((_ID, wanted.casefold()) for wanted in identity.ids)
        by_email = self._find([(_EMAIL, identity.email.casefold())])
        by_account = self._find((_ACCOUNT, wanted.casefold()) for wanted in identity.ids)
        by_name = self._find((_NAME, key) for key in name_keys(identity.name))
        found = by_id or by_email or by_account or by_name
        independent_name = {} if identity.name in identity.ids else by_name
        for evidence in (by_email, independent_name):
            if evidence and found.keys().isdisjoint(evidence):
                found = found | evidence
        return tuple(found.values())

    def _find(self, keys: Iterable[tuple[str, str]]) -> dict[str, Student]:
        return {student.id: student for key in keys for student in self._index.get(key, ())}

    @cached_property
    def _index(self) -> Mapping[tuple[str, str], list[Student]]:
        index: dict[tuple[str, str], list[Student]] = {}
        for student in self.students:
            for key in set(_keys(student)):
                index.setdefault(key, []).append(student)
        return index


_ID, _EMAIL, _ACCOUNT, _NAME = "id", "email", "account", "name"


def _keys(student: Student) -> Iterator[tuple[str, str]]:
    yield _ID, student.id.casefold()
    for header, text in student.columns.items():
        if text and _plain(header) in _ID_HEADERS:
            yield _ID, text.casefold().removeprefix(_MOODLE_PARTICIPANT)
    if student.email:
        yield _EMAIL, student.email.casefold()
        yield _ACCOUNT, student.email.casefold()
        yield _ACCOUNT, student.email.casefold().partition("@")[0]
    for key in name_keys(student.name):
        yield _NAME, key


def read_roster(path: Path) -> Roster:
    """Read a roster.

    Args:
        path: CSV in UTF-8, with or without a byte order mark, between commas, semicolons or tabs.
            The first line names the columns. One of them must be an id or an email address.

    Raises:
        UsageError: it cannot be read, or has mistakes; all of them are reported at once.
    """
    shown = display_name(path.name)
    mistakes = _Mistakes(file=shown)
    lines = _read_lines(path, shown)
    rows = _read_rows(lines, mistakes)
    header = next(rows, None)
    if header is None:
        raise UsageError(
            f"{shown} is empty", next_step="its first line names the columns: id, name, email"
        )
    columns = _Columns.of(header, mistakes)
    students = tuple(_read_students(rows, columns, mistakes))
    if not students and not mistakes.found:
        mistakes.add(header.line, "there is no student below the header")
    mistakes.raise_any()
    return Roster(path=path, students=students)


@dataclass(frozen=True, kw_only=True)
class _Row:
    line: int
    cells: list[str]


@dataclass(kw_only=True)
class _Mistakes:
    file: str
    found: list[str] = field(default_factory=list)

    def add(self, line: int, message: str) -> None:
        self.found.append(f"{self.file}:{line}: {message}")

    def raise_any(self) -> None:
        if self.found:
            count = "1 mistake" if len(self.found) == 1 else f"{len(self.found)} mistakes"
            listing = "\n".join(f"  - {mistake}" for mistake in self.found)
            raise UsageError(
                f"the roster has {count}:\n{listing}",
                next_step="correct these lines, then start again",
            )


def _read_lines(path: Path, shown: str) -> list[str]:
    try:
        with path.open("rb") as file:
            encoded = file.read(MAXIMUM_ROSTER_BYTES + 1)
    except OSError as error:
        raise UsageError(
            f"the roster {display_name(str(path))} cannot be read: {error.strerror}",
            next_step="name a CSV file with the columns id, name and email",
        ) from None
    if len(encoded) > MAXIMUM_ROSTER_BYTES:
        raise UsageError(
            f"the roster {shown} has more than {MAXIMUM_ROSTER_BYTES:,} bytes",
            next_step="name a CSV file with the columns id, name and email",
        )
    try:
        return list(io.StringIO(encoded.decode("utf-8-sig"), newline=""))
    except UnicodeDecodeError as error:
        line = encoded.count(b"\n", 0, error.start) + 1
        raise UsageError(
            f"{shown}:{line}: this is not UTF-8: it holds the byte 0x{encoded[error.start]:02X}",
            next_step="save it as CSV UTF-8",
        ) from None


def _read_rows(lines: list[str], mistakes: _Mistakes) -> Iterator[_Row]:
    """Every row that is not blank, with the line it begins in."""
    skipped = 0
    delimiter = ""
    if lines and lines[0].lower().startswith(_EXCEL_DELIMITER_LINE):
        skipped = 1
        delimiter = lines[0].strip()[len(_EXCEL_DELIMITER_LINE) :][:1]
    header = next((line for line in lines[skipped:] if line.strip()), "")
    reader = csv.reader(lines[skipped:], delimiter=delimiter or _delimiter_of(header), strict=True)
    line = skipped + 1
    try:
        for cells in reader:
            stripped = [cell.strip() for cell in cells]
            if any(stripped):
                yield _Row(line=line, cells=stripped)
            line = skipped + reader.line_num + 1
    except csv.Error as error:
        mistakes.add(line, f"this is no CSV: {error}")


def _delimiter_of(header: str) -> str:
    bare = "".join(header.split('"')[::2])
    return max(_DELIMITERS, key=bare.count)


@dataclass(frozen=True, kw_only=True)
class _Columns:
    """Which column holds what, by position; None where there is none."""

    headers: tuple[str, ...]
    id: int | None
    email: int | None
    name: int | None
    first_name: int | None
    last_name: int | None
    role: int | None

    @classmethod
    def of(cls, header: _Row, mistakes: _Mistakes) -> _Columns:
        """Understand the header.

        Raises:
            UsageError: no column tells one student from another, so no row can be read.
        """
        plain = [_plain(cell) for cell in header.cells]
        for name, count in Counter(plain).items():
            if name and count > 1:
                mistakes.add(header.line, f"{count} columns are headed {clean_line(name)!r}")
        columns = cls(
            headers=tuple(header.cells),
            id=_find(plain, _ID_HEADERS),
            email=_find(plain, _EMAIL_HEADERS),
            name=_find(plain, _NAME_HEADERS),
            first_name=_find(plain, _FIRST_NAME_HEADERS),
            last_name=_find(plain, _LAST_NAME_HEADERS),
            role=_find(plain, _ROLE_HEADERS),
        )
        if columns.id is None and columns.email is None:
            named = ", ".join(clean_line(cell) for cell in header.cells if cell)
            mistakes.add(
                header.line, f"no column is headed id or email; the headers are: {named[:300]}"
            )
            mistakes.raise_any()
        return columns

    def cell(self, row: _Row, position: int | None) -> str:
        return "" if position is None or position >= len(row.cells) else row.cells[position]

    def student(self, row: _Row) -> Student:
        email = self.cell(row, self.email)
        parts = (self.cell(row, self.first_name), self.cell(row, self.last_name))
        known = {self.id, self.email, self.name, self.first_name, self.last_name}
        return Student(
            id=self.cell(row, self.id) or email,
            name=self.cell(row, self.name) or " ".join(part for part in parts if part),
            email=email,
            columns={
                header: self.cell(row, position)
                for position, header in enumerate(self.headers)
                if header and position not in known
            },
        )

    def is_student(self, row: _Row) -> bool:
        """Whether a row is about a student: not about the staff, and none of Canvas's own."""
        if self.cell(row, self.role).casefold() not in {"", "student"}:
            return False
        is_canvas = self.name is not None and self.headers[self.name].casefold() == "student"
        if is_canvas and not any(
            self.cell(row, position) for position in (self.id, self.name, self.email)
        ):
            return False  # Canvas says there which assignments are posted by hand
        return self.cell(row, self.name).casefold() not in _NOBODY


def _read_students(
    rows: Iterable[_Row], columns: _Columns, mistakes: _Mistakes
) -> Iterator[Student]:
    lines: dict[str, int] = {}
    for row in rows:
        if not columns.is_student(row):
            continue
        student = columns.student(row)
        if any(row.cells[len(columns.headers) :]):
            mistakes.add(
                row.line, f"{len(row.cells)} cells, but only {len(columns.headers)} headers"
            )
        if not student.id:
            mistakes.add(row.line, "there is no id")
        elif display_name(student.id) != student.id:
            mistakes.add(row.line, f"the id {display_name(student.id)} has hidden characters")
        elif (earlier := lines.setdefault(student.id.casefold(), row.line)) != row.line:
            mistakes.add(row.line, f"the id {student.id} is in line {earlier} already")
        if student.email and "@" not in student.email:
            mistakes.add(row.line, f"{clean_line(student.email)} is no email address")
        yield student


def _find(plain: list[str], synonyms: tuple[str, ...]) -> int | None:
    return next((plain.index(header) for header in synonyms if header in plain), None)


def _plain(header: str) -> str:
    return " ".join(header.casefold().split())
