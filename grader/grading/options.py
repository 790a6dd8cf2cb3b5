"""Options of a grading, and the setting that all submissions of a run share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from grader.assignment.records import Assignment
from grader.sandbox.isolation.choice import Sandbox

if TYPE_CHECKING:
    from grader.training.datasets import Dataset, Datasets  # imports torch


@dataclass(frozen=True, kw_only=True)
class Options:
    """The options of the command line.

    Attributes:
        data_directory: the directory of the data, or None to look for it.
        practice: use the assignment's practice set.
        may_fall_back: use the practice set if the data is missing.
        seeds: instead of the assignment's seeds; all of them are run.
        device: "auto", "cpu" or "cuda".
        scheduler: address of a Dask scheduler whose workers train, or None to train here.
        only: problems, parts or items to grade; empty for all.
        full: train every epoch, even past a met threshold.
        quick: everything but training.
        show: only find what would be graded.
        own_work: run the user's own work without a sandbox; never set for a class.
        use_cache: reuse cached runs, and cache new runs.
        shows_hidden: results tell what hidden tests found; they are for instructors only.
    """

    data_directory: Path | None = None
    practice: bool = False
    may_fall_back: bool = True
    seeds: tuple[int, ...] = ()
    device: str = "auto"
    scheduler: str | None = None
    only: tuple[str, ...] = ()
    full: bool = False
    quick: bool = False
    show: bool = False
    own_work: bool = False
    use_cache: bool = True
    shows_hidden: bool = False


@dataclass(frozen=True, kw_only=True)
class Setting:
    """Everything that the submissions of one run share.

    Attributes:
        assignment: with the practice set and its thresholds if that set is used.
        datasets: of all items that are trained.
        practice: the practice set is used, which gives no grade.
        device: "cpu" or "cuda".
    """

    assignment: Assignment
    options: Options
    datasets: Datasets
    practice: bool
    sandbox: Sandbox
    device: str

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds to train with."""
        return self.options.seeds or self.assignment.seeds

    def dataset_of(self, item_id: str) -> Dataset:
        """Return the data set of an item that is trained."""
        (source,) = self.assignment.sources([item_id]).values()
        return self.datasets[source.id]
