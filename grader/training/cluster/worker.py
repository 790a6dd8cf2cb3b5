"""What runs on a Dask worker: it takes specifications, fetches the data, trains, and answers.

Each Dask worker keeps a training pool with a process for each of its threads. So a run is the same
as on the grader's own machine, and a crash ends one process and not the worker.
"""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from threading import Lock, Timer
from typing import TYPE_CHECKING

import msgspec
from distributed import get_worker

from grader.errors import DatasetError, GraderError, MachineError
from grader.training.cluster.messages import (
    Failure,
    Outcome,
    Readiness,
    RemoteOrder,
    Terms,
    own_versions,
)
from grader.training.data_places import DATA_VARIABLE
from grader.training.datasets import Dataset, load_dataset
from grader.training.pool import TrainingPool

if TYPE_CHECKING:
    from collections.abc import Iterator

IDLE_SECONDS = 300.0
"""After so long without an order the training processes end; the next order starts them again.
A grader that was killed so leaves nothing behind on the workers."""


def get_ready(encoded_terms: bytes) -> bytes:
    """Start the training processes of this worker.

    Args:
        encoded_terms: a `Terms`.

    Returns:
        A `Readiness`.
    """
    terms = msgspec.msgpack.decode(encoded_terms, type=Terms)
    try:
        with _pool_for(terms).in_use():
            readiness = Readiness(slots=_count_slots(terms.device))
    except GraderError as error:
        readiness = Readiness(refusal=Failure.of(error, prefix=_prefix()))
    return msgspec.msgpack.encode(readiness)


def carry_out(encoded_order: bytes) -> bytes:
    """Train on this worker.

    Args:
        encoded_order: a `RemoteOrder`.

    Returns:
        An `Outcome`.
    """
    order = msgspec.msgpack.decode(encoded_order, type=RemoteOrder)
    try:
        with _pool_for(order.terms).in_use() as pool:
            futures = pool.submit_stacked(order.jobs)
            outcome = Outcome(runs=tuple(future.result() for future in futures))
    except GraderError as error:
        outcome = Outcome(failure=Failure.of(error, prefix=_prefix()))
    return msgspec.msgpack.encode(outcome)


class _SharedPool:
    """A training pool that all threads of this worker use, and that ends when none has for long."""

    def __init__(self, terms: Terms) -> None:
        self._terms = terms
        self._lock = Lock()
        self._resources = ExitStack()
        self._pool: TrainingPool | None = None
        self._users = 0
        self._idle = Timer(IDLE_SECONDS, self._end)

    @contextmanager
    def in_use(self) -> Iterator[TrainingPool]:
        """The pool, started if need be.

        Raises:
            MachineError: this worker cannot train for the grader that asks.
        """
        with self._lock:
            pool = self._pool = self._pool or self._start()
            self._users += 1
            self._idle.cancel()
        try:
            yield pool
        finally:
            with self._lock:
                self._users -= 1
                if not self._users:
                    self._idle = Timer(IDLE_SECONDS, self._end)
                    self._idle.daemon = True
                    self._idle.start()

    def _start(self) -> TrainingPool:
        _check_versions(self._terms)
        return self._resources.enter_context(
            TrainingPool(
                _load_dataset(self._terms),
                device=self._terms.device,
                processes=_count_slots(self._terms.device),
            )
        )

    def _end(self) -> None:
        with self._lock:
            if not self._users:
                self._resources.close()
                self._pool = None


_POOLS: dict[bytes, _SharedPool] = {}


def _pool_for(terms: Terms) -> _SharedPool:
    return _POOLS.setdefault(msgspec.msgpack.encode(terms), _SharedPool(terms))


def _count_slots(device: str) -> int:
    """How many runs this worker trains at once: one a thread, or one on its GPU."""
    threads: int = get_worker().state.nthreads
    return threads if device == "cpu" else 1


def _check_versions(terms: Terms) -> None:
    """Refuse to train what would be another run than the grader's own of the same name."""
    for name, own in own_versions().items():
        wanted = terms.versions.get(name)
        if own != wanted:
            raise MachineError(
                f"the version of {name} is {own}, but {wanted} where the grader runs",
                next_step="Install the same versions on the workers as where the grader runs.",
            )


def _load_dataset(terms: Terms) -> Dataset:
    next_step = (
        f"Put the data where every worker finds it, and name the directory to the workers by the "
        f"environment variable {DATA_VARIABLE}; or let them download it."
    )
    try:
        dataset = load_dataset(terms.dataset)
    except DatasetError as error:
        raise DatasetError(str(error), next_step=next_step) from error
    if dataset.sha256 != terms.dataset_sha256:
        raise DatasetError(
            f"the data set {terms.dataset} has the checksum {dataset.sha256}, but "
            f"{terms.dataset_sha256} where the grader runs",
            next_step=next_step,
        )
    return dataset


def _prefix() -> str:
    """Where a message comes from."""
    worker = get_worker()
    return f"on the Dask worker {worker.name} ({worker.address}): "
