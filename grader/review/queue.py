"""In which order answers come up, which of them are left, and which one is next."""

from __future__ import annotations

import hmac
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property, lru_cache

from grader.cohort.store import Store
from grader.review.answers import NO_ANSWER
from grader.review.judgements import Judgement
from grader.review.ledger import SECOND, Entry, read_entries
from grader.review.settings import double_share, secret_key


class Filter(StrEnum):
    """Which answers come up."""

    ALL = "all"
    UNGRADED = "ungraded"
    FLAGGED = "flagged"
    SECOND = "second"
    """Judged by somebody else, and drawn for a second, independent reading."""


@dataclass(frozen=True, kw_only=True)
class Group:
    """Everybody who gave one answer to one item.

    Attributes:
        number: its place in the order, from 1, the same under every filter.
        entries: of the reading in question.
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
        """Whether nothing was handed in, for which the points are lost without a person."""
        return self.sha256 == NO_ANSWER.sha256

    @cached_property
    def graded(self) -> bool:
        """Whether nobody needs to judge it any more."""
        return self.missing or all(entry.current is not None for entry in self.entries)

    @cached_property
    def flagged(self) -> bool:
        """Whether somebody should look at it again: asked for, or the answer changed since."""
        judgement = self.judgement
        return self.outdated is not None or (judgement is not None and judgement.flagged)


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far an item is: students, not groups."""

    answers: int
    graded: int
    flagged: int
    missing: int

    @property
    def left(self) -> int:
        """How many students wait."""
        return self.answers - self.graded


def read_groups(store: Store, item_id: str, *, reading: int = 1) -> list[Group]:
    """Every answer to an item in an order that says nothing about who gave it."""
    by_answer: dict[str, list[Entry]] = defaultdict(list)
    for entry in read_entries(store, item_id, reading=reading):
        by_answer[entry.answer_sha256].append(entry)
    key = secret_key(store)
    ordered = sorted(by_answer, key=lambda sha256: _draw(key, "order", item_id, sha256))
    return [
        Group(number=number, sha256=sha256, entries=tuple(by_answer[sha256]))
        for number, sha256 in enumerate(ordered, start=1)
    ]


def measure_progress(groups: Sequence[Group]) -> Progress:
    """How far an item is."""

    def students(chosen: Sequence[Group]) -> int:
        return sum(len(group.entries) for group in chosen)

    return Progress(
        answers=students(groups),
        graded=students([group for group in groups if group.graded]),
        flagged=students([group for group in groups if group.flagged]),
        missing=students([group for group in groups if group.missing]),
    )


def select(
    store: Store, item_id: str, groups: Sequence[Group], shown: Filter, grader: str
) -> list[Group]:
    """The groups that a filter lets through, for one grader."""
    match shown:
        case Filter.ALL:
            return list(groups)
        case Filter.UNGRADED:
            return [group for group in groups if not group.graded]
        case Filter.FLAGGED:
            return [group for group in groups if group.flagged]
        case Filter.SECOND:
            return _for_second_reading(store, item_id, groups, grader)


def neighbours(
    groups: Sequence[Group], chosen: Sequence[Group], sha256: str
) -> tuple[Group | None, Group | None]:
    """The chosen groups before and after the one with this digest, chosen itself or not."""
    number = next((group.number for group in groups if group.sha256 == sha256), 0)
    before = [group for group in chosen if group.number < number]
    after = [group for group in chosen if group.number > number]
    return (before[-1] if before else None), (after[0] if after else None)


def is_drawn(store: Store, item_id: str, sha256: str) -> bool:
    """Whether an answer belongs to the sample that two people grade independently."""
    share = double_share(store)
    drawn = _draw(secret_key(store), "second reading", item_id, sha256)
    return int.from_bytes(drawn[:8], "big") < share * 2**64


def _for_second_reading(
    store: Store, item_id: str, groups: Sequence[Group], grader: str
) -> list[Group]:
    if double_share(store) == 0:
        return []
    read_twice = {
        group.sha256
        for group in read_groups(store, item_id, reading=SECOND)
        if group.judgement is not None
    }
    return [
        group
        for group in groups
        if group.judgement is not None
        and group.judgement.grader != grader
        and group.sha256 not in read_twice
        and is_drawn(store, item_id, group.sha256)
    ]


@lru_cache(maxsize=50_000)
def _draw(key: bytes, purpose: str, item_id: str, sha256: str) -> bytes:
    """What looks like chance to all who do not know the class's key."""
    return hmac.digest(key, f"{purpose}\x00{item_id}\x00{sha256}".encode(), "sha256")
