"""Whether the grader's loop and the course's reach the same accuracies, over several seeds."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import mean, stdev
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.epochs import Size, course_run, load
from benchmarks.models import training_job
from grader.training_pool import TrainingPool

if TYPE_CHECKING:
    from pathlib import Path

EPOCHS = 3
PERMUTATIONS = 20_000


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Final test accuracies of 784-100-10 after `EPOCHS` epochs, one for each seed."""

    course: tuple[float, ...]
    grader: tuple[float, ...]

    def p_value(self) -> float:
        """Of a two-sided permutation test on the difference of the means."""
        pooled = np.array(self.course + self.grader)
        observed = abs(mean(self.course) - mean(self.grader))
        shuffled = np.random.default_rng(0).permuted(np.tile(pooled, (PERMUTATIONS, 1)), axis=1)
        split = len(self.course)
        differences = np.abs(shuffled[:, :split].mean(1) - shuffled[:, split:].mean(1))
        return float((np.count_nonzero(differences >= observed - 1e-12) + 1) / (PERMUTATIONS + 1))

    def describe(self) -> str:
        """Means, standard deviations and the p-value, in words."""
        course, grader = (
            f"{mean(values):.4f} ± {stdev(values):.4f}" for values in (self.course, self.grader)
        )
        return (
            f"784-100-10, {EPOCHS} epochs, {len(self.course)} seeds: course loop {course}, "
            f"grader {grader}, p = {self.p_value():.3f} (two-sided permutation test, "
            f"{PERMUTATIONS:,} permutations)"
        )


def compare_accuracies(data_directory: Path, size: Size, seeds: int) -> Comparison:
    """Train with both loops from every seed."""
    with TrainingPool(load(data_directory, size), processes=1) as pool:
        futures = [pool.submit(training_job("mlp", seed=s, epochs=EPOCHS)) for s in range(seeds)]
        grader = tuple(future.result().final_accuracy for future in futures)
    course = tuple(
        course_run(data_directory, "mlp", size, threads=1, epochs=EPOCHS, seed=s)["accuracies"][-1]
        for s in range(seeds)
    )
    return Comparison(course=course, grader=grader)
