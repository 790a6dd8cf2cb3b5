"""Training jobs on the workers of a Dask cluster, in place of `grader.training.pool`."""

from __future__ import annotations

from concurrent.futures import Future
from contextlib import ExitStack
from typing import TYPE_CHECKING, Self

import msgspec

from grader.errors import MachineError, UsageError
from grader.training.cluster.dispatcher import Dispatcher, Order
from grader.training.cluster.messages import RemoteOrder, Terms, own_versions
from grader.training.pool import split_into_stacks

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from distributed import Client, SpecCluster

    from grader.results import EpochResult, TrainingRun
    from grader.training.datasets import Dataset
    from grader.training.job import TrainingJob

CONNECT_SECONDS = 30.0


class DaskTrainer:
    """Trains jobs on a Dask cluster; a context manager that connects on entering.

    Workers may come and go at any time. Leaving it drops what waits; what a worker is training
    ends there by itself.
    """

    def __init__(
        self,
        dataset: Dataset,
        *,
        cluster: str | SpecCluster,
        device: str = "cpu",
        patience_seconds: float | None = 60.0,
    ) -> None:
        """Prepare the trainer.

        Args:
            dataset: what to train on; only its name and checksum travel.
            cluster: the address of a scheduler, such as "tcp://host:8786", or a cluster.
            device: "cpu", or "cuda" for a GPU on every worker.
            patience_seconds: after so long without a worker, what waits fails; None to wait for
                ever, as for workers that are in a queue themselves.
        """
        self._cluster = cluster
        self._patience_seconds = patience_seconds
        self._terms = Terms(
            dataset=dataset.name,
            dataset_sha256=dataset.sha256,
            device=device,
            versions=own_versions(),
        )
        self._resources = ExitStack()

    def __enter__(self) -> Self:
        client = self._resources.enter_context(connect(self._cluster))
        self._dispatcher = self._resources.enter_context(
            Dispatcher(client, self._terms, patience_seconds=self._patience_seconds)
        )
        return self

    def __exit__(self, *_error: object) -> None:
        self._resources.close()

    def submit(
        self, job: TrainingJob, on_epoch: Callable[[int, EpochResult], None] | None = None
    ) -> Future[TrainingRun]:
        """Train a job on some worker.

        Args:
            job: what to train.
            on_epoch: called for each epoch with its number, counted from 1, and its result, once
                the whole run has ended.

        Returns:
            The run; or a `ModelError` if the model cannot be trained, or a `MachineError` if no
            worker could train it.
        """
        return self._submit([job], [on_epoch])[0]

    def submit_stacked(
        self,
        jobs: Sequence[TrainingJob],
        on_epochs: Sequence[Callable[[int, EpochResult], None] | None] | None = None,
    ) -> list[Future[TrainingRun]]:
        """Train jobs in the stacks that `TrainingPool.submit_stacked` makes of them."""
        callbacks = list(on_epochs) if on_epochs is not None else [None] * len(jobs)
        return [
            future
            for members in split_into_stacks(len(jobs))
            for future in self._submit(jobs[members], callbacks[members])
        ]

    def _submit(
        self,
        jobs: Sequence[TrainingJob],
        callbacks: Sequence[Callable[[int, EpochResult], None] | None],
    ) -> list[Future[TrainingRun]]:
        content = msgspec.msgpack.encode(RemoteOrder(terms=self._terms, jobs=tuple(jobs)))
        order = Order(content, callbacks)
        self._dispatcher.take(order)
        return order.futures


def connect(cluster: str | SpecCluster) -> Client:
    """A client of the cluster. With a "tls://…" address, the certificates of Dask's configuration
    are used.

    Raises:
        UsageError: Dask is not installed, or the address is none.
        MachineError: no scheduler answers there.
    """
    try:
        from distributed import Client  # noqa: PLC0415  # an extra
    except ImportError as error:
        raise UsageError(
            f"training on a cluster needs Dask: {error}",
            next_step="Install it: pip install 'sequential-grader[cluster]'",
        ) from error
    address = cluster if isinstance(cluster, str) else cluster.scheduler_address
    try:
        return Client(cluster, timeout=CONNECT_SECONDS, set_as_default=False, name="grade")
    except (ValueError, TypeError) as error:
        raise UsageError(
            f"{address!r} is no address of a Dask scheduler: {error}",
            next_step="Give it as tcp://HOST:PORT or tls://HOST:PORT.",
        ) from error
    except OSError as error:
        raise MachineError(
            f"no Dask scheduler answers at {address}: {error or type(error).__name__}",
            next_step="Start one (`dask scheduler`), or correct the address; docs/scaling.md has "
            "the recipes.",
        ) from error
