"""Training jobs in parallel: one process of one thread for each core.

A worker that dies is replaced, and its jobs are tried again; only if that does not help do they
fail, and no others with them. Nothing here imports torch, so that the workers can load it while
the parent is still busy with something else.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, suppress
from functools import partial
from multiprocessing import Pipe
from pathlib import Path
from queue import SimpleQueue
from threading import Lock
from typing import IO, TYPE_CHECKING, Self

from grader.errors import MORE_MEMORY, GraderError, MachineError
from grader.training.memory import count_memory_kills
from grader.training.pool_messages import EpochEnded, Failed, Finished, Order, SharedDataset

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from multiprocessing.connection import Connection

    from grader.results import EpochResult, TrainingRun
    from grader.training.datasets import Dataset
    from grader.training.job import TrainingJob

LARGEST_STACK = 5
"""Models in one network; ten measured no faster, each, than five."""

ATTEMPTS = 3
"""How often jobs are begun whose process dies each time."""

_ENVIRONMENT = {
    # Without these glibc gives the memory of every freed activation back to the system, and each
    # training step pays for its pages anew: up to half of a step's time. 32 MiB is the most that
    # glibc accepts for the second (mallopt(3)).
    "MALLOC_TRIM_THRESHOLD_": str(2**31 - 1),
    "MALLOC_MMAP_THRESHOLD_": str(32 * 2**20),
    "MALLOC_TOP_PAD_": str(64 * 2**20),
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    # Without it cuBLAS is not deterministic (NVIDIA, "cuBLAS: results reproducibility").
    "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
}


CORES_VARIABLE = "GRADER_CORES"
"""The environment variable that says how many cores to use where the machine does not say it."""


def count_cores() -> int:
    """How many cores this process may use: as `CORES_VARIABLE` says, or else by its affinity and
    its control group's quota.
    """
    said = os.environ.get(CORES_VARIABLE, "")
    if said.isdecimal() and int(said) > 0:
        return int(said)
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    with suppress(OSError, ValueError):
        # https://docs.kernel.org/admin-guide/cgroup-v2.html: "$MAX $PERIOD" in microseconds, or
        # "max $PERIOD".
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text(encoding="ascii").split()
        cores = min(cores, max(1, round(int(quota) / int(period))))
    return cores


class TrainingPool:
    """Trains jobs in the background; a context manager whose workers start on entering.

    Leaving it ends every worker at once, whatever it is doing: after Ctrl-C no process is left.
    """

    def __init__(
        self,
        dataset: Dataset | None = None,
        *,
        device: str = "cpu",
        processes: int | None = None,
    ) -> None:
        """Prepare the pool.

        Args:
            dataset: what to train on; without it, `use_dataset` must come before any job.
            device: "cpu", or "cuda", which gets a single process.
            processes: how many jobs at once; as many as there are cores by default.
        """
        self._device = device
        self._processes = 1 if device != "cpu" else processes or count_cores()
        self._resources = ExitStack()
        self._idle: SimpleQueue[_Worker | None] = SimpleQueue()
        self._workers: set[_Worker] = set()
        self._lock = Lock()
        self._closed = False
        self._dataset = dataset
        self._shared: SharedDataset | None = None

    def __enter__(self) -> Self:
        self._file = self._resources.enter_context(tempfile.TemporaryFile())
        self._threads = ThreadPoolExecutor(self._processes, thread_name_prefix="training")
        for _ in range(self._processes):
            # From a thread of the pool: Linux ends a worker together with the thread it came from.
            self._threads.submit(self._add_worker)
        if self._dataset is not None:
            self.use_dataset(self._dataset)
        return self

    def __exit__(self, *_error: object) -> None:
        with self._lock:
            self._closed = True
            workers = list(self._workers)
        for worker in workers:
            worker.kill()
        self._threads.shutdown(wait=True, cancel_futures=True)
        for worker in self._workers:
            worker.close()
        self._resources.close()

    def use_dataset(self, dataset: Dataset) -> None:
        """Say what all jobs are trained on, once."""
        height, width = dataset.train_images.shape[1:]
        for images in (dataset.train_images, dataset.test_images):
            self._file.write(images.numpy().tobytes())
        for labels in (dataset.train_labels, dataset.test_labels):
            self._file.write(labels.byte().numpy().tobytes())
        self._file.flush()
        self._shared = SharedDataset(
            descriptor=self._file.fileno(),
            name=dataset.name,
            sha256=dataset.sha256,
            practice=dataset.practice,
            train_examples=len(dataset.train_labels),
            test_examples=len(dataset.test_labels),
            image_size=(height, width),
        )

    def submit(
        self, job: TrainingJob, on_epoch: Callable[[int, EpochResult], None] | None = None
    ) -> Future[TrainingRun]:
        """Train a job in the background.

        Args:
            job: what to train.
            on_epoch: called after each epoch with its number, counted from 1, and its result, in
                a thread of the pool. If the process dies, the job begins anew, with epoch 1.

        Returns:
            The run; or a `ModelError` if the model cannot be trained, or a `MachineError` if its
            process failed, or died at every attempt.
        """
        return self._threads.submit(lambda: self._carry_out([job], [on_epoch])[0])

    def submit_stacked(
        self,
        jobs: Sequence[TrainingJob],
        on_epochs: Sequence[Callable[[int, EpochResult], None] | None] | None = None,
    ) -> list[Future[TrainingRun]]:
        """Train jobs that differ only in seeds and dropout, several as one network.

        That takes less time than one after another. Jobs that cannot be stacked are trained one
        after another by the same processes.

        Args:
            jobs: what to train; `LARGEST_STACK` of them at a time become one network.
            on_epochs: for each job what `submit` takes.

        Returns:
            For each job what `submit` returns.
        """
        callbacks = list(on_epochs) if on_epochs is not None else [None] * len(jobs)
        futures: list[Future[TrainingRun]] = [Future() for _ in jobs]
        for members in split_into_stacks(len(jobs)):
            order = self._threads.submit(self._carry_out, jobs[members], callbacks[members])
            order.add_done_callback(partial(_hand_out, futures[members]))
        return futures

    def _carry_out(
        self,
        jobs: Sequence[TrainingJob],
        callbacks: Sequence[Callable[[int, EpochResult], None] | None],
    ) -> tuple[TrainingRun, ...]:
        """Have one order carried out, by another worker if one dies; called in a thread of the
        pool.
        """
        if self._shared is None:
            raise MachineError("the training pool was given a job before a data set")
        order = Order(jobs=tuple(jobs))
        deaths: list[_WorkerDiedError] = []
        while len(deaths) < ATTEMPTS:
            try:
                return self._attempt(order, self._shared, callbacks)
            except _WorkerDiedError as death:
                deaths.append(death)
        raise _explain(deaths[-1])

    def _attempt(
        self,
        order: Order,
        shared: SharedDataset,
        callbacks: Sequence[Callable[[int, EpochResult], None] | None],
    ) -> tuple[TrainingRun, ...]:
        """Give an order to an idle worker and wait for its end.

        Raises:
            _WorkerDiedError: the worker ended before the order did.
        """
        worker = self._idle.get()
        memory_kills = count_memory_kills()
        try:
            worker = worker or self._start_worker()
            return worker.carry_out(order, shared, callbacks)
        except GraderError:
            raise
        except (EOFError, ConnectionError):
            if self._closed or worker is None:
                raise MachineError("training was stopped") from None
            death = _WorkerDiedError(
                worker.describe_ending(),
                out_of_memory=worker.was_killed() and count_memory_kills() > memory_kills,
            )
            self._discard(worker)
            worker = None
            raise death from None
        except BaseException:
            # The order is abandoned, and so are the messages still to come about it.
            self._discard(worker)
            worker = None
            raise
        finally:
            self._idle.put(worker)

    def _add_worker(self) -> None:
        """Start a worker ahead of its first job; if that fails, its first job tries again."""
        worker: _Worker | None = None
        try:
            worker = self._start_worker()
        finally:
            self._idle.put(worker)

    def _start_worker(self) -> _Worker:
        with self._lock:
            if self._closed:
                raise MachineError("training was stopped")
            try:
                worker = _Worker(device=self._device, shared_file=self._file)
            except OSError as error:
                raise MachineError(f"a training process cannot be started: {error}") from error
            self._workers.add(worker)
        return worker

    def _discard(self, worker: _Worker | None) -> None:
        with self._lock:
            if worker is not None and not self._closed:
                self._workers.discard(worker)
                worker.kill()
                worker.close()


def split_into_stacks(jobs: int) -> list[slice]:
    """Which of so many jobs become one network: always the same, however many cores there are, so
    that the runs are the same too.
    """
    return [slice(start, start + LARGEST_STACK) for start in range(0, jobs, LARGEST_STACK)]


class _WorkerDiedError(Exception):
    """A worker process ended by itself or was killed.

    Attributes:
        out_of_memory: whether the kernel killed it because memory ran out.
    """

    def __init__(self, ending: str, *, out_of_memory: bool) -> None:
        super().__init__(ending)
        self.out_of_memory = out_of_memory


def _explain(death: _WorkerDiedError) -> MachineError:
    """What the death at the last attempt means."""
    if death.out_of_memory:
        return MachineError(
            f"memory ran out: the kernel killed the training process, at each of {ATTEMPTS} "
            "attempts",
            next_step=MORE_MEMORY,
        )
    return MachineError(
        f"the training process {death}, at the last of {ATTEMPTS} attempts",
        next_step="If memory ran out, close other programs and grade again. Otherwise report this "
        "message.",
    )


def _hand_out(
    futures: Sequence[Future[TrainingRun]], order: Future[tuple[TrainingRun, ...]]
) -> None:
    """Give each job's future its share of a finished order."""
    error = MachineError("training was stopped") if order.cancelled() else order.exception()
    for index, future in enumerate(futures):
        if error is None:
            future.set_result(order.result()[index])
        else:
            future.set_exception(error)


