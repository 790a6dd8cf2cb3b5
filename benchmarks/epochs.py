"""One epoch with its evaluation: the course's loop and the grader's, in turn on the same cores."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.models import training_job
from grader.datasets import Dataset, load_dataset
from grader.training_pool import LARGEST_STACK, TrainingPool

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from grader.results import TrainingRun


@dataclass(frozen=True, kw_only=True)
class Size:
    """How much of MNIST an epoch goes through."""

    train_examples: int
    test_examples: int


WHOLE = Size(train_examples=60_000, test_examples=10_000)
QUICK = Size(train_examples=6_400, test_examples=1_000)


def load(data_directory: Path, size: Size) -> Dataset:
    """The first examples of MNIST."""
    whole = load_dataset("mnist", data_directory=data_directory)
    return replace(
        whole,
        train_images=whole.train_images[: size.train_examples],
        train_labels=whole.train_labels[: size.train_examples],
        test_images=whole.test_images[: size.test_examples],
        test_labels=whole.test_labels[: size.test_examples],
    )


def course_run(
    data_directory: Path,
    model: str,
    size: Size,
    *,
    threads: int = 0,
    epochs: int = 1,
    seed: int = 0,
) -> dict[str, list[float]]:
    """The seconds and accuracies of the course's loop, in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.course_loop", "--data", str(data_directory)]
    options = {
        "--model": model,
        "--threads": threads,
        "--epochs": epochs,
        "--seed": seed,
        "--train-examples": size.train_examples,
        "--test-examples": size.test_examples,
    }
    command += [str(word) for option in options.items() for word in option]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    result: dict[str, list[float]] = json.loads(printed)
    return result


def measure_epochs(
    data_directory: Path, size: Size, repetitions: int, course_threads: Sequence[int]
) -> Iterator[tuple[str, float]]:
    """Seconds for one epoch of one model, each with its name, in interleaved order.

    A stack's time is divided by its models. The grader's runs have one process of one thread.
    """
    with TrainingPool(load(data_directory, size), processes=1) as pool:

        def grader_seconds(model: str) -> float:
            return pool.submit(training_job(model)).result().wall_seconds

        def stacked_seconds(model: str) -> float:
            job = training_job(model)
            sweep = [
                replace(job, model=job.model.with_dropout(index / 10), seed=index)
                for index in range(LARGEST_STACK)
            ]
            runs: list[TrainingRun] = [future.result() for future in pool.submit_stacked(sweep)]
            return max(run.wall_seconds for run in runs) / len(runs)

        for model in ("mlp", "cnn"):
            grader_seconds(model)  # the first run of a process loads code and pages
            for _ in range(repetitions):
                for threads in course_threads:
                    course = course_run(data_directory, model, size, threads=threads)
                    yield f"{model}/course/{threads}", course["seconds"][0]
                yield f"{model}/grader", grader_seconds(model)
                yield f"{model}/stacked", stacked_seconds(model)
