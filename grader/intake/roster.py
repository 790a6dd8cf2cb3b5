"""Read the list of a course's students from the CSV that a learning platform exports.

Headers are those of Canvas's gradebook, Moodle's participants, grades and grading worksheet,
Gradescope's roster and nbgrader's export; their order and case do not matter.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

from grader.errors import UsageError
from grader.intake.students import Student, plain_header
from grader.text import clean_line, display_name

MAXIMUM_ROSTER_BYTES = 20_000_000

_ID, _NAME, _FIRST_NAME, _LAST_NAME = "id", "name", "first name", "last name"
_EMAIL, _ROLE = "email", "role"
_HEADERS = {
    _ID: (
        *("id", "student id", "student_id", "studentid", "sid", "id number", "idnumber"),
        *("sis user id", "sis login id", "org defined id", "orgdefinedid", "username"),
        *("user name", "login", "login id", "net id", "netid", "identifier", "participant"),
        *("canvas id", "canvas user id", "canvas_user_id"),
        *("github username", "github_username", "github login", "github"),
    ),
    _NAME: ("name", "full name", "fullname", "student", "student name", "display name"),
    _FIRST_NAME: ("first name", "first_name", "firstname", "given name", "forename"),
    _LAST_NAME: ("last name", "last_name", "lastname", "surname", "family name"),
    _EMAIL: ("email", "e-mail", "email address", "e-mail address", "mail"),
    _ROLE: ("role", "roles"),
}
"""The headers of each column. The first header in the file counts; all ids identify a student."""

_WESTERN = "Windows-1252"
_FOREIGN = re.compile(rb"[\x80-\xff]{3}")
LEAST_CONFIDENCE = 0.1
"""Of chardet, for another encoding than the Western European one; measured on six small tables."""

_DELIMITERS = ",;\t"
_EXCEL_DELIMITER_LINE = "sep="
_NOT_STUDENTS = ("points possible", "student, test")
"""Rows of Canvas's gradebook that do not belong to a student."""

ID_HEADERS = frozenset(_HEADERS[_ID])
"""Headers of all columns that identify a student, in small letters."""

SCHOOL_ID_HEADERS = frozenset(
    {"id", "student id", "student_id", "studentid", "sid", "id number", "idnumber"}
    | {"sis user id", "org defined id", "orgdefinedid"}
)
LOGIN_HEADERS = frozenset(
    {"sis login id", "username", "user name", "login", "login id", "net id", "netid"}
)
"""Headers of ids that the school gives, and of those with which a student logs in."""

_STUDENT_ROLES = frozenset({"student", "learner", "studentenrollment", "participant"})
_ROLES_APART = re.compile(r"[,;/|]")
_PARTICIPANT = re.compile(r"(?=.*[^!-.0-~]|[A-Z][a-z]{6})[^\W\d_]{3,}[^\d]*?(\d+)")
"""Moodle's own name of a user in its grading worksheet: "Participant 17", "Teilnehmer/in17".

The word is `hiddenuser` of Moodle's `mod_assign`, in some languages without the space:
"Deltagare17". An account, "abc123", has no space, no slash, no foreign letter, no such long word.
"""


def participant_number(text: str) -> str:
    """Return the number in Moodle's own name of a user, in any language, or ""."""
    match = _PARTICIPANT.fullmatch(text.strip())
    return match[1] if match else ""


@dataclass(frozen=True, kw_only=True)
class Roster:
    """The students of a course, in the order of the file.

    Attributes:
        note: what a person should know of the way in which it was read, or "".
    """

    path: Path
    students: tuple[Student, ...]
    note: str = ""


def read_roster(path: Path) -> Roster:
    """Read a roster.

    Args:
        path: CSV between commas, semicolons or tabs, in UTF-8, UTF-16 or an older encoding, which
            is guessed. The first line names the columns. One of them must be an id or an email
            address.

    Raises:
        UsageError: the file cannot be read, or has mistakes; all of them are reported at once.
    """
    shown = display_name(path.name)
    mistakes: list[_Mistake] = []
    lines, note = _read_lines(path, shown)
    rows = list(_read_rows(lines, mistakes))
    if not rows:
        raise UsageError(
            f"{shown} is empty", next_step="its first line names the columns: id, name, email"
        )
    header, *rest = rows
    columns = _read_header(header, rest, mistakes)
    students = tuple(_read_students(rest, columns, mistakes)) if columns else ()
    if not students and not mistakes:
        mistakes.append((header.line, "there is no student below the header"))
    if mistakes:
        count = "1 mistake" if len(mistakes) == 1 else f"{len(mistakes)} mistakes"
        listing = "\n".join(f"  - {shown}:{line}: {message}" for line, message in mistakes)
        raise UsageError(
            f"the roster has {count}:\n{listing}", next_step="correct these lines, then start again"
        )
    return Roster(path=path, students=students, note=note)


