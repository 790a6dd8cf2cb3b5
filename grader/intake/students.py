"""Students, and what a submission tells about its student."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Student:
    """A student on the roster, or the student of a submission.

    Attributes:
        id: the roster's id; without a roster, the name or number in the submission's own name.
        name: in the roster's own order and spelling.
        email: "" if unknown.
        columns: all other columns of the roster, as text, by their headers.
        on_roster: True if the student is on the roster, or if there is no roster.
    """

    id: str
    name: str = ""
    email: str = ""
    columns: Mapping[str, str] = field(default_factory=dict, hash=False)
    on_roster: bool = True


@dataclass(frozen=True, kw_only=True)
class Identity:
    """A submission's student, as far as the layout tells.

    Attributes:
        label: the id of students that are on no roster; unique in its layout.
        ids: candidates for the id in one of the roster's columns, the surest first.
        email: "" if unknown.
        name: in any order, with or without spaces.
    """

    label: str
    ids: tuple[str, ...] = ()
    email: str = ""
    name: str = ""

    def to_student(self, *, on_roster: bool) -> Student:
        """Return the student without a roster's help."""
        return Student(id=self.label, name=self.name, email=self.email, on_roster=on_roster)


def name_keys(name: str) -> frozenset[str]:
    """Return keys, of which two spellings of one name share at least one.

    Case, accents, punctuation, spaces, and the order of given and family name do not count:
    Canvas writes `Doe, Jane` as `doejane`.
    """
    decomposed = unicodedata.normalize("NFKD", name)
    plain = "".join(letter for letter in decomposed if not unicodedata.combining(letter))
    words = re.findall(r"[^\W_]+", plain.casefold())
    turns = ("".join(words[turn:] + words[:turn]) for turn in range(len(words)))
    return frozenset((*turns, "".join(sorted(words)))) - {""}
