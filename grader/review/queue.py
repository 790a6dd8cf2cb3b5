"""The order in which answers come up, and the answers that a filter lets through."""

from __future__ import annotations

import hmac
import re
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property, lru_cache
from typing import Self

from grader.errors import UsageError
from grader.review.answers import NO_ANSWER
from grader.review.judgements import Judgement
from grader.review.store import FIRST, SECOND, Entry, ReviewStore
from grader.text import clean_line


class Filter(StrEnum):
    """The answers that come up."""

    ALL = "all"
    UNGRADED = "ungraded"
    FLAGGED = "flagged"
    SECOND = "second"
    """Judged by another grader, and drawn for a second, independent reading."""


@dataclass(frozen=True, kw_only=True)
class Group:
    """All students with one answer to one item, in one reading.

    `number` is the place in the order, from 1, the same under every filter.
    """

    number: int
    sha256: str
    entries: tuple[Entry, ...]

    @cached_property
    def judgement(self) -> Judgement | None:
        """The latest judgement of this answer, or None."""
        judged = [entry.current for entry in self.entries if entry.current is not None]
        return max(judged, key=lambda judgement: judgement.judged_at, default=None)

    @cached_property
    def outdated(self) -> Judgement | None:
        """The judgement of an earlier answer of the same student, or None."""
        return next((entry.judgement for entry in self.entries if entry.outdated), None)

    @property
    def missing(self) -> bool:
        """True if no answer was submitted; the points are then lost without a person."""
        return self.sha256 == NO_ANSWER.sha256

    @cached_property
    def graded(self) -> bool:
        """True if no judgement is missing."""
        return self.missing or all(entry.current is not None for entry in self.entries)

    @cached_property
    def requests(self) -> list[str]:
        """The reasons for which students asked to have this answer graded again."""
        judged = [entry.current for entry in self.entries if entry.current is not None]
        return [judgement.request for judgement in judged if judgement.request]

    @cached_property
    def flagged(self) -> bool:
        """True if somebody asked for another look, or the answer changed after its judgement."""
        judgement = self.judgement
        is_flagged = judgement is not None and judgement.flagged
        return is_flagged or self.outdated is not None or bool(self.requests)


@dataclass(frozen=True)
class Share:
    """One of several equal parts of the answers to each item: "2/6", or "2/6 A" of section A."""

    number: int = 1
    parts: int = 1
    section: str = ""

    @classmethod
    def read(cls, text: str, sections: Collection[str]) -> Self:
        """Return the share that a text such as "2/6" or "2/6 A" names.

        Raises:
            UsageError: the text names none, or a section that is not in the class.
        """
        share, _, section = text.strip().partition(" ")
        number, _, parts = share.partition("/")
        if not re.fullmatch("[0-9]{1,4}/[0-9]{1,4}", share) or not 1 <= int(number) <= int(parts):
            raise UsageError(
                f"{clean_line(text)!r} is not a share of the answers",
                next_step="write 2/6 for the second of six",
            )
        if section and section not in sections:
            known = ", ".join(map(clean_line, sorted(set(sections)))) or "none"
            raise UsageError(
                f"the class has no section {clean_line(section)!r}",
                next_step=f"sections in the roster's column `section`: {known}",
            )
        return cls(int(number), int(parts), section)

    def __str__(self) -> str:
        return f"{self.number}/{self.parts} {self.section}".rstrip()


EVERYTHING = Share()


