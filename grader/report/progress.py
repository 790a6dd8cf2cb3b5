"""Show the progress of grading a submission on standard error.

A terminal gets a live bar for each item in training. A pipe or a CI log gets a plain line when an
item is finished, and with --verbose after every epoch.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)
from rich.text import Text

from grader.report.wording import rough_duration
from grader.results import EpochResult, ItemResult
from grader.training.job import TrainingJob

WIDE = 80
"""The columns of a terminal that has room for every word."""


class Screen:
    """A live bar with these columns, plain lines and warnings, as a context manager.

    The console is on standard error, because standard output is for results. `quiet` shows warnings
    only.
    """

    def __init__(self, console: Console, *columns: ProgressColumn, quiet: bool) -> None:
        self._console = console
        self._quiet = quiet
        self._live = console.is_terminal and not quiet
        self._is_wide = console.width >= WIDE
        self._bars = Progress(*columns, console=console, transient=True)

    def __enter__(self) -> Self:
        if self._live:
            self._bars.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._bars.stop()

    def stage(self, text: str) -> None:
        """Say that a stage begins."""
        self._say(f"{text} …")

    def warn(self, text: str) -> None:
        """Print a warning, even if `quiet`."""
        self._console.print(Text(f"warning: {text}", style="bold yellow"), soft_wrap=True)

    def _say(self, text: str) -> None:
        if not self._quiet:
            self._console.print(Text(text, style="dim"), soft_wrap=True)


_ALL = "all"


class Forecast:
    """The time that all trainings will take, from the work that is done.

    Args:
        work: the multiply-adds of one run of each item, by id. A further seed adds another run.
    """

    def __init__(self, work: Mapping[str, float]) -> None:
        self._work = dict(work)
        self._total = dict(work)
        self._done = dict.fromkeys(work, 0.0)
        self._seeds: dict[str, set[int]] = {item_id: set() for item_id in work}
        self._started = time.monotonic()

    def epoch_ended(self, item_id: str, job: TrainingJob) -> None:
        """Count one epoch of a run."""
        seeds, work = self._seeds[item_id], self._work[item_id]
        seeds.add(job.seed)
        self._total[item_id] = work * len(seeds)
        done = self._done[item_id] + work / max(job.epochs, 1)
        # A sweep has several runs for a seed, and its length is not known.
        self._done[item_id] = min(done, self._total[item_id])

    def item_finished(self, item_id: str) -> None:
        """Count an item that will not be trained any further."""
        self._done[item_id] = self._total[item_id]

    @property
    def share(self) -> float:
        """The share of the work that is done, 0 to 1."""
        return sum(self._done.values()) / (sum(self._total.values()) or 1.0)

    @property
    def remaining_seconds(self) -> float | None:
        """The seconds that are left, or None while too little is done to say."""
        if self.share < _ENOUGH:
            return None
        return (time.monotonic() - self._started) * (1 / self.share - 1)


_ENOUGH = 0.02
"""The share of the work after which the rest is forecast."""


class TerminalProgress(Screen):
    """Observes the grading of one submission; `verbose` prints a line after every epoch."""

    def __init__(self, console: Console, *, quiet: bool, verbose: bool) -> None:
        super().__init__(
            console,
            SpinnerColumn(finished_text="·"),
            TextColumn("{task.description}"),
            BarColumn(bar_width=24 if console.width >= WIDE else 8),
            TextColumn("{task.fields[detail]}"),
            TimeElapsedColumn(),
            quiet=quiet,
        )
        self._verbose = verbose
        self._tasks: dict[str, TaskID] = {}
        self._forecast = Forecast({})

    def training_starts(self, work: Mapping[str, float]) -> None:
        """Add a bar for each item that is about to be trained, and one for all of them."""
        if work:
            self._say(f"training for {', '.join(work)} …")
        if self._live:
            self._forecast = Forecast(work)
            for item_id in work:
                self._tasks[item_id] = self._bars.add_task(item_id, total=None, detail="waiting")
            if len(work) > 1:
                self._tasks[_ALL] = self._bars.add_task(_ALL, total=1.0, detail="")

    def epoch_ended(self, item_id: str, job: TrainingJob, epoch: int, result: EpochResult) -> None:
        """Show the last epoch of an item's training."""
        value = job.metric.show(result.measured(job.metric))
        detail = f"{job.metric.label} {value}"
        if job.epochs:
            detail = f"seed {job.seed}, epoch {epoch} of {job.epochs}, {detail}"
        if self._verbose:
            self._say(f"{item_id}: {detail}, loss {result.train_loss:.4f}")
        if item_id in self._tasks:
            sweep = job.epochs <= 1
            self._bars.update(
                self._tasks[item_id],
                total=None if sweep else job.epochs,
                completed=0 if sweep else epoch,
                detail=detail
                if self._is_wide
                else f"seed {job.seed}, {epoch}/{job.epochs}: {value}",
            )

            self._forecast.epoch_ended(item_id, job)
            self._show_forecast()

    def _show_forecast(self) -> None:
        if _ALL in self._tasks:
            remaining = self._forecast.remaining_seconds
            left = "" if remaining is None else f"about {rough_duration(remaining)} left"
            self._bars.update(self._tasks[_ALL], completed=self._forecast.share, detail=left)

    def item_finished(self, item: ItemResult) -> None:
        """Replace the bar of a trained item by its outcome."""
        if item.id in self._tasks:
            self._bars.remove_task(self._tasks.pop(item.id))
            self._forecast.item_finished(item.id)
            self._show_forecast()
            if set(self._tasks) == {_ALL}:
                self._bars.remove_task(self._tasks.pop(_ALL))
        training = item.training
        value = f", {training.metric.show(training.accuracy)}" if training else ""
        self._say(f"{item.id}: {item.outcome.value}{value}")
