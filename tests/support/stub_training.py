"""A training process without torch: the real one's life cycle around a loop that learns nothing.

Start a pool of such processes with `TrainingPool(STUB_DATASET, worker=STUB_WORKER)`, and the
repository's root in PYTHONPATH.
"""

from __future__ import annotations

import os
import runpy
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import IO

from grader.results import EpochResult, TrainingRun

STUB_WORKER = (sys.executable, "-P", "-m", "tests.support.stub_training")


class StubDataset:
    """Data that nobody looks at."""

    def save(self, file: IO[bytes]) -> None:
        file.write(b"data")
        file.flush()


def map_dataset(path: str) -> bytes:
    return Path(path).read_bytes()


def train_stacked(jobs, dataset, *, device, on_epoch):
    """Return runs whose loss is the number of the process, so that a test can kill it."""
    assert dataset == b"data"
    runs = []
    for index, job in enumerate(jobs):
        epochs = []
        for epoch in range(1, job.epochs + 1):
            time.sleep(0.001)
            epochs.append(EpochResult(train_loss=os.getpid(), test_accuracy=1 - 1 / epoch))
            on_epoch(index, epoch, epochs[-1])
        runs.append(TrainingRun(seed=job.seed, epochs=tuple(epochs)))
    return runs


if __name__ == "__main__":
    stacked = ModuleType("grader.training.stacked")
    stacked.train_stacked = train_stacked
    datasets = ModuleType("grader.training.datasets")
    datasets.Dataset, datasets.map_dataset = StubDataset, map_dataset
    sys.modules |= {"grader.training.stacked": stacked, "grader.training.datasets": datasets}
    runpy.run_module("grader.training.pool_process", run_name="__main__")
