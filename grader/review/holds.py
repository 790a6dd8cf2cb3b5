"""Answers that somebody has open: `next` gives everybody else another one."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from grader.review.queue import Group

HOLD_SECONDS = 300.0
"""A page that was left open is given to others after this time."""


@dataclass(frozen=True)
class Place:
    """One answer to one item, in one reading."""

    item_id: str
    reading: int
    sha256: str


class Holds:
    """The answers that graders have open, in the memory of the process that serves the review.

    A grader holds one answer at a time: the last one that was opened.
    """

    def __init__(self) -> None:
        self._held: dict[str, tuple[Place, float]] = {}  # by grader

    def hold(self, place: Place, grader: str) -> None:
        """Give an answer to a grader, unless another one has it."""
        if not self.holder(place, grader):
            self._held[grader] = place, time.monotonic() + HOLD_SECONDS

    def release(self, grader: str) -> None:
        """Take back what a grader holds."""
        self._held.pop(grader, None)

    def holder(self, place: Place, grader: str) -> str:
        """Return another grader who has an answer open, or ""."""
        now = time.monotonic()
        for name, (held, until) in self._held.items():
            if name != grader and held == place and until > now:
                return name
        return ""

    def free(self, item_id: str, reading: int, groups: Sequence[Group], grader: str) -> list[Group]:
        """Return the answers that no other grader has open."""
        return [
            group
            for group in groups
            if not self.holder(Place(item_id, reading, group.sha256), grader)
        ]