def in_share(store: ReviewStore, groups: Sequence[Group], share: Share) -> list[Group]:
    """Return the groups of a share, in their order; every group is in exactly one.

    The groups stand in a drawn order of the students, the same for every item, and are cut into
    equal runs. So most answers of one student have one reader, also after a new submission, and a
    new student moves at most one answer over each cut.
    """
    if share == EVERYTHING:
        return list(groups)
    key, sections = store.secret_key(), store.sections()
    owned = sorted((*min(_places(key, group)), group.sha256) for group in groups)
    own = [
        sha256
        for _, student_id, sha256 in owned
        if not share.section or sections.get(student_id) == share.section
    ]
    begin, end = (len(own) * cut // share.parts for cut in (share.number - 1, share.number))
    chosen = frozenset(own[begin:end])
    return [group for group in groups if group.sha256 in chosen]


def _places(key: bytes, group: Group) -> Iterator[tuple[bytes, str]]:
    for entry in group.entries:
        yield _draw(key, "share", "", entry.student_id), entry.student_id


@dataclass(frozen=True, kw_only=True)
class Progress:
    """The progress of one item, in students."""

    answers: int
    graded: int
    flagged: int

    @property
    def left(self) -> int:
        """The number of ungraded students."""
        return self.answers - self.graded


def read_groups(store: ReviewStore, item_id: str, *, reading: int = FIRST) -> list[Group]:
    """Return every answer to an item in an order that does not depend on the students."""
    by_answer: dict[str, list[Entry]] = defaultdict(list)
    for entry in store.entries(item_id, reading=reading):
        by_answer[entry.answer_sha256].append(entry)
    key = store.secret_key()
    ordered = sorted(by_answer, key=lambda sha256: _draw(key, "order", item_id, sha256))
    return [
        Group(number=number, sha256=sha256, entries=tuple(by_answer[sha256]))
        for number, sha256 in enumerate(ordered, start=1)
    ]


def measure_progress(groups: Sequence[Group]) -> Progress:
    """Count the students whose answers are graded, flagged and missing."""
    return Progress(
        answers=sum(len(group.entries) for group in groups),
        graded=sum(len(group.entries) for group in groups if group.graded),
        flagged=sum(len(group.entries) for group in groups if group.flagged),
    )


def select(
    store: ReviewStore, item_id: str, groups: Sequence[Group], shown: Filter, grader: str
) -> list[Group]:
    """Return the groups that a filter lets through, for one grader."""
    match shown:
        case Filter.ALL:
            return list(groups)
        case Filter.UNGRADED:
            own = {group.sha256 for group in in_share(store, groups, share_of(store, grader))}
            return [
                group
                for group in groups
                if group.requests or (not group.graded and group.sha256 in own)
            ]
        case Filter.FLAGGED:
            return [group for group in groups if group.flagged]
        case Filter.SECOND:
            return _for_second_reading(store, item_id, groups, grader)


def share_of(store: ReviewStore, grader: str) -> Share:
    """Return the share of the answers that a grader was given, or `EVERYTHING`."""
    kept = store.shares().get(grader)
    # A section that left the roster is empty, and is not everything.
    return Share.read(kept, [kept.partition(" ")[2]]) if kept else EVERYTHING


def give_share(store: ReviewStore, grader: str, share: Share, *, by: str) -> None:
    """Give a grader a share of the answers, or `EVERYTHING`."""
    store.set_share(grader, "" if share == EVERYTHING else str(share), by=by)


def neighbours(
    groups: Sequence[Group], chosen: Sequence[Group], sha256: str
) -> tuple[Group | None, Group | None]:
    """Return the chosen groups before and after any group, given by its digest."""
    number = next((group.number for group in groups if group.sha256 == sha256), 0)
    before = [group for group in chosen if group.number < number]
    after = [group for group in chosen if group.number > number]
    return (before[-1] if before else None), (after[0] if after else None)


def _for_second_reading(
    store: ReviewStore, item_id: str, groups: Sequence[Group], grader: str
) -> list[Group]:
    share = store.double_share()
    if share == 0:
        return []
    key = store.secret_key()
    read_twice = {
        group.sha256
        for group in read_groups(store, item_id, reading=SECOND)
        if group.judgement is not None
    }

    def is_drawn(sha256: str) -> bool:
        drawn = _draw(key, "second reading", item_id, sha256)
        return int.from_bytes(drawn[:8], "big") < share * 2**64

    return [
        group
        for group in groups
        if group.judgement is not None
        and group.judgement.grader != grader
        and group.sha256 not in read_twice
        and is_drawn(group.sha256)
    ]


@lru_cache(maxsize=50_000)
def _draw(key: bytes, purpose: str, item_id: str, sha256: str) -> bytes:
    """Return bytes that look random without the class's key."""
    return hmac.digest(key, f"{purpose}\x00{item_id}\x00{sha256}".encode(), "sha256")