_Mistake = tuple[int, str]
"""The number of the line, and a sentence."""


@dataclass(frozen=True, kw_only=True)
class _Row:
    line: int
    cells: list[str]


def _read_lines(path: Path, shown: str) -> tuple[list[str], str]:
    """Return the lines, and a note if the encoding was guessed."""
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
    text, guessed = decode_text(encoded)
    note = f"{shown} is not UTF-8; it was read as {guessed}" if guessed else ""
    return list(io.StringIO(text, newline="")), note


def decode_text(encoded: bytes) -> tuple[str, str]:
    """Return a table's text, and the name of its encoding if that had to be guessed."""
    if encoded.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return encoded.decode("utf-16", "replace"), ""
    try:
        return encoded.decode("utf-8-sig"), ""
    except UnicodeDecodeError:
        import chardet  # noqa: PLC0415 - rarely needed, and large

        found = chardet.detect(encoded)
        encoding = found["encoding"] or _WESTERN
        # Single accents among plain letters tell little: most such tables are Western European.
        if not _FOREIGN.search(encoded) and found["confidence"] < LEAST_CONFIDENCE:
            encoding = _WESTERN
        return encoded.decode(encoding, "replace"), encoding


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
    is_worksheet: bool = False
    """Moodle's grading worksheet, of which every column is kept: it is filled in and given back."""

    def cell(self, row: _Row, column: str) -> str:
        position = self.positions.get(column, len(row.cells))
        return row.cells[position] if position < len(row.cells) else ""

    def student(self, row: _Row) -> Student:
        email = self.cell(row, _EMAIL)
        parts = (self.cell(row, _FIRST_NAME), self.cell(row, _LAST_NAME))
        cells = zip_longest(self.headers, row.cells, fillvalue="")
        known = {self.positions.get(column) for column in _HEADERS if column != _ROLE}
        if self.is_worksheet:
            known = set()
        id_position = self.positions.get(_ID if self.cell(row, _ID) else _EMAIL)
        return Student(
            id=self.cell(row, _ID) or email,
            id_header="" if id_position is None else plain_header(self.headers[id_position]),
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
        roles = {plain_header(role) for role in _ROLES_APART.split(self.cell(row, _ROLE))}
        if roles.isdisjoint(_STUDENT_ROLES) and roles != {""}:
            return False
        is_canvas = _NAME in self.positions and (
            self.headers[self.positions[_NAME]].casefold() == "student"
        )
        if is_canvas and not any(self.cell(row, column) for column in (_ID, _NAME, _EMAIL)):
            return False  # there Canvas says which assignments are posted by hand
        return self.cell(row, _NAME).casefold() not in _NOT_STUDENTS


def _read_header(header: _Row, rows: Sequence[_Row], mistakes: list[_Mistake]) -> _Columns | None:
    """Find the columns; None if both id and email address are missing: no row could be read."""
    plain = [plain_header(cell) for cell in header.cells]
    for name, count in Counter(plain).items():
        if name and count > 1:
            mistakes.append((header.line, f"{count} columns are headed {clean_line(name)!r}"))
    positions = {}
    for column, synonyms in _HEADERS.items():
        present = [synonym for synonym in synonyms if synonym in plain]
        if present:
            positions[column] = plain.index(present[0])
    first = [row.cells[0] for row in rows]
    is_worksheet = bool(first) and all(map(participant_number, first)) and len(plain) > 2
    if is_worksheet:
        # Moodle writes the worksheet in the language of whoever downloads it, in this order.
        positions.setdefault(_ID, 0)
        if positions.keys().isdisjoint({_NAME, _FIRST_NAME, _LAST_NAME}):
            positions[_NAME] = 1
    if is_worksheet and _EMAIL not in positions and (found := _find_emails(rows)) is not None:
        positions[_EMAIL] = found
    if positions.keys().isdisjoint({_ID, _EMAIL}):
        named = ", ".join(clean_line(cell) for cell in header.cells if cell)
        message = f"no column is headed id or email; the headers are: {named[:300]}"
        mistakes.append((header.line, message))
        return None
    return _Columns(headers=tuple(header.cells), positions=positions, is_worksheet=is_worksheet)


def _find_emails(rows: Sequence[_Row]) -> int | None:
    """Return the position of the first column in which every cell is an email address."""
    width = min(len(row.cells) for row in rows)
    return next((at for at in range(width) if all("@" in row.cells[at] for row in rows)), None)


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
