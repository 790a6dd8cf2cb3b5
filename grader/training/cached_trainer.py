"""A trainer that trains only the runs that the run cache lacks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager, ExitStack
from functools import partial
from typing import Protocol, Self

from grader.results import TrainingRun
from grader.training.budget import Budget
from grader.training.job import EpochCallback, TrainingJob
from grader.training.plans import Round
from grader.training.run_cache import RunCache

_Key = tuple[tuple[str, float | None], ...]


class Pool(Protocol):
    """Trains jobs without a cache, such as `grader.training.pool.TrainingPool`."""

    def submit_stacked(
        self,
        jobs: Sequence[TrainingJob],
        on_epochs: Sequence[EpochCallback] | None = None,
        *,
        budget: Budget,
    ) -> list[Future[TrainingRun]]:
        """Train jobs in the background, several as one network if they can be stacked."""
        ...


StartPool = Callable[[], AbstractContextManager[Pool]]
"""Returns a pool; its processes start on entering."""


class CachedTrainer:
    """A context manager around a pool, which starts only when a run is missing.

    Without a cache, everything is trained and nothing is kept.

    Attributes:
        reused_runs: number of runs that were in the cache, or already in training.
        trained_runs: number of the other runs.
    """

    def __init__(self, *, start_pool: StartPool, cache: RunCache | None) -> None:
        self._start_pool = start_pool
        self._cache = cache
        self._resources = ExitStack()
        self._pool: Pool | None = None
        self._in_training: dict[_Key, list[Future[TrainingRun]]] = {}
        self.reused_runs = 0
        self.trained_runs = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._resources.close()

    def submit(
        self, requested: Round, on_epochs: Sequence[EpochCallback]
    ) -> list[Future[TrainingRun]]:
        """Return the runs of a round: from the cache, or trained in the background.

        Jobs of a stack share the generator of their dropout masks, so each run belongs to its
        whole stack: the runs of a stack are found, trained and kept together. A job that is in
        training is not trained twice; its epochs are reported to the first caller only.
        """
        budget = requested.budget
        if requested.stacked:
            return self._runs_of_group(requested.jobs, on_epochs, budget, stack=requested.jobs)
        return [
            self._runs_of_group([job], [on_epoch], budget, stack=())[0]
            for job, on_epoch in zip(requested.jobs, on_epochs, strict=True)
        ]

    def _runs_of_group(
        self,
        jobs: Sequence[TrainingJob],
        on_epochs: Sequence[EpochCallback],
        budget: Budget,
        *,
        stack: Sequence[TrainingJob],
    ) -> list[Future[TrainingRun]]:
        """Return the runs of jobs that belong together: a single job, or a whole stack."""
        key = tuple((job.digest(), job.stop_at_accuracy) for job in jobs)
        futures = self._in_training.get(key) or self._load(jobs, on_epochs, stack)
        if futures is not None:
            self.reused_runs += len(jobs)
            return futures
        if self._pool is None:
            self._pool = self._resources.enter_context(self._start_pool())
        futures = self._pool.submit_stacked(jobs, on_epochs, budget=budget)
        self.trained_runs += len(jobs)
        self._in_training[key] = futures
        for job, future in zip(jobs, futures, strict=True):
            future.add_done_callback(partial(self._finish, key, job, stack))
        return futures

    def _finish(
        self, key: _Key, job: TrainingJob, stack: Sequence[TrainingJob], ended: Future[TrainingRun]
    ) -> None:
        """Keep a run, then forget its group if all its runs ended: a failed run may be retried.

        The pool's threads call this: no lock is needed, as each access to the dict is one step.
        """
        if self._cache is not None and ended.exception() is None:
            self._cache.store(job, ended.result(), stack)
        if all(future.done() for future in self._in_training.get(key, [])):
            self._in_training.pop(key, None)

    def _load(
        self,
        jobs: Sequence[TrainingJob],
        on_epochs: Sequence[EpochCallback],
        stack: Sequence[TrainingJob],
    ) -> list[Future[TrainingRun]] | None:
        """Return the kept runs with their epochs reported, or None if one is missing."""
        if self._cache is None:
            return None
        runs = [run for job in jobs if (run := self._cache.load(job, stack))]
        if len(runs) < len(jobs):
            return None
        futures = []
        for run, on_epoch in zip(runs, on_epochs, strict=True):
            for number, epoch in enumerate(run.epochs, start=1):
                on_epoch(number, epoch)
            future: Future[TrainingRun] = Future()
            future.set_result(run)
            futures.append(future)
        return futures
