"""A trainer that trains only what the run cache does not hold."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from contextlib import ExitStack
from types import TracebackType
from typing import TYPE_CHECKING, Self

from grader.results import EpochResult, TrainingRun
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
        self, job: TrainingJob, on_epoch: Callable[[int, EpochResult], None]
    ) -> Future[TrainingRun]:
        """The job's run from the cache, or in the background from training."""
        if self._cache is None:
            return self._train(job, on_epoch)
        kept = self._cache.load(job)
        if kept is None:
            future = self._train(job, on_epoch)
            future.add_done_callback(lambda ended: self._keep(job, ended))
            return future
        for number, epoch in enumerate(kept.epochs, start=1):
            on_epoch(number, epoch)
        found: Future[TrainingRun] = Future()
        found.set_result(kept)
        return found

    def _train(
        self, job: TrainingJob, on_epoch: Callable[[int, EpochResult], None]
    ) -> Future[TrainingRun]:
        if self._pool is None:
            pool = TrainingPool(self._dataset, device=self._device)
            self._pool = self._resources.enter_context(pool)
        return self._pool.submit(job, on_epoch)

    def _keep(self, job: TrainingJob, ended: Future[TrainingRun]) -> None:
        if self._cache is not None and not ended.cancelled() and ended.exception() is None:
            self._cache.store(job, ended.result())
