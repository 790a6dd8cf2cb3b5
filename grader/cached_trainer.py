"""A trainer that trains only what the run cache does not hold."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import ExitStack
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Self

from grader.results import TrainingRun
from grader.rounds import EpochCallback, Round
from grader.training_pool import TrainingPool

if TYPE_CHECKING:
    from grader.datasets import Dataset
    from grader.run_cache import RunCache
    from grader.train import TrainingJob


class CachedTrainer:
    """A context manager around a training pool, which starts only when a run is missing.

    Args:
        dataset: what all jobs are trained on.
        device: "cpu" or "cuda".
        cache: where runs are kept, or None to train everything and keep nothing.
    """

    def __init__(self, dataset: Dataset, *, device: str, cache: RunCache | None) -> None:
        self._dataset = dataset
        self._device = device
        self._cache = cache
        self._resources = ExitStack()
        self._pool: TrainingPool | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._resources.close()

    def submit(
        self, wanted: Round, on_epochs: Sequence[EpochCallback]
    ) -> list[Future[TrainingRun]]:
        """The runs of a round's jobs from the cache, or in the background from training.

        Stacked jobs share their dropout masks' generator, so each of their runs belongs to its
        whole stack: they are found, trained and kept together.
        """
        if wanted.stacked:
            kept = self._load(wanted.jobs, wanted.jobs)
            if kept is not None:
                return _replay(kept, on_epochs)
            futures = self._start_pool().submit_stacked(wanted.jobs, on_epochs)
            for job, future in zip(wanted.jobs, futures, strict=True):
                future.add_done_callback(partial(self._keep, job, wanted.jobs))
            return futures
        return [
            self._submit_alone(job, on_epoch)
            for job, on_epoch in zip(wanted.jobs, on_epochs, strict=True)
        ]

    def _submit_alone(self, job: TrainingJob, on_epoch: EpochCallback) -> Future[TrainingRun]:
        kept = self._load([job], [])
        if kept is not None:
            return _replay(kept, [on_epoch])[0]
        future = self._start_pool().submit(job, on_epoch)
        future.add_done_callback(partial(self._keep, job, []))
        return future

    def _start_pool(self) -> TrainingPool:
        if self._pool is None:
            pool = TrainingPool(self._dataset, device=self._device)
            self._pool = self._resources.enter_context(pool)
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
