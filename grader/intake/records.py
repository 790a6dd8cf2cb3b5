"""What is found in a class's submissions before anything of it is opened."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from grader.intake.students import Identity


@dataclass(frozen=True, kw_only=True)
class LooseFile:
    """One of several files that lie side by side with other students'.

    Attributes:
        path: where it lies.
        name: as the student named it, as far as the platform tells.
    """

    path: Path
    name: str


@dataclass(frozen=True, kw_only=True)
class Found:
    """One student's submission as the layout names it, before the roster is asked.

    Attributes:
        source: the directory, the archive, or the directory that holds the loose files.
        identity: whose it may be.
        layout: how it lies there, in words that follow a colon.
        loose: the files, where a platform put all students' into one directory.
        late: the platform's mark, or None where it sets none.
        submitted_at: with its time zone, or None.
        resubmission: how many came before, as far as the platform tells.
        refusal: why it cannot be used at all, or nothing.
    """

    source: Path
    identity: Identity
    layout: str
    loose: tuple[LooseFile, ...] = ()
    late: bool | None = None
    submitted_at: datetime | None = None
    resubmission: int = 0
    refusal: str = ""


@dataclass(frozen=True, kw_only=True)
class IntakeProblem:
    """Something that the instructor should know about what was handed in.

    Attributes:
        source: what it is about.
        message: one sentence without the source's name.
    """

    source: Path
    message: str


@dataclass(kw_only=True)
class Layout:
    """What a directory holds: submissions, and what is none."""

    found: list[Found] = field(default_factory=list)
    ignored: list[IntakeProblem] = field(default_factory=list)