class _Worker:
    """One worker process and this side's end of its pipe."""

    def __init__(self, *, device: str, shared_file: IO[bytes]) -> None:
        self._pipe: Connection[object, object]
        self._pipe, theirs = Pipe()
        self._has_dataset = False
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  (it lives as long as the process)
        with theirs:
            # -P keeps the current directory, which may be a submission, out of the import path.
            # A process group of its own keeps the terminal's Ctrl-C from it.
            self._process = subprocess.Popen(  # noqa: S603  (our own interpreter and module)
                [
                    *(sys.executable, "-P", "-m", "grader.training.pool_process"),
                    *(str(os.getpid()), str(theirs.fileno()), device),
                ],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=self._errors,
                pass_fds=(theirs.fileno(), shared_file.fileno()),
                env={**os.environ, **_ENVIRONMENT},
                process_group=0,
            )

    def carry_out(
        self,
        order: Order,
        shared: SharedDataset,
        callbacks: Sequence[Callable[[int, EpochResult], None] | None],
    ) -> tuple[TrainingRun, ...]:
        """Have the order carried out.

        Raises:
            EOFError, ConnectionError: the process ended.
            GraderError: the order cannot be carried out.
        """
        if not self._has_dataset:
            self._pipe.send(shared)
            self._has_dataset = True
        self._pipe.send(order)
        while True:
            message = self._pipe.recv()
            match message:
                case EpochEnded():
                    callback = callbacks[message.index]
                    if callback is not None:
                        callback(message.epoch, message.result)
                case Failed():
                    raise message.error
                case Finished():
                    return message.runs

    def kill(self) -> None:
        """End the process at once, and wait until it has ended."""
        self._process.kill()
        self._process.wait()

    def close(self) -> None:
        """Give back the pipe and the file of an ended process."""
        self._pipe.close()
        self._errors.close()

    def was_killed(self) -> bool:
        """Whether the ended process was ended by SIGKILL, as the kernel does it."""
        return self._process.wait() == -signal.SIGKILL

    def describe_ending(self) -> str:
        """How the process ended, in words, with the last of what it printed."""
        code = self._process.wait()
        self._errors.seek(0)
        printed = self._errors.read().decode(errors="replace").strip()[-500:]
        ending = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
        return f"{ending}: {printed}" if printed else ending
