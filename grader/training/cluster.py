"""Training on the workers of a Dask cluster, in place of `grader.training.pool`.

Only jobs, runs and the data set travel, never a student's file. Client, scheduler and workers
import this module; it loads torch only where it trains.
"""

from __future__ import annotations

import logging
import pickle
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from importlib.metadata import distributions, version
from threading import Event, Lock, Thread, Timer
from typing import TYPE_CHECKING, Self, cast

from distributed import Client, KilledWorker, Worker, WorkerPlugin, get_worker
from distributed import Future as RemoteFuture
from distributed.core import Status

import grader
from grader.errors import GraderError, MachineError, ModelError, UsageError
from grader.models.digest import digest_of
from grader.results import TrainingRun
from grader.training.budget import UNLIMITED, Budget
from grader.training.job import KERNELS_VERSION, TRAINER_VERSION, EpochCallback, TrainingJob
from grader.training.pool import ATTEMPTS, TrainingPool, split_into_stacks

if TYPE_CHECKING:  # this module loads torch
    from grader.training.datasets import Datasets

CONNECT_SECONDS = 9.0

LOOK_SECONDS = 1.0
"""Maximum time between two looks at the workers."""

IDLE_SECONDS = 300.0
"""Training processes end after this time without a job; the next job starts new processes."""

_logger = logging.getLogger(__name__)


class TrainingPlugin(WorkerPlugin):
    """The data sets and the training processes of one Dask worker.

    Each thread of the worker has a process that trains, so a crash ends the process and not the
    worker. The plugin offers as many units of a Dask resource, which has the plugin's name. Dask
    sends jobs only to workers that offer a unit. The name is the same for all graders with the
    same data, device and versions.
    """

    def __init__(self, datasets: Datasets, *, device: str) -> None:
        self.versions = own_versions()
        self.name = f"grader-{digest_of(datasets.sha256(), device, self.versions)[:16]}"
        self._device = device
        # As bytes, because another version of the grader or of torch may fail to unpickle the data.
        self._datasets = pickle.dumps(datasets)

    def count_processes(self, worker: Worker) -> int:
        """Return the number of jobs that the worker trains at once."""
        return int(worker.state.nthreads) if self._device == "cpu" else 1

    async def setup(self, worker: Worker) -> None:
        """Offer training to the scheduler."""
        self._resources = ExitStack()
        self._pool: TrainingPool | None = None
        self._processes = self.count_processes(worker)
        self._jobs = 0
        self._lock = Lock()
        self._idle_timer = Timer(IDLE_SECONDS, self._stop_if_idle)
        await worker.set_resources(**{self.name: self._processes})
        # Dask reconsiders tasks that wait for a resource only when a worker's status changes.
        worker.status = Status.paused
        worker.status = Status.running

    def teardown(self, worker: Worker) -> None:  # noqa: ARG002  # Dask passes the worker
        """End the training processes together with the worker."""
        self._idle_timer.cancel()
        self._resources.close()

    @contextmanager
    def started_pool(self) -> Iterator[TrainingPool]:
        """Start the training processes, unless they run, and keep them for this job."""
        with self._lock:
            self._idle_timer.cancel()
            if self._pool is None:
                pool = TrainingPool(device=self._device, processes=self._processes)
                self._resources.enter_context(pool)
                pool.use_datasets(pickle.loads(self._datasets))  # noqa: S301  # the grader's bytes
                self._pool = pool
            self._jobs += 1
        try:
            yield self._pool
        finally:
            with self._lock:
                self._jobs -= 1
                self._idle_timer.cancel()
                self._idle_timer = Timer(IDLE_SECONDS, self._stop_if_idle)
                self._idle_timer.daemon = True
                self._idle_timer.start()

    def _stop_if_idle(self) -> None:
        """End the training processes, for example after a grader that was killed."""
        with self._lock:
            if not self._jobs:
                self._resources.close()
                self._pool = None


async def prepare_worker(plugin: TrainingPlugin, dask_worker: Worker) -> int:
    """Give a worker the plugin, and return the number of jobs that the worker trains at once.

    Raises:
        MachineError: the worker has another version of something.
    """
    for subject, own in own_versions().items():
        if plugin.versions[subject] != own:
            raise MachineError(
                f"{_place(dask_worker)}: the version of {subject} is {own}, but "
                f"{plugin.versions[subject]} where the grader runs"
            )
    if plugin.name not in dask_worker.plugins:
        await dask_worker.plugin_add(plugin, name=plugin.name, catch_errors=False)
    return plugin.count_processes(dask_worker)


