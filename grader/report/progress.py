"""What the terminal shows while a submission is graded, on standard error.

A terminal gets a live bar for each item in training; anything else (a pipe, a CI log) gets a plain
line when an item is finished, or after every epoch with --verbose.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

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

if TYPE_CHECKING:
    from typing import Self

    from grader.results import EpochResult, ItemResult
    from grader.training.job import TrainingJob


class Screen:
    """What every progress display shares: a live bar, plain lines, warnings; use it with `with`.

    Args:
        console: writes to standard error, so that standard output stays for results.
        columns: of the live bar.
        quiet: show warnings only.
    """

    def __init__(self, console: Console, *columns: ProgressColumn, quiet: bool) -> None:
        self._console = console
        self._quiet = quiet
        self._live = console.is_terminal and not quiet
        self._bars = Progress(*columns, console=console, transient=True)

    def __enter__(self) -> Self:
        if self._live:
            self._bars.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._bars.stop()

    def stage(self, text: str) -> None:
        """A stage begins."""
        self._say(f"{text} …")

    def warn(self, text: str) -> None:
        """Something that the user must not miss, quiet or not."""
        self._console.print(Text(f"warning: {text}", style="bold yellow"), soft_wrap=True)

    def _say(self, text: str) -> None:
        if not self._quiet:
            self._console.print(Text(text, style="dim"), soft_wrap=True)


class TerminalProgress(Screen):
    """An observer of one submission's grading.

    Args:
        console: writes to standard error, so that standard output stays for results.
        quiet: show warnings only.
        verbose: a line after every epoch.
    """

    def __init__(self, console: Console, *, quiet: bool, verbose: bool) -> None:
        super().__init__(
            console,
            SpinnerColumn(finished_text="·"),
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[detail]}"),
            TimeElapsedColumn(),
            quiet=quiet,
        )
        self._verbose = verbose
        self._tasks: dict[str, TaskID] = {}

    def training_starts(self, item_ids: list[str]) -> None:
        """These items are about to be trained."""
        if item_ids:
            self._say(f"training for {', '.join(item_ids)} …")
        if self._live:
            for item_id in item_ids:
                self._tasks[item_id] = self._bars.add_task(item_id, total=None, detail="waiting")

    def epoch_ended(self, item_id: str, job: TrainingJob, epoch: int, result: EpochResult) -> None:
        """Show where the item's training is."""
        detail = (
            f"seed {job.seed}, epoch {epoch} of {job.epochs}, "
            f"test accuracy {result.test_accuracy:.2%}"
        )
        if self._verbose:
            self._say(f"{item_id}: {detail}, loss {result.train_loss:.4f}")
        if item_id in self._tasks:
            sweep = job.epochs == 1
            self._bars.update(
                self._tasks[item_id],
                total=None if sweep else job.epochs,
                completed=0 if sweep else epoch,
                detail=detail,
            )

    def item_finished(self, item: ItemResult) -> None:
        """An item that needed training has its result."""
        if item.id in self._tasks:
            self._bars.remove_task(self._tasks.pop(item.id))
        accuracy = f", {item.training.accuracy:.2%}" if item.training else ""
        self._say(f"{item.id}: {item.outcome.value}{accuracy}")
