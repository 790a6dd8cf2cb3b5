"""Training jobs in parallel: one process of one thread for each core.

A process that dies is replaced and its jobs are retried; `docs/decisions/019` says why this is no
library's pool. The processes load torch while the parent, which needs none here, is busy. Each
stage of a job has a limit on time, and each process one on memory: `docs/decisions/022`.
"""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from threading import TIMEOUT_MAX, Lock, Thread, Timer
from typing import TYPE_CHECKING, Self

from grader.errors import MORE_MEMORY, GraderError, MachineError
from grader.kernel import NEW_GROUP_FLAGS, count_memory_kills
from grader.results import EpochResult, TrainingRun
from grader.training.budget import UNLIMITED, Budget
from grader.training.job import EpochCallback, TrainingJob

if TYPE_CHECKING:  # this module loads torch
    from grader.training.datasets import Datasets

LARGEST_STACK = 5
"""Models in one network; each of ten trains no faster than each of five."""

START_SECONDS = 600.0
"""Maximum time until a process has loaded torch and the data, and begins with its jobs."""

_PROCESSOR_TIME_ENDED = -24
"""The exit code after SIGXCPU; Windows' `signal` does not have its number."""

ATTEMPTS = 3
"""Attempts at jobs whose process dies each time."""

WORKER = (sys.executable, "-P", "-m", "grader.training.pool_process")
"""Starts a training process. -P keeps the current directory, which may be a submission, out of the
import path."""

