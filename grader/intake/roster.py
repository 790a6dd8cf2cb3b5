"""Read the list of a course's students from the CSV that a learning platform exports.

Headers are those of Canvas's gradebook, Moodle's participants, grades and grading worksheet,
Gradescope's roster and nbgrader's export; their order and case do not matter.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import zip_longest
from pathlib import Path

from grader.errors import UsageError
from grader.intake.students import Identity, Student, name_keys
from grader.text import clean_line, display_name

MAXIMUM_ROSTER_BYTES = 20_000_000

_ID, _NAME, _FIRST_NAME, _LAST_NAME = "id", "name", "first name", "last name"
_EMAIL, _ROLE, _ACCOUNT = "email", "role", "account"
_HEADERS = {
    _ID: (
        *("id", "student id", "student_id", "studentid", "sid", "id number", "idnumber"),
        *("sis user id", "sis login id", "org defined id", "orgdefinedid", "username"),
        *("user name", "login", "login id", "net id", "netid", "identifier", "participant"),
        *("canvas id",),
    ),
    _NAME: ("name", "full name", "fullname", "student", "student name", "display name"),
    _FIRST_NAME: ("first name", "first_name", "firstname", "given name", "forename"),
    _LAST_NAME: ("last name", "last_name", "lastname", "surname", "family name"),
    _EMAIL: ("email", "e-mail", "email address", "e-mail address", "mail"),
    _ROLE: ("role", "roles"),
}
"""The headers of each column. The first header in the file counts; all ids identify a student."""

_DELIMITERS = ",;\t"
_EXCEL_DELIMITER_LINE = "sep="
_NOT_STUDENTS = ("points possible", "student, test")
"""Rows of Canvas's gradebook that do not belong to a student."""

_MOODLE_PARTICIPANT = "participant "


@dataclass(frozen=True, kw_only=True)
class Roster:
    """The students of a course, in the order of the file."""

    path: Path
    students: tuple[Student, ...]

    def match(self, identity: Identity) -> tuple[Student, ...]:
        """Find the students that match: by id, else by email address, else by name.

        Several are returned if they share a name, or if the id is one student's and the address
        or the name another's: platforms number users as they like.
        """
        by_id = self._find((_ID, student_id.casefold()) for student_id in identity.ids)
        by_email = self._find([(_EMAIL, identity.email.casefold())])
        by_account = self._find((_ACCOUNT, student_id.casefold()) for student_id in identity.ids)
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


