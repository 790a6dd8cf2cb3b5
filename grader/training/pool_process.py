"""A training process of `grader.training.pool`: receive jobs, train, answer.

Started as `python -P -m grader.training.pool_process PARENT DEVICE DATA`, where DATA is the path of
the data set. Jobs come by standard input, answers go by standard output. It runs no student code.
"""

from __future__ import annotations

import os
import pickle
import signal
import sys

from grader.kernel import die_with_parent, offer_to_memory_killer

if __name__ == "__main__":
    # Before torch loads, which takes seconds in which the parent may end.
    die_with_parent(int(sys.argv[1]))
    offer_to_memory_killer()
    signal.signal(signal.SIGINT, signal.SIG_IGN)

import math
from contextlib import suppress
from typing import BinaryIO

from grader.errors import GraderError, MachineError, ModelError, memory_shortage
from grader.kernel import limit_memory, limit_processor_time, private_memory_bytes
from grader.models.shapes import find_largest_layer
from grader.results import EpochResult
from grader.training.compiled.engine import can_compile
from grader.training.datasets import Datasets, map_datasets
from grader.training.job import TrainingJob
from grader.training.loop import EVALUATION_BLOCK
from grader.training.measure import predict_seconds
from grader.training.pool import Answer, EpochEnded, MemoryEnded, Order, Stage
from grader.training.stacked import train_stacked

OVERRUN = 10.0
"""Training may take this many times the predicted seconds."""
OVERRUN_SECONDS = 60.0
WALL_SECONDS = 600.0
"""A stage may take this time, and three times its processor time, by the wall clock: only a process
that hangs or waits for the machine takes longer."""

LEAST_EXAMPLES = 50_000
"""In all epochs together: PyTorch trains on fewer in less time than the compiler takes, which is up
to 10 s, once. Ten epochs of practice are 40,000, one of MNIST 60,000."""


def main(device: str, data: str) -> None:
    """Train the jobs that come until the parent closes the pipe."""
    trainer: _Trainer | None = None
    # What a library prints must not come between the answers.
    with os.fdopen(os.dup(1), "wb") as replies:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        while order := _receive():
            trainer = trainer or _Trainer(map_datasets(data), device, replies)
            _send(trainer.answer(order), replies)


def _receive() -> Order | None:
    """Return the next jobs, or None if the parent is gone."""
    with suppress(EOFError, OSError):
        order: Order = pickle.load(sys.stdin.buffer)  # noqa: S301  (the parent's)
        return order
    return None


def _send(message: Answer | EpochEnded | Stage | MemoryEnded, replies: BinaryIO) -> None:
    """Send a message; exit if the parent is gone."""
    try:
        pickle.dump(message, replies)
        replies.flush()
    except OSError:
        os._exit(1)


class _Trainer:
    """Trains jobs, and reports to the parent."""

    def __init__(self, datasets: Datasets, device: str, replies: BinaryIO) -> None:
        self._datasets = datasets
        self._device = device
        self._replies = replies
        self._memory_before = private_memory_bytes()

    def answer(self, order: Order) -> Answer | MemoryEnded:
        """Train jobs under their limits; return the runs, or the reason why there are none."""
        try:
            return self._train(order)
        except Exception as error:  # noqa: BLE001  (the process must survive the failure of its jobs)
            if shortage := memory_shortage(error):
                return MemoryEnded(error=shortage)
            if isinstance(error, GraderError):
                return error
            return MachineError(
                f"training failed: {type(error).__name__}: {error}",
                next_step="Try again; if it happens again, report it with this message.",
            )
        finally:
            limit_processor_time(math.inf)

    def _train(self, order: Order) -> Answer | MemoryEnded:
        jobs, budget = order.jobs, order.budget
        dataset = self._datasets[jobs[0].dataset]
        # Without limits, as the compiler's time and memory are not the student's.
        limit_memory(-1)
        before = private_memory_bytes()
        is_long = jobs[0].epochs * len(dataset.train_targets) >= LEAST_EXAMPLES
        compiles = is_long and can_compile(jobs[0], self._device)
        self._memory_before += private_memory_bytes() - before
        # On a GPU the address space is the driver's; torch reports its own memory there.
        limit = budget.memory_bytes if self._device == "cpu" else None
        if limit is not None:
            limit_memory(self._memory_before + limit)
        if math.isfinite(budget.reference_epochs):
            try:
                seconds = predict_seconds(
                    jobs, dataset, budget, device=self._device, begin=self._begin
                )
            except Exception as error:
                if limit is None or memory_shortage(error) is None:
                    raise
                return MemoryEnded(error=_memory_refusal(jobs[0], limit))
        else:
            seconds = math.inf
        self._begin(OVERRUN_SECONDS + OVERRUN * seconds, _overrun(seconds))
        runs = train_stacked(
            jobs, dataset, device=self._device, on_epoch=self._report, compiles=compiles
        )
        return tuple(runs)

    def _begin(self, seconds: float, overrun: GraderError) -> None:
        limit_processor_time(seconds)
        _send(Stage(wall_seconds=WALL_SECONDS + 3 * seconds, overrun=overrun), self._replies)

    def _report(self, index: int, epoch: int, result: EpochResult) -> None:
        _send(EpochEnded(index=index, epoch=epoch, result=result), self._replies)


def _overrun(seconds: float) -> MachineError:
    return MachineError(
        f"training was ended after over {OVERRUN:.0f} times the {seconds:,.0f} s of processor time "
        "that its first steps had promised",
        next_step="No points are lost. Grade again; if it happens again, report this message.",
    )


def _memory_refusal(job: TrainingJob, memory_bytes: int) -> ModelError:
    layer = find_largest_layer(job.model, job.input_shape)
    return ModelError(
        f"one training step with batches of {job.batch_size}, or the evaluation of "
        f"{EVALUATION_BLOCK} examples, takes more than {memory_bytes / 1e9:.1f} GB of memory; the "
        f"largest layer is {layer.path}, {layer.describe()}",
        next_step="Make that layer smaller, or use smaller batches.",
    )


if __name__ == "__main__":
    main(sys.argv[2], sys.argv[3])