def train_on_worker(
    plugin_name: str, jobs: Sequence[TrainingJob], budget: Budget
) -> tuple[TrainingRun, ...] | GraderError:
    """Train jobs on the worker that runs this task, and return the runs or the error.

    Dask would retry a task that raises, but a retry cannot fix a `GraderError`.
    """
    worker = get_worker()
    plugin = cast("TrainingPlugin", worker.plugins[plugin_name])
    try:
        with plugin.started_pool() as pool:
            futures = pool.submit_stacked(jobs, budget=budget)
            return tuple(future.result() for future in futures)
    except ModelError as error:
        return error
    except GraderError as error:
        return MachineError(f"{_place(worker)}: {error}", next_step=error.next_step)


def own_versions() -> dict[str, str]:
    """Return the versions here of everything that decides the outcome of a run."""
    import torch  # noqa: PLC0415  # not at the top: the scheduler needs no torch

    numba = next((found.version for found in distributions(name="numba")), "is missing")
    numpy = version("numpy")  # its BLAS multiplies for the kernels
    return {
        "the grader": grader.__version__,
        "the training loop": str(TRAINER_VERSION),
        "the compiled kernels": f"{KERNELS_VERSION}, numba {numba}, NumPy {numpy}",
        "torch": str(torch.__version__),
    }


def _place(worker: Worker) -> str:
    return f"on the Dask worker {worker.name} ({worker.address})"


class _Order:
    """Jobs that are trained together, with their callbacks and their future runs."""

    def __init__(
        self,
        jobs: Sequence[TrainingJob],
        callbacks: Sequence[EpochCallback | None],
        budget: Budget,
    ) -> None:
        self.jobs = tuple(jobs)
        self.budget = budget
        self.futures: list[Future[TrainingRun]] = [Future() for _ in jobs]
        self._callbacks = callbacks
        for future in self.futures:
            future.set_running_or_notify_cancel()  # The future cannot be cancelled from now on.

    def finish(self, runs: Sequence[TrainingRun]) -> None:
        """Report every epoch and set the runs."""
        for run, callback, future in zip(runs, self._callbacks, self.futures, strict=True):
            try:
                for number, epoch in enumerate(run.epochs, start=1):
                    if callback is not None:
                        callback(number, epoch)
            except Exception as error:  # noqa: BLE001  # belongs to the owner of the callback
                future.set_exception(error)
            else:
                future.set_result(run)

    def fail(self, error: GraderError) -> None:
        """End every job with this error."""
        for future in self.futures:
            future.set_exception(error)


