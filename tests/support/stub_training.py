"""A training process without torch: the real one's life cycle around a loop that learns nothing.

Start a pool of such processes with `TrainingPool(STUB_DATASET, worker=STUB_WORKER)`, and the
repository's root in PYTHONPATH.
"""

from __future__ import annotations

import os
import runpy
import sys
import time
from collections import defaultdict
from math import inf
from pathlib import Path
from types import ModuleType
from typing import IO

from grader import kernel
from grader.errors import ModelError
from grader.results import EpochResult, TrainingRun

BUSY_STEP, BUSY_RUN = -1, -2
"""Seeds of jobs whose process is busy without an end."""

STUB_WORKER = (sys.executable, "-P", "-m", "tests.support.stub_training")


class StubDataset:
    """Data that nobody looks at."""

    def save(self, file: IO[bytes]) -> None:
        file.write(b"data")
        file.flush()


class _Data(bytes):
    train_targets = ()


def map_datasets(path: str) -> dict[str, bytes]:
    return defaultdict(lambda: _Data(Path(path).read_bytes()))


def train_stacked(jobs, dataset, *, device, on_epoch, compiles=False):
    """Return runs whose loss is the number of the process, so that a test can kill it."""
    assert dataset == b"data"
    runs = []
    for index, job in enumerate(jobs):
        epochs = []
        while job.seed == BUSY_RUN:
            pass
        for epoch in range(1, job.epochs + 1):
            time.sleep(0.001)
            epochs.append(EpochResult(train_loss=os.getpid(), test_accuracy=1 - 1 / epoch))
            on_epoch(index, epoch, epochs[-1])
        runs.append(TrainingRun(seed=job.seed, epochs=tuple(epochs)))
    return runs


def predict_seconds(jobs, dataset, budget, *, device, begin):
    """Promise no time at all; the step of a job with the seed `BUSY_STEP` does not end."""
    begin(1.0, ModelError("the step takes too long"))
    while jobs[0].seed == BUSY_STEP:
        pass
    return 0.0


if __name__ == "__main__":
    stacked = ModuleType("grader.training.stacked")
    stacked.train_stacked = train_stacked
    datasets = ModuleType("grader.training.datasets")
    datasets.Dataset = datasets.Datasets = StubDataset
    datasets.map_datasets = map_datasets
    loop = ModuleType("grader.training.loop")
    loop.EVALUATION_BLOCK = 500
    measure = ModuleType("grader.training.measure")
    measure.predict_seconds = predict_seconds
    # The limits of the real process allow a minute.
    limit = kernel.limit_processor_time
    kernel.limit_processor_time = lambda seconds: limit(min(seconds, 1) if seconds < inf else inf)
    for module in (stacked, datasets, loop, measure):
        sys.modules[module.__name__] = module
    runpy.run_module("grader.training.pool_process", run_name="__main__")
