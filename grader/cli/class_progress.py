"""Progress of a class, on standard error.

A terminal gets one live line with a bar; a pipe or a log gets a plain line for each student.
"""

from __future__ import annotations

import time

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TextColumn

from grader.cohort.summary import Status, StudentSummary
from grader.report.progress import Screen
from grader.report.wording import rough_duration
from grader.text import clean_line

SETTLED_STUDENTS = 3
"""No forecast before this many are done: the start-up of the first ones would distort it."""


class ClassProgress(Screen):
    """Shows the progress of a class."""

    def __init__(self, console: Console, *, quiet: bool) -> None:
        super().__init__(
            console,
            SpinnerColumn(),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[detail]}"),
            quiet=quiet,
        )
        self._task = self._bars.add_task("", total=None, detail="")
        self._to_grade = self._taken_in = self._done = self._failed = 0
        self._started = 0.0
        self._trained = self._reused = 0

    def starts(self, *, to_grade: int, unchanged: int, missing: int) -> None:
        """Show how many students will be graded."""
        self._to_grade = to_grade
        self._started = time.monotonic()
        self._say(f"{to_grade} to grade, {unchanged} unchanged, {missing} missing")
        self._update()

    def taken_in(self) -> None:
        """Count a student whose models are known and queued for training."""
        self._taken_in += 1
        self._update()

    def runs_counted(self, *, trained: int, reused: int) -> None:
        """Update the numbers of training runs started and reused."""
        self._trained, self._reused = trained, reused
        self._update()

    def graded(self, summary: StudentSummary) -> None:
        """Count a finished student."""
        if summary.status is Status.MISSING:
            return
        self._done += 1
        self._failed += summary.status is not Status.GRADED
        self._say(_describe(summary))
        self._update()

    def _update(self) -> None:
        self._bars.update(
            self._task, total=self._to_grade, completed=self._done, detail=self._detail()
        )

    def _detail(self) -> str:
        running = max(0, self._taken_in - self._done)
        queued = max(0, self._to_grade - self._done - running)
        parts = [f"{running} running", f"{queued} queued"]
        if self._failed:
            parts.append(f"{self._failed} without a grade")
        parts.append(f"{self._trained} runs, {self._reused} reused")
        elapsed = time.monotonic() - self._started
        if self._done >= SETTLED_STUDENTS and elapsed > 0:
            per_hour = self._done / elapsed * 3600
            remaining = (self._to_grade - self._done) / self._done * elapsed
            parts.append(f"{per_hour:.0f} students/h")
            parts.append(f"about {rough_duration(remaining)} remaining")
        return ", ".join(parts)


def _describe(summary: StudentSummary) -> str:
    student = clean_line(summary.student.id)
    if summary.status is not Status.GRADED:
        return f"{student}: {summary.status}, {clean_line(summary.message)[:200]}"
    score = summary.score
    pending = f", {score.pending:g} pending" if score.pending else ""
    return f"{student}: {score.earned:g} of {score.possible:g}{pending}"
