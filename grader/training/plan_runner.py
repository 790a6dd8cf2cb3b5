"""Runs the plans of one submission, or of many, over one trainer."""

from __future__ import annotations

import heapq
import sys
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from grader.errors import GraderError
from grader.results import EpochResult, TrainingRun

if TYPE_CHECKING:
    from grader.training.job import TrainingJob
    from grader.training.plans import EpochCallback, Plan, Round

Key = TypeVar("Key", bound=Hashable)

OnEpoch = Callable[[Key, "TrainingJob", int, EpochResult], None]
"""Told after every epoch: the plan's key, the job, the epoch counted from 1, and its result."""


class Trainer(Protocol):
    """Where jobs are trained, such as `grader.training.cached_trainer.CachedTrainer`."""

    def submit(
        self, wanted: Round, on_epochs: Sequence[EpochCallback]
    ) -> list[Future[TrainingRun]]:
        """Train in the background, with each job's callback called after each of its epochs."""
        ...


class PlanRunner(Generic[Key]):
    """Many plans at once over one trainer, those with the most work first.

    Args:
        trainer: where their rounds are trained.
        on_epoch: told after every epoch of every plan.
        rounds_at_once: how many rounds the trainer is given at a time. The others wait here, where
            a later one with more work can still overtake them.
    """

    def __init__(
        self, trainer: Trainer, on_epoch: OnEpoch[Key], *, rounds_at_once: int = sys.maxsize
    ) -> None:
        self._trainer = trainer
        self._on_epoch = on_epoch
        self._rounds_at_once = rounds_at_once
        self._plans: dict[Key, tuple[float, Plan[Any]]] = {}
        self._waiting: list[tuple[float, int, Key, Round]] = []
        self._training: dict[Key, list[Future[TrainingRun]]] = {}
        self._order = count()

    def add(self, key: Key, plan: Plan[Any], *, work: float = 0.0) -> None:
        """Begin a plan.

        Args:
            key: names it.
            plan: not begun yet.
            work: what it may cost, in any unit that all plans share.
        """
        self._plans[key] = (work, plan)
        self._enqueue(key, next(plan))
        self._submit()

    def futures(self) -> list[Future[TrainingRun]]:
        """What is in training: once one of these is done, `collect` has something to do."""
        return [
            future for futures in self._training.values() for future in futures if not future.done()
        ]

    def collect(self) -> Iterator[tuple[Key, Any]]:
        """Take the rounds that have ended, and begin what follows them.

        Yields:
            The key of each plan that has ended, with its result, or with the `MachineError` that
            ended it; one plan's error leaves the others alone.
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

    def _enqueue(self, key: Key, wanted: Round) -> None:
        work, _ = self._plans[key]
        heapq.heappush(self._waiting, (-work, next(self._order), key, wanted))

    def _submit(self) -> None:
        while self._waiting and len(self._training) < self._rounds_at_once:
            _, _, key, wanted = heapq.heappop(self._waiting)
            callbacks = [partial(self._on_epoch, key, job) for job in wanted.jobs]
            self._training[key] = self._trainer.submit(wanted, callbacks)


def run_plans(
    plans: Mapping[Key, Plan[Any]], trainer: Trainer, on_epoch: OnEpoch[Key]
) -> Iterator[tuple[Key, Any]]:
    """Run plans to their ends, begun in the order given.

    Yields:
        What `PlanRunner.collect` yields, as soon as there is something.
    """
    runner = PlanRunner(trainer, on_epoch)
    for key, plan in plans.items():
        runner.add(key, plan)
    yield from runner.collect()
    while futures := runner.futures():
        wait(futures, return_when=FIRST_COMPLETED)
        yield from runner.collect()
