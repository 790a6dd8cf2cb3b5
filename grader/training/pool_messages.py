"""What `grader.training.pool` and its worker processes say to each other over a pipe."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from grader.errors import GraderError
    from grader.results import EpochResult, TrainingRun
    from grader.training.job import TrainingJob


@dataclass(frozen=True, kw_only=True)
class SharedDataset:
    """Where a worker finds the data set: its four arrays lie one after another in a file.

    Attributes:
        descriptor: of the file, inherited from the parent; all workers share its pages.
        image_size: (height, width).
    """

    descriptor: int
    name: str
    sha256: str
    practice: bool
    train_examples: int
    test_examples: int
    image_size: tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class Order:
    """Train these jobs: one network, or several that can be stacked into one."""

    jobs: tuple[TrainingJob, ...]


@dataclass(frozen=True, kw_only=True)
class EpochEnded:
    """One epoch of the order's job at `index` ended; epochs count from 1."""

    index: int
    epoch: int
    result: EpochResult


@dataclass(frozen=True, kw_only=True)
class Finished:
    """All jobs of the order are trained; their runs are in the same order."""

    runs: tuple[TrainingRun, ...]


@dataclass(frozen=True, kw_only=True)
class Failed:
    """The order cannot be carried out, for this reason."""

    error: GraderError
