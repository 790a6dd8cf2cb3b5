"""Say whose a submission is: by its platform's number, by address or name, or by its group.

A number is compared with its own platform's column only: every platform numbers its users from 1,
so another column may hold the same number of somebody else. Whatever is in doubt is left to a
person.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from grader.intake.roster import ID_HEADERS, Roster, participant_number
from grader.intake.students import Identity, Platform, Student, name_keys, names_agree, sorted_words

_ID, _EMAIL, _ACCOUNT, _NAME, _UNPADDED, _GROUP = (
    *("id", "email", "account", "name", "unpadded id", "group"),
)
_CANVAS_HEADERS = frozenset({"canvas id", "canvas user id", "canvas_user_id"})
_CANVAS_GRADEBOOK = frozenset({"sis user id", "sis login id"})
GROUP_HEADERS = frozenset({"group", "groups", "group name", "group_name", "team", "gruppe"})

LEAST_LIKENESS = 0.75
"""Of two names that may be one, between 0 and 1 (`difflib.SequenceMatcher.ratio`)."""


@dataclass(frozen=True, kw_only=True)
class Match:
    """The students whose a submission is, or may be.

    Attributes:
        students: every member of a group; empty if nobody on the roster fits.
        certain: False if a person must say whose it is.
        doubt: why it is not certain, as a half-sentence; "" if several students fit equally.
    """

    students: tuple[Student, ...] = ()
    certain: bool = False
    doubt: str = ""


@dataclass(frozen=True)
class Matcher:
    """Matches submissions to the students of one roster."""

    roster: Roster

    def match(self, identity: Identity) -> Match:
        """Return whose a submission is: by id, else by email address, by name, or by group."""
        members = tuple(self._find(_GROUP, [identity.name.casefold()]).values())
        by_email = self._find(_EMAIL, [identity.email.casefold()])
        by_name = self._find(_NAME, _keys_of(identity))
        if identity.platform is Platform.NONE:
            by_id = self._find(_ID, map(str.casefold, identity.ids))
        else:
            by_id = self._find(identity.platform, identity.ids)
        strangers = [
            student
            for student in by_id.values()
            if not _same_name(identity, student) and identity.name not in identity.ids
        ]
        if members and (strangers or not by_id):
            return Match(students=members, certain=True)
        found = by_id or by_email or self._find_account(identity) or by_name
        independent_name = {} if identity.name in identity.ids else by_name
        for evidence in (by_email, independent_name):
            if evidence and found.keys().isdisjoint(evidence):
                found = found | evidence
        if strangers:
            doubt = f"the number is that of {strangers[0].name}, and the name is another"
            return Match(students=tuple(found.values()), doubt=doubt)
        return Match(students=tuple(found.values()), certain=len(found) == 1)

    def _find_account(self, identity: Identity) -> dict[str, Student]:
        if identity.platform is not Platform.NONE:
            return {}
        return self._find(_ACCOUNT, map(str.casefold, identity.ids)) or self._find(
            _UNPADDED, (number.lstrip("0") for number in identity.ids if number.isdigit())
        )

    def with_id(self, student_id: str) -> Student | None:
        """Return the student with this very id, or None."""
        wanted = student_id.casefold()
        return next((one for one in self.roster.students if one.id.casefold() == wanted), None)

    def knows(self, text: str) -> bool:
        """Return True if a text is a student's id or account."""
        return bool(self._find(_ID, [text.casefold()]) or self._find(_ACCOUNT, [text.casefold()]))

    def _find(self, kind: str, values: Iterable[str]) -> dict[str, Student]:
        return {
            student.id: student
            for value in values
            if value
            for student in self._index.get((kind, value), ())
        }

    @cached_property
    def _index(self) -> Mapping[tuple[str, str], list[Student]]:
        index: dict[tuple[str, str], list[Student]] = {}
        for student in self.roster.students:
            for key in set(_keys(student)):
                index.setdefault(key, []).append(student)
        return index


def similar_names(name: str, students: Iterable[Student]) -> list[Student]:
    """Return at most two students whose names look like this one, the likest first."""
    wanted = sorted_words(name)
    by_key = {sorted_words(each.name or each.id): each for each in students}
    close = difflib.get_close_matches(wanted, by_key, n=2, cutoff=LEAST_LIKENESS) if wanted else []
    return [by_key[key] for key in close]


def _keys_of(identity: Identity) -> Iterator[str]:
    """Yield the keys of a name; Moodle puts a group before it: "Group 1-Ann Lee"."""
    yield from sorted(name_keys(identity.name))
    if identity.platform is Platform.MOODLE and "-" in identity.name:
        yield from sorted(name_keys(identity.name.partition("-")[2]))


def _same_name(identity: Identity, student: Student) -> bool:
    # With hidden identities Moodle writes "Participant" for the name, in its own language.
    hidden = any(
        participant_number(text) and text.casefold().startswith(identity.name.casefold())
        for text in (student.id, *student.columns.values())
    )
    return hidden or names_agree(identity.name, student.name)


def _keys(student: Student) -> Iterator[tuple[str, str]]:
    columns = student.plain_columns
    identifying = [
        (student.id_header, student.id),
        *((header, text) for header, text in columns.items() if header in ID_HEADERS),
    ]
    is_canvas = not _CANVAS_GRADEBOOK.isdisjoint(columns)
    for header, text in identifying:
        if text:
            number = participant_number(text)
            yield _ID, text.casefold()
            yield _ID, (number or text).casefold()
            if text.isdigit():
                yield _UNPADDED, text.lstrip("0")
            if number:
                yield Platform.MOODLE, number
            if header in _CANVAS_HEADERS or (is_canvas and header == "id"):
                yield Platform.CANVAS, text
    for email in filter(None, {student.email, student.id if "@" in student.id else ""}):
        yield _EMAIL, email.casefold()
        yield _ACCOUNT, email.casefold()
        yield _ACCOUNT, email.casefold().partition("@")[0]
    for key in name_keys(student.name):
        yield _NAME, key
    for header, text in columns.items():
        if header in GROUP_HEADERS and text:
            yield _GROUP, text.casefold()
            # Canvas writes it in small letters without spaces.
            yield _GROUP, "".join(text.casefold().split())