def _keys(student: Student) -> Iterator[tuple[str, str]]:
    yield _ID, student.id.casefold()
    for header, text in student.columns.items():
        if text and _plain(header) in _HEADERS[_ID]:
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
        UsageError: the file cannot be read, or has mistakes; all of them are reported at once.
    """
    shown = display_name(path.name)
    mistakes: list[_Mistake] = []
    rows = _read_rows(_read_lines(path, shown), mistakes)
    header = next(rows, None)
    if header is None:
        raise UsageError(
            f"{shown} is empty", next_step="its first line names the columns: id, name, email"
        )
    columns = _read_header(header, mistakes)
    students = tuple(_read_students(rows, columns, mistakes)) if columns else ()
    if not students and not mistakes:
        mistakes.append((header.line, "there is no student below the header"))
    if mistakes:
        count = "1 mistake" if len(mistakes) == 1 else f"{len(mistakes)} mistakes"
        listing = "\n".join(f"  - {shown}:{line}: {message}" for line, message in mistakes)
        raise UsageError(
            f"the roster has {count}:\n{listing}", next_step="correct these lines, then start again"
        )
    return Roster(path=path, students=students)


_Mistake = tuple[int, str]
"""The number of the line, and a sentence."""


@dataclass(frozen=True, kw_only=True)
class _Row:
    line: int
    cells: list[str]


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


def find_delimiter(lines: list[str]) -> tuple[str, int]:
    """Return the comma, semicolon or tab of a table, and the number of lines above its header."""
    skipped = 0
    delimiter = ""
    if lines and lines[0].lower().startswith(_EXCEL_DELIMITER_LINE):
        skipped = 1
        delimiter = lines[0].strip()[len(_EXCEL_DELIMITER_LINE) :][:1]
    header = next((line for line in lines[skipped:] if line.strip()), "")
    unquoted = "".join(header.split('"')[::2])
    return delimiter or max(_DELIMITERS, key=unquoted.count), skipped


def _read_rows(lines: list[str], mistakes: list[_Mistake]) -> Iterator[_Row]:
    """Yield every row that is not blank, with the number of its first line."""
    delimiter, skipped = find_delimiter(lines)
    reader = csv.reader(lines[skipped:], delimiter=delimiter, strict=True)
    line = skipped + 1
    try:
        for cells in reader:
            stripped = [cell.strip() for cell in cells]
            if any(stripped):
                yield _Row(line=line, cells=stripped)
            line = skipped + reader.line_num + 1
    except csv.Error as error:
        mistakes.append((line, f"this is not a CSV file: {error}"))


@dataclass(frozen=True, kw_only=True)
class _Columns:
    """The columns of the file; positions by the keys of `_HEADERS`, without missing columns."""

    headers: tuple[str, ...]
    positions: Mapping[str, int]

    def cell(self, row: _Row, column: str) -> str:
        position = self.positions.get(column, len(row.cells))
        return row.cells[position] if position < len(row.cells) else ""

    def student(self, row: _Row) -> Student:
        email = self.cell(row, _EMAIL)
        parts = (self.cell(row, _FIRST_NAME), self.cell(row, _LAST_NAME))
        cells = zip_longest(self.headers, row.cells, fillvalue="")
        known = {self.positions.get(column) for column in _HEADERS if column != _ROLE}
        return Student(
            id=self.cell(row, _ID) or email,
            name=self.cell(row, _NAME) or " ".join(part for part in parts if part),
            email=email,
            columns={
                header: cell
                for position, (header, cell) in enumerate(cells)
                if header and position not in known
            },
        )

    def is_student(self, row: _Row) -> bool:
        """Return False for staff, and for rows of Canvas's own."""
        if self.cell(row, _ROLE).casefold() not in {"", "student"}:
            return False
        is_canvas = _NAME in self.positions and (
            self.headers[self.positions[_NAME]].casefold() == "student"
        )
        if is_canvas and not any(self.cell(row, column) for column in (_ID, _NAME, _EMAIL)):
            return False  # there Canvas says which assignments are posted by hand
        return self.cell(row, _NAME).casefold() not in _NOT_STUDENTS


def _read_header(header: _Row, mistakes: list[_Mistake]) -> _Columns | None:
    """Find the columns; None if both id and email address are missing: no row could be read."""
    plain = [_plain(cell) for cell in header.cells]
    for name, count in Counter(plain).items():
        if name and count > 1:
            mistakes.append((header.line, f"{count} columns are headed {clean_line(name)!r}"))
    positions = {}
    for column, synonyms in _HEADERS.items():
        present = [synonym for synonym in synonyms if synonym in plain]
        if present:
            positions[column] = plain.index(present[0])
    if positions.keys().isdisjoint({_ID, _EMAIL}):
        named = ", ".join(clean_line(cell) for cell in header.cells if cell)
        message = f"no column is headed id or email; the headers are: {named[:300]}"
        mistakes.append((header.line, message))
        return None
    return _Columns(headers=tuple(header.cells), positions=positions)


def _read_students(
    rows: Iterable[_Row], columns: _Columns, mistakes: list[_Mistake]
) -> Iterator[Student]:
    lines: dict[str, int] = {}
    for row in rows:
        if not columns.is_student(row):
            continue
        student = columns.student(row)
        found = []
        if any(row.cells[len(columns.headers) :]):
            found.append(f"{len(row.cells)} cells, but only {len(columns.headers)} headers")
        if not student.id:
            found.append("the id is missing")
        elif display_name(student.id) != student.id:
            found.append(f"the id {display_name(student.id)} has hidden characters")
        elif (earlier := lines.setdefault(student.id.casefold(), row.line)) != row.line:
            found.append(f"the id {student.id} is in line {earlier} already")
        if student.email and "@" not in student.email:
            found.append(f"{clean_line(student.email)} is not an email address")
        mistakes += [(row.line, message) for message in found]
        yield student


def _plain(header: str) -> str:
    return " ".join(header.casefold().split())
