"""Timing of the stages of a grading."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from grader.results import Timing


class Clock:
    """Seconds since the start, and of each stage."""

    def __init__(self) -> None:
        self._started_at = datetime.now(UTC).isoformat(timespec="seconds")
        self._start = self._last = time.monotonic()
        self._seconds: dict[str, float] = {}

    def mark(self, stage: str) -> None:
        """End a stage."""
        now = time.monotonic()
        self._seconds[stage] = round(now - self._last, 3)
        self._last = now

    def timing(self) -> Timing:
        """Return the times so far."""
        return Timing(
            started_at=self._started_at,
            extract_seconds=self._seconds.get("extract", 0.0),
            train_seconds=self._seconds.get("train", 0.0),
            total_seconds=round(time.monotonic() - self._start, 3),
        )
