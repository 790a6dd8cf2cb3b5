"""One epoch with its evaluation: the course's loop and the grader's, in turn on the same cores."""

from __future__ import annotations

import json
import sys
import time
from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from benchmarks.measuring import Outcome, Row, Settings, describe_spread, run_command
from benchmarks.models import training_job
from grader.training.datasets import Dataset, Datasets, load_dataset
from grader.training.pool import LARGEST_STACK, TrainingPool

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True, kw_only=True)
class Size:
    """The amount of MNIST in an epoch."""

    train_examples: int
    test_examples: int


WHOLE = Size(train_examples=60_000, test_examples=10_000)
SMALL = Size(train_examples=6_400, test_examples=1_000)

ROWS = {
    "course/1": "course loop, one thread",
    "course/0": "course loop, torch's default threads",
    "grader": "grader, one thread",
    "stacked": f"grader, one thread, {LARGEST_STACK} models of a sweep, per model",
}
NAMES = {"mlp": "784-100-10", "cnn": "8-8 filter CNN with batch norm and dropout"}


def load(data_directory: Path, size: Size) -> Dataset:
    """The first examples of MNIST."""
    whole = load_dataset("mnist", data_directory=data_directory)
    return replace(
        whole,
        train_inputs=whole.train_inputs[: size.train_examples],
        train_targets=whole.train_targets[: size.train_examples],
        test_inputs=whole.test_inputs[: size.test_examples],
        test_targets=whole.test_targets[: size.test_examples],
    )


def course_seconds(data_directory: Path, model: str, size: Size, *, threads: int) -> float:
    """Return the seconds of one epoch of the course's loop, in a separate process."""
    options = {
        "--data": data_directory,
        "--model": model,
        "--threads": threads,
        "--train-examples": size.train_examples,
        "--test-examples": size.test_examples,
    }
    words = [str(word) for option in options.items() for word in option]
    printed = run_command([sys.executable, "-m", "benchmarks.course_loop", *words])
    seconds: list[float] = json.loads(printed)["seconds"]
    return seconds[0]


def measure_epochs(settings: Settings) -> Outcome:
    """Both networks by every loop, in interleaved order."""
    size = SMALL if settings.small else WHOLE
    seconds: dict[str, list[float]] = defaultdict(list)
    for name, value in _take_times(settings, size):
        seconds[name].append(value)
    return Outcome(
        table=_tabulate(seconds, steps=size.train_examples / 32),
        record={"train_examples": size.train_examples, "seconds": seconds},
    )


def _take_times(settings: Settings, size: Size) -> Iterator[tuple[str, float]]:
    """Seconds for one epoch of one model, each with its name.

    The time of a sweep, whose models are stacked or trained by kernels one by one, is divided by
    its models. The grader's runs have one process of one thread.
    """
    with TrainingPool(Datasets.of(load(settings.data_directory, size)), processes=1) as pool:

        def grader_seconds(model: str) -> float:
            return pool.submit_stacked([training_job(model)])[0].result().wall_seconds

        def stacked_seconds(model: str) -> float:
            job = training_job(model)
            sweep = [
                replace(job, model=job.model.with_dropout(index / 10), seed=index)
                for index in range(LARGEST_STACK)
            ]
            started = time.perf_counter()
            for future in pool.submit_stacked(sweep):
                future.result()
            return (time.perf_counter() - started) / len(sweep)

        for model in NAMES:
            grader_seconds(model)  # the first run of a process loads code and pages
            for _ in range(settings.repetitions or (3 if settings.small else 7)):
                for threads in (1,) if settings.one_thread else (1, 0):
                    seconds = course_seconds(settings.data_directory, model, size, threads=threads)
                    yield f"{model}/course/{threads}", seconds
                yield f"{model}/grader", grader_seconds(model)
                yield f"{model}/stacked", stacked_seconds(model)


def _tabulate(seconds: dict[str, list[float]], steps: float) -> list[Row]:
    """Medians (least to most); "times faster" is against the course's loop with one thread."""
    rows: list[Row] = [
        ("model", "loop", "seconds an epoch", "n", "microseconds a step", "times faster")
    ]
    for model, model_name in NAMES.items():
        baseline = median(seconds[f"{model}/course/1"])
        for row, row_name in ROWS.items():
            values = seconds.get(f"{model}/{row}")
            if values is None:
                continue
            middle = median(values)
            rows.append(
                (
                    model_name,
                    row_name,
                    describe_spread(values),
                    str(len(values)),
                    f"{middle / steps * 1e6:,.0f}",
                    f"{baseline / middle:.2f}",
                )
            )
    return rows
