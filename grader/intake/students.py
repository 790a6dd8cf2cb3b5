"""Who is graded, and what a submission's name or its metadata says of who handed it in."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Student:
    """One who takes the course, or handed something in.

    Attributes:
        id: the roster's id; without a roster, what the submission itself names its student by.
        name: in the roster's own order and spelling.
        email: empty where it is not known.
        columns: all other columns of the roster, as text, by their headers.
        on_roster: whether a roster names this student; true where there is no roster.
    """

    id: str
    name: str = ""
    email: str = ""
    columns: Mapping[str, str] = field(default_factory=dict, hash=False)
    on_roster: bool = True


@dataclass(frozen=True, kw_only=True)
class Identity:
    """What is known of who handed something in, before a roster is asked.

    Attributes:
        label: what to call this student where no roster says better; unique in its layout.
        ids: what may be the student's id in one of the roster's columns, the surest first.
        email: empty where it is not known.
        name: in any order, with or without spaces.
    """

    label: str
    ids: tuple[str, ...] = ()
    email: str = ""
    name: str = ""

    def to_student(self, *, on_roster: bool) -> Student:
        """The student, as far as known."""
        return Student(id=self.label, name=self.name, email=self.email, on_roster=on_roster)


def name_keys(name: str) -> frozenset[str]:
    """What two spellings of one name have in common.

    Case, accents, punctuation and the order of given and family name do not count, nor do
    spaces: Canvas writes `Doe, Jane` as `doejane`.
    """
    decomposed = unicodedata.normalize("NFKD", name)
    plain = "".join(letter for letter in decomposed if not unicodedata.combining(letter))
    words = re.findall(r"[^\W_]+", plain.casefold())
    turns = ("".join(words[turn:] + words[:turn]) for turn in range(len(words)))
    return frozenset((*turns, "".join(sorted(words)))) - {""}