class DaskTrainer:
    """Trains jobs on a Dask cluster; a context manager that connects on entering.

    Workers may come and go at any time. Leaving cancels every job except those in training, whose
    workers finish and drop them.
    """

    def __init__(
        self,
        datasets: Datasets,
        *,
        address: str,
        device: str = "cpu",
        patience_seconds: float | None = 60.0,
    ) -> None:
        """Prepare the trainer.

        Args:
            datasets: of all jobs; every worker receives them once.
            address: of the scheduler; "tls://…" takes the certificates of Dask's configuration.
            device: "cpu", or "cuda" for a GPU on every worker.
            patience_seconds: jobs fail after this time without a worker; None to wait forever.
        """
        self._address = address
        self._plugin = TrainingPlugin(datasets, device=device)
        self._patience_seconds = patience_seconds
        self._waiting: deque[_Order] = deque()
        self._running: dict[_Order, RemoteFuture[tuple[TrainingRun, ...] | GraderError]] = {}
        self._wake = Event()
        self._thread = Thread(target=self._work, name="dask-trainer")
        self._ended: MachineError | None = None
        self._last_worker_at = time.monotonic()
        self._offers: dict[str, int | Exception] = {}

    def __enter__(self) -> Self:
        address = self._address
        try:
            self._client = Client(address, timeout=CONNECT_SECONDS, set_as_default=False)
        except (ValueError, TypeError) as error:
            raise UsageError(
                f"{address!r} is not the address of a Dask scheduler: {error}",
                next_step="Give it as tcp://HOST:PORT or tls://HOST:PORT.",
            ) from error
        except OSError as error:
            raise MachineError(
                f"no Dask scheduler answers at {address}: {error or type(error).__name__}",
                next_step="Start one (`dask scheduler`), or correct the address.",
            ) from error
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._ended = self._ended or MachineError("training was stopped")
        self._wake.set()
        self._thread.join()
        self._client.close()

    def submit_stacked(
        self,
        jobs: Sequence[TrainingJob],
        on_epochs: Sequence[EpochCallback | None] | None = None,
        *,
        budget: Budget = UNLIMITED,
    ) -> list[Future[TrainingRun]]:
        """Train jobs in the same stacks as `TrainingPool.submit_stacked`.

        Unlike there, all epochs of a run are reported after the run has ended.
        """
        callbacks = on_epochs or [None] * len(jobs)
        futures = []
        for members in split_into_stacks(len(jobs)):
            order = _Order(jobs[members], callbacks[members], budget)
            self._enqueue(order)
            futures += order.futures
        return futures

    def _enqueue(self, order: _Order) -> None:
        self._waiting.append(order)
        self._wake.set()
        if self._ended is not None:  # The thread that submits may have ended, too.
            self._fail_all(self._ended)

    def _work(self) -> None:
        """Hand orders to Dask until the trainer is left or the scheduler is lost."""
        try:
            while self._ended is None:
                self._wake.clear()
                self._submit_waiting(slots=self._count_slots())
                self._wake.wait(LOOK_SECONDS)
        except Exception as error:  # noqa: BLE001  # otherwise every job would wait forever
            self._ended = self._ended or MachineError(
                f"the Dask scheduler was lost: {type(error).__name__}: {error}",
                next_step="Check that it runs and can be reached, and grade again.",
            )
        self._fail_all(self._ended)

    def _count_slots(self) -> int:
        """Prepare new workers, and return the number of orders that all workers train at once.

        Fail the queued orders if no worker can run them.
        """
        present = self._client.nthreads().keys()
        self._offers = {name: offer for name, offer in self._offers.items() if name in present}
        if new := list(present - self._offers.keys()):
            # Not `Client.register_plugin`: with that, a worker without the grader hangs as it
            # starts (distributed 2026.8), and logs the whole data set.
            offers = self._client.run(prepare_worker, self._plugin, workers=new, on_error="return")
            for name, offer in offers.items():
                if isinstance(offer, OSError):
                    continue  # The connection broke. A worker that is still there is asked again.
                self._offers[name] = offer
                if isinstance(offer, Exception):
                    _logger.warning("the Dask worker %s gets no jobs: %s", name, offer)
        slots = sum(offer for offer in self._offers.values() if isinstance(offer, int))
        now = time.monotonic()
        if slots or not (self._waiting or self._running):
            self._last_worker_at = now
        elif self._offers:
            self._fail_all(
                MachineError(
                    f"no Dask worker can train: {next(iter(self._offers.values()))}",
                    next_step="Install the same versions on the workers as where the grader runs.",
                )
            )
        elif self._patience_seconds and now - self._last_worker_at > self._patience_seconds:
            self._fail_all(
                MachineError(
                    f"the Dask scheduler has had no worker for {self._patience_seconds:.0f} s",
                    next_step="Start workers where this grader is installed (`dask worker "
                    "ADDRESS`). If a worker ends at once, see its log.",
                )
            )
        return slots

    def _submit_waiting(self, *, slots: int) -> None:
        """Give Dask as many orders as the workers can train at once.

        Dask assigns every task to a worker at once, and blames a worker's death on all tasks
        assigned there. So an order in Dask's queue would fail with the job that kills workers.
        """
        while self._waiting and len(self._running) < slots:
            order = self._waiting.popleft()
            remote = self._client.submit(
                train_on_worker,
                self._plugin.name,
                order.jobs,
                order.budget,
                resources={self._plugin.name: 1},
                retries=ATTEMPTS - 1,
                pure=False,
            )
            self._running[order] = remote
            remote.add_done_callback(partial(self._take_outcome, order))

    def _take_outcome(
        self, order: _Order, remote: RemoteFuture[tuple[TrainingRun, ...] | GraderError]
    ) -> None:
        """End an order with its runs or its error; Dask calls this in a thread of its own."""
        try:
            outcome = remote.result()
        except KilledWorker as error:
            outcome = MachineError(
                f"training started {error.allowed_failures + 1} times, and its Dask worker died "
                f"each time, at last {error.last_worker.address}",
                next_step="See the worker's log. If memory ran out, give workers more memory or "
                "fewer threads. Then grade again.",
            )
        except Exception as error:  # noqa: BLE001  # anything that a worker's Python raised
            outcome = MachineError(
                f"a Dask worker failed {ATTEMPTS} times: {type(error).__name__}: {error}"
            )
        if self._running.pop(order, None) is None:
            return  # The order has failed already.
        self._wake.set()
        if remote.cancelled():  # The connection broke; Dask tries to connect again.
            self._enqueue(order)
        elif isinstance(outcome, GraderError):
            order.fail(outcome)
        else:
            order.finish(outcome)

    def _fail_all(self, error: GraderError) -> None:
        with suppress(IndexError):  # Two threads may empty the queue at once.
            while True:
                self._waiting.popleft().fail(error)
        for order in list(self._running):
            if remote := self._running.pop(order, None):
                order.fail(error)
                if self._ended is None:
                    remote.cancel()
