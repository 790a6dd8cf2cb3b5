"""A trainer that trains only what the run cache does not hold."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager, ExitStack
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING, Protocol, Self

from grader.results import TrainingRun
from grader.training.plans import EpochCallback, Round

if TYPE_CHECKING:
    from grader.training.datasets import Dataset
    from grader.training.job import TrainingJob
    from grader.training.run_cache import RunCache


_Key = tuple[bool, tuple[tuple[str, float | None], ...]]


class Pool(Protocol):
    """Where jobs are really trained, such as `grader.training.pool.TrainingPool`."""

    def submit(
        self, job: TrainingJob, on_epoch: EpochCallback | None = None
    ) -> Future[TrainingRun]:
        """Train a job in the background."""
        ...

    def submit_stacked(
        self, jobs: Sequence[TrainingJob], on_epochs: Sequence[EpochCallback] | None = None
    ) -> list[Future[TrainingRun]]:
        """Train jobs in the background, several as one network where they can be stacked."""
        ...


StartPool = Callable[["Dataset"], AbstractContextManager[Pool]]
"""Gives a pool for a data set; its processes start on entering."""


class CachedTrainer:
    """A context manager around a pool, which starts only when a run is missing.

    Args:
        dataset: what all jobs are trained on.
        start_pool: gives the pool for it.
        cache: where runs are kept, or None to train everything and keep nothing.

    Attributes:
        reused_runs: how many were in the cache, or in training for somebody else.
        trained_runs: how many were not.
    """

    def __init__(self, dataset: Dataset, *, start_pool: StartPool, cache: RunCache | None) -> None:
        self._dataset = dataset
        self._start_pool = start_pool
        self._cache = cache
        self._resources = ExitStack()
        self._pool: Pool | None = None
        self._in_training: dict[_Key, list[Future[TrainingRun]]] = {}
        self._lock = Lock()
        self.reused_runs = 0
        self.trained_runs = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._resources.close()

    def submit(
        self, wanted: Round, on_epochs: Sequence[EpochCallback]
    ) -> list[Future[TrainingRun]]:
        """The runs of a round's jobs from the cache, or in the background from training.

        Stacked jobs share their dropout masks' generator, so each of their runs belongs to its
        whole stack: they are found, trained and kept together. What is in training already is
        waited for and not trained again; its epochs are told only to the one who came first.
        """
        if wanted.stacked:
            return self._submit(wanted.jobs, on_epochs, stacked=True)
        return [
            self._submit([job], [on_epoch], stacked=False)[0]
            for job, on_epoch in zip(wanted.jobs, on_epochs, strict=True)
        ]

    def _submit(
        self, jobs: Sequence[TrainingJob], on_epochs: Sequence[EpochCallback], *, stacked: bool
    ) -> list[Future[TrainingRun]]:
        """The runs of jobs that belong together: one alone, or a whole stack."""
        stack = jobs if stacked else ()
        digests = [job.digest(dataset_sha256=self._dataset.sha256) for job in jobs]
        key = (stacked, tuple(zip(digests, [job.stop_at_accuracy for job in jobs], strict=True)))
        with self._lock:
            shared = self._in_training.get(key)
        if shared is not None:
            self.reused_runs += len(jobs)
            return shared
        kept = self._load(jobs, stack)
        if kept is not None:
            self.reused_runs += len(jobs)
            return _replay(kept, on_epochs)
        pool = self._running_pool()
        if stacked:
            futures = pool.submit_stacked(jobs, on_epochs)
        else:
            futures = [pool.submit(jobs[0], on_epochs[0])]
        self.trained_runs += len(jobs)
        with self._lock:
            self._in_training[key] = futures
        for job, future in zip(jobs, futures, strict=True):
            future.add_done_callback(partial(self._keep, job, stack))
            future.add_done_callback(partial(self._forget, key))
        return futures

    def _forget(self, key: _Key, _ended: Future[TrainingRun]) -> None:
        """After a run is kept it is found there; a failed one may be tried again."""
        with self._lock:
            futures = self._in_training.get(key, [])
            if all(future.done() for future in futures):
                self._in_training.pop(key, None)

    def _running_pool(self) -> Pool:
        if self._pool is None:
            self._pool = self._resources.enter_context(self._start_pool(self._dataset))
        return self._pool

    def _load(
        self, jobs: Sequence[TrainingJob], stack: Sequence[TrainingJob]
    ) -> list[TrainingRun] | None:
        """The kept runs of all jobs, or None if one is missing."""
        if self._cache is None:
            return None
        runs = []
        for job in jobs:
            run = self._cache.load(job, stack)
            if run is None:
                return None
            runs.append(run)
        return runs

    def _keep(
        self, job: TrainingJob, stack: Sequence[TrainingJob], ended: Future[TrainingRun]
    ) -> None:
        if self._cache is not None and not ended.cancelled() and ended.exception() is None:
            self._cache.store(job, ended.result(), stack)


def _replay(
    runs: Sequence[TrainingRun], on_epochs: Sequence[EpochCallback]
) -> list[Future[TrainingRun]]:
    """Futures that are done, after every epoch was told as if it had just ended."""
    futures = []
    for run, on_epoch in zip(runs, on_epochs, strict=True):
        for number, epoch in enumerate(run.epochs, start=1):
            on_epoch(number, epoch)
        future: Future[TrainingRun] = Future()
        future.set_result(run)
        futures.append(future)
    return futures
