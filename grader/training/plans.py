"""Plans: the training runs that a verdict needs, round after round.

A plan is a generator: it yields jobs, receives their runs in the same order, and returns its
conclusion. So a plan knows nothing of processes, and a `PlanRunner` runs many over one trainer.
"""

from __future__ import annotations

import heapq
import sys
from collections.abc import Callable, Generator, Hashable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import Any, Generic, Protocol, TypeVar

from grader.errors import GraderError
from grader.results import EpochResult, TrainingRun
from grader.training.budget import UNLIMITED, Budget
from grader.training.job import EpochCallback, TrainingJob

Result = TypeVar("Result")
Key = TypeVar("Key", bound=Hashable)

OnEpoch = Callable[[Key, TrainingJob, int, EpochResult], None]
"""Called after every epoch: the plan's key, the job, the epoch counted from 1, and its result."""


@dataclass(frozen=True, kw_only=True)
class Round:
    """Jobs to be trained at once.

    Attributes:
        stacked: train the jobs as one network: faster; dropout masks differ from separate runs.
        budget: limits on the training of each stack; a run of the cache needs none.
    """

    jobs: list[TrainingJob]
    stacked: bool = False
    budget: Budget = UNLIMITED


_Rank = tuple[bool, float]

Plan = Generator[Round, list[TrainingRun], Result]


class Trainer(Protocol):
    """Trains jobs, such as `grader.training.cached_trainer.CachedTrainer`."""

    def submit(
        self, requested: Round, on_epochs: Sequence[EpochCallback]
    ) -> list[Future[TrainingRun]]:
        """Train a round in the background, with one callback for each job."""
        ...


class PlanRunner(Generic[Key]):
    """Runs many plans at once over one trainer, those with the most work first.

    No core is idle while a round waits. So a plan ends after its own work and, at the latest, after
    the others' work divided by the cores, in whatever order the plans come.

    Args:
        trainer: trains the rounds.
        on_epoch: called after every epoch of every plan.
        rounds_at_once: the number of rounds that the trainer has at a time. The others wait here,
            where a later round with more work can still overtake them.
    """

    def __init__(
        self, trainer: Trainer, on_epoch: OnEpoch[Key], *, rounds_at_once: int = sys.maxsize
    ) -> None:
        self._trainer = trainer
        self._on_epoch = on_epoch
        self._rounds_at_once = rounds_at_once
        self._plans: dict[Key, tuple[_Rank, Plan[Any]]] = {}
        self._waiting: list[tuple[_Rank, int, Key, Round]] = []
        self._training: dict[Key, list[Future[TrainingRun]]] = {}
        self._order = count()

    def add(
        self, key: Key, plan: Plan[Any], *, work: float = 0.0, waits_for_all: bool = False
    ) -> None:
        """Start a plan.

        Args:
            key: names the plan when it ends.
            plan: the plan.
            work: its estimated cost, in any unit that all plans share.
            waits_for_all: the plan costs so much that all others go first.
        """
        self._plans[key] = ((waits_for_all, -work), plan)
        self._enqueue(key, next(plan))
        self._submit()

    def futures(self) -> list[Future[TrainingRun]]:
        """Return the runs in training; call `collect` when one of them is done."""
        return [
            future for futures in self._training.values() for future in futures if not future.done()
        ]

    def collect(self) -> Iterator[tuple[Key, Any]]:
        """Continue the plans whose rounds are trained.

        Yields:
            The key of each plan that ended, with its result or with the `GraderError` that ended
            it. The error of one plan does not touch the others.
        """
        while ended := self._ended():
            for key in ended:
                futures = self._training.pop(key)
                _, plan = self._plans[key]
                try:
                    self._enqueue(key, plan.send([future.result() for future in futures]))
                except StopIteration as end:
                    del self._plans[key]
                    yield key, end.value
                except GraderError as error:
                    del self._plans[key]
                    plan.close()
                    yield key, error
            self._submit()

    def _ended(self) -> list[Key]:
        return [
            key
            for key, futures in self._training.items()
            if all(future.done() for future in futures)
        ]

    def _enqueue(self, key: Key, requested: Round) -> None:
        rank, _ = self._plans[key]
        heapq.heappush(self._waiting, (rank, next(self._order), key, requested))

    def _submit(self) -> None:
        while self._waiting and len(self._training) < self._rounds_at_once:
            _, _, key, requested = heapq.heappop(self._waiting)
            callbacks = [partial(self._on_epoch, key, job) for job in requested.jobs]
            self._training[key] = self._trainer.submit(requested, callbacks)


def run_plans(
    plans: Mapping[Key, Plan[Any]], trainer: Trainer, on_epoch: OnEpoch[Key]
) -> Iterator[tuple[Key, Any]]:
    """Run plans to their ends, started in the order given.

    Yields:
        What `PlanRunner.collect` yields, as soon as a plan ends.
    """
    runner = PlanRunner(trainer, on_epoch)
    for key, plan in plans.items():
        runner.add(key, plan)
    yield from runner.collect()
    while futures := runner.futures():
        wait(futures, return_when=FIRST_COMPLETED)
        yield from runner.collect()
