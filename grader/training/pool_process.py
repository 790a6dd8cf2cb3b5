"""A training process of `grader.training.pool`: receive jobs, train, answer.

Started as `python -P -m grader.training.pool_process PARENT DEVICE DATA`, where DATA is the path of
the data set. Jobs come by standard input, answers go by standard output. It runs no student code.
"""

from __future__ import annotations

import os
import pickle
import signal
import sys

from grader.kernel import die_with_parent

if __name__ == "__main__":
    # Before torch loads, which takes seconds in which the parent may end.
    die_with_parent(int(sys.argv[1]))
    signal.signal(signal.SIGINT, signal.SIG_IGN)

from contextlib import suppress
from typing import BinaryIO

from grader.errors import GraderError, MachineError, memory_shortage
from grader.results import EpochResult
from grader.training.datasets import Dataset, map_dataset
from grader.training.job import TrainingJob
from grader.training.pool import Answer, EpochEnded
from grader.training.stacked import train_stacked


def main(device: str, data: str) -> None:
    """Train the jobs that come until the parent closes the pipe."""
    dataset: Dataset | None = None
    # What a library prints must not come between the answers.
    with os.fdopen(os.dup(1), "wb") as replies:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        while jobs := _receive():
            dataset = dataset or map_dataset(data)
            _send(_train(jobs, dataset, device, replies), replies)


def _receive() -> tuple[TrainingJob, ...]:
    """Return the next jobs, or () if the parent is gone."""
    with suppress(EOFError, OSError):
        jobs: tuple[TrainingJob, ...] = pickle.load(sys.stdin.buffer)  # noqa: S301  (the parent's)
        return jobs
    return ()


def _send(message: Answer | EpochEnded, replies: BinaryIO) -> None:
    """Send a message; exit if the parent is gone."""
    try:
        pickle.dump(message, replies)
        replies.flush()
    except OSError:
        os._exit(1)


def _train(
    jobs: tuple[TrainingJob, ...], dataset: Dataset, device: str, replies: BinaryIO
) -> Answer:
    def report(index: int, epoch: int, result: EpochResult) -> None:
        _send(EpochEnded(index=index, epoch=epoch, result=result), replies)

    try:
        return tuple(train_stacked(jobs, dataset, device=device, on_epoch=report))
    except GraderError as error:
        return error
    except Exception as error:  # noqa: BLE001  (the process must survive the failure of its jobs)
        return memory_shortage(error) or MachineError(
            f"training failed: {type(error).__name__}: {error}",
            next_step="Try again; if it happens again, report it with this message.",
        )


if __name__ == "__main__":
    main(sys.argv[2], sys.argv[3])
