"""Who handed something in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Student:
    """One student of a class.

    Attributes:
        id: the roster's; without a roster the name of the folder or archive.
        name: as it is to be shown; empty if it is not known.
        email: empty if it is not known.
        columns: all other columns of the roster, as text.
        on_roster: False for somebody who handed in and is not on the roster.
    """

    id: str
    name: str = ""
    email: str = ""
    columns: Mapping[str, str] = field(default_factory=dict)
    on_roster: bool = True