_ENVIRONMENT = {
    # Without these glibc returns the memory of every freed activation to the system, and each
    # training step pays for its pages again: up to half of a step's time. 32 MiB is the most that
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
"""The environment variable that sets the number of cores where the machine does not show it."""


def count_cores() -> int:
    """Count the cores for this process: `CORES_VARIABLE`, or its affinity and control group."""
    variable = os.environ.get(CORES_VARIABLE, "")
    if variable.isdecimal() and int(variable) > 0:
        return int(variable)
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    with suppress(OSError, ValueError):
        # https://docs.kernel.org/admin-guide/cgroup-v2.html: "$MAX $PERIOD" in microseconds, or
        # "max $PERIOD".
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text(encoding="ascii").split()
        cores = min(cores, max(1, round(int(quota) / int(period))))
    return cores


@dataclass(frozen=True, kw_only=True)
class EpochEnded:
    """A process's message that one epoch of the job at `index` ended; epochs count from 1."""

    index: int
    epoch: int
    result: EpochResult


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A process's message that a stage of its jobs begins.

    Attributes:
        wall_seconds: the limit on the stage, which the parent keeps.
        overrun: the answer if the process is ended by its own limit on processor time.
    """

    wall_seconds: float
    overrun: GraderError


@dataclass(frozen=True, kw_only=True)
class MemoryEnded:
    """A process's last message about jobs for which it got too little memory.

    A process that has trained before keeps some of that memory, so a new one is tried.
    """

    error: GraderError


Answer = tuple[TrainingRun, ...] | GraderError
"""A process's last message about jobs: their runs, or the reason why they cannot be trained."""


@dataclass(frozen=True, kw_only=True)
class Order:
    """A message to a process: jobs to train as one network if they can be, and their limits."""

    jobs: tuple[TrainingJob, ...]
    budget: Budget


@dataclass(frozen=True, kw_only=True)
class _Stack:
    """An order for one process, and those who wait for its runs."""

    order: Order
    callbacks: Sequence[EpochCallback | None]
    futures: Sequence[Future[TrainingRun]]


class TrainingPool:
    """Trains jobs in the background; a context manager whose processes start on entering.

    Leaving the pool kills every process at once, so that none is left after Ctrl-C.
    """

    def __init__(
        self,
        datasets: Datasets | None = None,
        *,
        device: str = "cpu",
        processes: int | None = None,
        worker: Sequence[str] = WORKER,
    ) -> None:
        """Prepare the pool.

        Args:
            datasets: of all jobs; if None, call `use_datasets` before the first job.
            device: "cpu", or "cuda", which gets a single process.
            processes: number of jobs trained at once; by default the number of cores.
            worker: the command that starts a training process, without its arguments.
        """
        self._datasets = datasets
        self._device = device
        self._processes = 1 if device != "cpu" else processes or count_cores()
        self._command = worker
        self._has_datasets = False
        self._stacks: SimpleQueue[_Stack | None] = SimpleQueue()

    def __enter__(self) -> Self:
        self._file = _DataFile()
        if self._datasets is not None:
            self.use_datasets(self._datasets)
        command = (*self._command, str(os.getpid()), self._device, self._file.path)
        self._workers = [_Worker(command, self._file.descriptors) for _ in range(self._processes)]
        self._threads = [
            Thread(target=self._train_stacks, args=[worker], name="training", daemon=True)
            for worker in self._workers
        ]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        for worker in self._workers:
            worker.stop()
            self._stacks.put(None)  # after the stacks, which all fail at once now
        for thread in self._threads:
            thread.join()
        self._file.close()

    def use_datasets(self, datasets: Datasets) -> None:
        """Set the data that the jobs are trained on. Call it once."""
        self._file.write(datasets)
        self._has_datasets = True

    def submit_stacked(
        self,
        jobs: Sequence[TrainingJob],
        on_epochs: Sequence[EpochCallback | None] | None = None,
        *,
        budget: Budget = UNLIMITED,
    ) -> list[Future[TrainingRun]]:
        """Train jobs in the background, each `LARGEST_STACK` of them as one network if they can be.

        Args:
            jobs: the jobs to train; those of one call have the same data set.
            on_epochs: called after each epoch of each job, in a thread of the pool. If the process
                dies, the retry starts again with epoch 1.
            budget: the limits on each of the networks.

        Returns:
            The future runs. A run fails with a `ModelError` if the model cannot be trained or costs
            more than its budget, or with a `MachineError` if the process failed, or died at
            every attempt.

        Raises:
            MachineError: `use_datasets` was not called.
        """
        if not self._has_datasets:
            raise MachineError("the training pool was given a job before a data set")
        callbacks = on_epochs or [None] * len(jobs)
        futures: list[Future[TrainingRun]] = [Future() for _ in jobs]
        for part in split_into_stacks(len(jobs)):
            self._stacks.put(
                _Stack(
                    order=Order(jobs=tuple(jobs[part]), budget=budget),
                    callbacks=callbacks[part],
                    futures=futures[part],
                )
            )
        return futures

    def _train_stacks(self, worker: _Worker) -> None:
        """Give one worker stack after stack, until None comes."""
        # In this thread, because Linux ends a process together with the thread that started it.
        with suppress(MachineError):  # the first stack tries again, and gets the error
            worker.start()
        while (stack := self._stacks.get()) is not None:
            try:
                runs = worker.train(stack.order, stack.callbacks)
            except Exception as error:  # noqa: BLE001  (whoever waits for the runs gets the error)
                for future in stack.futures:
                    future.set_exception(error)
            else:
                for future, run in zip(stack.futures, runs, strict=True):
                    future.set_result(run)
        worker.discard()


def split_into_stacks(jobs: int) -> list[slice]:
    """Return the jobs of each network: the same for any number of cores, so runs are the same."""
    return [slice(start, start + LARGEST_STACK) for start in range(0, jobs, LARGEST_STACK)]


class _DataFile:
    """A temporary file with the data set, which the training processes map.

    On Linux the file has no name, so that a killed grader leaves none, and processes inherit it.

    Attributes:
        path: of the file, as a training process sees it.
        descriptors: those that a training process must inherit.
    """

    def __init__(self) -> None:
        if sys.platform == "linux":
            self._file = tempfile.TemporaryFile()  # noqa: SIM115  (closed by `close`)
            self.descriptors: tuple[int, ...] = (self._file.fileno(),)
            self.path = f"/dev/fd/{self._file.fileno()}"
        else:
            self._directory = tempfile.TemporaryDirectory(
                prefix="grader-data-", ignore_cleanup_errors=True
            )
            self.descriptors = ()
            self.path = str(Path(self._directory.name, "dataset"))

    def write(self, datasets: Datasets) -> None:
        """Write a data set."""
        if sys.platform == "linux":
            datasets.save(self._file)
        else:
            with Path(self.path).open("wb") as file:
                datasets.save(file)

    def close(self) -> None:
        """Delete the file. No process may have it mapped any more: Windows would keep it."""
        if sys.platform == "linux":
            self._file.close()
        else:
            self._directory.cleanup()


class _Worker:
    """One training process at a time: a process that dies is replaced."""

    def __init__(self, command: Sequence[str], descriptors: Sequence[int]) -> None:
        self._command = command
        self._descriptors = descriptors
        self._process: _Process | None = None
        self._stopped = False
        self._lock = Lock()

    def start(self) -> _Process:
        """Start the process if none is running.

        Raises:
            MachineError: the process does not start, or `stop` was called.
        """
        with self._lock:
            if self._stopped:
                raise MachineError("training was stopped")
            if self._process is None:
                self._process = _Process(self._command, self._descriptors)
            return self._process

    def stop(self) -> None:
        """Kill the process, and let no other start. Any thread may call it."""
        with self._lock:
            self._stopped = True
            if self._process is not None:
                self._process.kill()

    def train(
        self, order: Order, callbacks: Sequence[EpochCallback | None]
    ) -> tuple[TrainingRun, ...]:
        """Train jobs, at a further attempt if the process dies.

        Raises:
            GraderError: the jobs cannot be trained.
        """
        attempts = 0
        while True:
            attempts += 1
            memory_kills = count_memory_kills()
            process = self.start()
            was_new = process.is_new
            answer = None
            try:
                answer = process.converse(order, callbacks)
            finally:
                if not process.is_usable:
                    self.discard()
            if isinstance(answer, MemoryEnded):
                if was_new:
                    raise answer.error
            elif isinstance(answer, GraderError):
                raise answer
            elif answer is not None:
                return answer
            elif attempts == ATTEMPTS:
                raise process.explain_death(memory_ran_out=count_memory_kills() > memory_kills)

    def discard(self) -> None:
        """End the process, if there is one."""
        with self._lock:
            if self._process is not None:
                self._process.end()
                self._process = None


class _Process:
    """One training process. Its standard input and output carry pickled messages.

    Attributes:
        is_new: it was sent no jobs yet.
        is_usable: it can be sent jobs; otherwise it has ended, or must be.
    """

    def __init__(self, command: Sequence[str], descriptors: Sequence[int]) -> None:
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  (open as long as the process)
        try:
            self._process = subprocess.Popen(  # noqa: S603  (our own interpreter and module)
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                pass_fds=descriptors,
                env={**os.environ, **_ENVIRONMENT},
                # The terminal's Ctrl-C does not reach the process: the second is Windows'.
                process_group=0,
                creationflags=NEW_GROUP_FLAGS,
            )
        except OSError as error:
            self._errors.close()
            raise MachineError(f"a training process cannot be started: {error}") from error
        if self._process.stdin is None or self._process.stdout is None:
            raise ValueError("a training process needs both pipes")
        self._requests, self._replies = self._process.stdin, self._process.stdout
        self._printed = ""
        self.is_new = self.is_usable = True

    def converse(
        self, order: Order, callbacks: Sequence[EpochCallback | None]
    ) -> Answer | MemoryEnded | None:
        """Send jobs, call the callbacks, and return the answer, or None if the process died.

        Only an answer leaves the process usable: after a callback's error it trains on.
        """
        self.is_new = self.is_usable = False
        with _WallClock(self._process) as clock:
            for message in self._messages(order):
                if isinstance(message, Stage):
                    clock.begin(message)
                elif isinstance(message, EpochEnded):
                    if callback := callbacks[message.index]:
                        callback(message.epoch, message.result)
                else:
                    self.is_usable = not isinstance(message, MemoryEnded)
                    return message
        return clock.explain_end()

    def _messages(self, order: Order) -> Iterator[EpochEnded | Stage | MemoryEnded | Answer]:
        """Send jobs, and yield the messages about them until the process dies."""
        # Windows says "invalid argument" of a pipe whose other end is gone.
        with suppress(EOFError, OSError, pickle.UnpicklingError):
            pickle.dump(order, self._requests)
            self._requests.flush()
            while True:
                yield pickle.load(self._replies)  # noqa: S301  (our own process)

    def kill(self) -> None:
        """Kill the process and reap it."""
        self._process.kill()
        self._process.wait()

    def end(self) -> None:
        """Kill the process if it runs, and close the pipes and the file."""
        self.kill()
        self._replies.close()
        with suppress(OSError):  # what could not be sent
            self._requests.close()
        with self._errors:
            self._errors.seek(0)
            self._printed = self._errors.read().decode(errors="replace").strip()[-500:]

    def explain_death(self, *, memory_ran_out: bool) -> MachineError:
        """Describe the death at the last attempt: by a signal or a code, with the last output."""
        code = self._process.wait()
        if memory_ran_out and code == -signal.SIGKILL:
            return MachineError(
                "memory ran out: the kernel killed the training process, at each of "
                f"{ATTEMPTS} attempts",
                next_step=MORE_MEMORY,
            )
        ending = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
        printed = f": {self._printed}" if self._printed else ""
        return MachineError(
            f"the training process {ending}{printed}, at the last of {ATTEMPTS} attempts",
            next_step="If memory ran out, close other programs and grade again. Otherwise report "
            "this message.",
        )


class _WallClock:
    """Kills a process whose stage takes too long; a context manager around its stages."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self._stage = Stage(wall_seconds=START_SECONDS, overrun=MachineError("it did not start"))
        self._timer = Timer(0, lambda: None)
        self._has_struck = False

    def __enter__(self) -> Self:
        self.begin(self._stage)
        return self

    def __exit__(self, *_error: object) -> None:
        self._timer.cancel()

    def begin(self, stage: Stage) -> None:
        """End the stage before, and begin the next."""
        self._timer.cancel()
        self._stage = stage
        if stage.wall_seconds < TIMEOUT_MAX:
            self._timer = Timer(stage.wall_seconds, self._strike)
            self._timer.daemon = True
            self._timer.start()

    def _strike(self) -> None:
        self._has_struck = True
        self._process.kill()

    def explain_end(self) -> GraderError | None:
        """Return the error of a process that ended by a limit on time, else None."""
        if self._has_struck:
            return MachineError(
                f"a training process was ended after {self._stage.wall_seconds:,.0f} s without a "
                "result",
                next_step="The machine may be overloaded or was asleep. Grade again.",
            )
        return self._stage.overrun if self._process.wait() == _PROCESSOR_TIME_ENDED else None
