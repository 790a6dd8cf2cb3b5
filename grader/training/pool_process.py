"""A training process of `grader.training.pool`: receive jobs over a pipe, train, answer.

Started as `python -P -m grader.training.pool_process PARENT DEVICE DATA PIPE`; the last two are
descriptors. It runs no student code.
"""

from __future__ import annotations

import signal
import sys

from grader.kernel import die_with_parent

if __name__ == "__main__":
    # Before torch loads, which takes seconds in which the parent may end.
    die_with_parent(int(sys.argv[1]))
    signal.signal(signal.SIGINT, signal.SIG_IGN)

from contextlib import suppress
from multiprocessing.connection import Connection
from typing import TypeAlias

from grader.errors import GraderError, MachineError, memory_shortage
from grader.results import EpochResult
from grader.training.datasets import Dataset, map_dataset
from grader.training.job import TrainingJob
from grader.training.pool import Answer, EpochEnded
from grader.training.stacked import train_stacked

_Pipe: TypeAlias = "Connection[EpochEnded | Answer, tuple[TrainingJob, ...]]"


def main(device: str, data: int, pipe: _Pipe) -> None:
    """Train the jobs that come until the parent closes the pipe."""
    dataset: Dataset | None = None
    with suppress(EOFError, ConnectionError):
        while True:
            jobs = pipe.recv()
            dataset = dataset or map_dataset(data)
            pipe.send(_train(jobs, dataset, device, pipe))


def _train(jobs: tuple[TrainingJob, ...], dataset: Dataset, device: str, pipe: _Pipe) -> Answer:
    def report(index: int, epoch: int, result: EpochResult) -> None:
        pipe.send(EpochEnded(index=index, epoch=epoch, result=result))

    try:
        return tuple(train_stacked(jobs, dataset, device=device, on_epoch=report))
    except GraderError as error:
        return error
    except ConnectionError:  # the parent is gone
        raise
    except Exception as error:  # noqa: BLE001  (the process must survive the failure of its jobs)
        return memory_shortage(error) or MachineError(
            f"training failed: {type(error).__name__}: {error}",
            next_step="Try again; if it happens again, report it with this message.",
        )


if __name__ == "__main__":
    main(sys.argv[2], int(sys.argv[3]), Connection(int(sys.argv[4])))
