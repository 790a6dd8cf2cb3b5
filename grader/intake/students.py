"""Students, and what a submission tells about its student."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Platform(StrEnum):
    """A platform whose own number of a user is in the name of a submission."""

    NONE = ""
    CANVAS = "canvas"
    MOODLE = "moodle"


@dataclass(frozen=True, kw_only=True)
class Student:
    """A student on the roster, or the student of a submission.

    Attributes:
        id: the roster's id; without a roster, the name or number in the submission's own name.
        name: in the roster's own order and spelling.
        email: "" if unknown.
        columns: all other columns of the roster, as text, by their headers.
        on_roster: True if the student is on the roster, or if there is no roster.
        id_header: of the roster's column from which the id is, in small letters; "" if unknown.
    """

    id: str
    name: str = ""
    email: str = ""
    columns: Mapping[str, str] = field(default_factory=dict, hash=False)
    on_roster: bool = True
    id_header: str = ""

    @property
    def plain_columns(self) -> dict[str, str]:
        """The other columns by their plain headers; see `plain_header`."""
        return {plain_header(header): text for header, text in self.columns.items()}

    def cell(self, *headers: str) -> str:
        """Return the first of the columns with these plain headers that is not empty, or ""."""
        columns = self.plain_columns
        return next((columns[name] for name in headers if columns.get(name)), "")


def plain_header(header: str) -> str:
    """Return a header in small letters, with single spaces."""
    return " ".join(header.casefold().split())


@dataclass(frozen=True, kw_only=True)
class Identity:
    """A submission's student, as far as the layout tells.

    Attributes:
        label: the id of students that are on no roster; unique in its layout.
        ids: candidates for the id in one of the roster's columns, the surest first.
        email: "" if unknown.
        name: in any order, with or without spaces.
        platform: the one whose own numbers the ids are.
    """

    label: str
    ids: tuple[str, ...] = ()
    email: str = ""
    name: str = ""
    platform: Platform = Platform.NONE

    def to_student(self, *, on_roster: bool) -> Student:
        """Return the student without a roster's help."""
        return Student(id=self.label, name=self.name, email=self.email, on_roster=on_roster)


def name_keys(name: str) -> frozenset[str]:
    """Return keys, of which two spellings of one name share at least one.

    Case, accents, punctuation, spaces, and the order of given and family name do not count:
    Canvas writes `Doe, Jane` as `doejane`.
    """
    words = _words(name)
    turns = ("".join(words[turn:] + words[:turn]) for turn in range(len(words)))
    return frozenset((*turns, sorted_words(name))) - {""}


def sorted_words(name: str) -> str:
    """Return one of a name's keys, which does not depend on the order of its words."""
    return "".join(sorted(_words(name)))


SHORTEST_WORD = 3
"""Letters of a word of a name that is looked for in a name without spaces."""


def names_agree(name: str, other: str) -> bool:
    """Return False if two names contradict each other: not one word is in both.

    A nickname or a second family name is no contradiction, nor is a name in another script.
    """
    words, others = _words(name), _words(other)
    if not words or not others:
        return True
    if "".join(words).isascii() != "".join(others).isascii():
        return True
    if not name_keys(name).isdisjoint(name_keys(other)) or not set(words).isdisjoint(others):
        return True
    joined, joined_other = "".join(words), "".join(others)
    return any(len(word) >= SHORTEST_WORD and word in joined_other for word in words) or any(
        len(word) >= SHORTEST_WORD and word in joined for word in others
    )


def _words(name: str) -> list[str]:
    """Return the words of a name, in small letters without accents."""
    decomposed = unicodedata.normalize("NFKD", name)
    plain = "".join(letter for letter in decomposed if not unicodedata.combining(letter))
    return re.findall(r"[^\W_]+", plain.casefold())
