"""Compare the accuracies of the grader's loop and the course's with part 2C."""

from __future__ import annotations

import json
import tempfile
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from statistics import mean, stdev
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.course_data import course_data
from benchmarks.measuring import GRADE, REFERENCE, Outcome, Settings, run_command
from benchmarks.whole import course_grading, graded_items
from grader.training.pool import count_cores

if TYPE_CHECKING:
    from collections.abc import Sequence

PART = "2C"
PERMUTATIONS = 20_000


def compare_accuracies(settings: Settings) -> Outcome:
    """Train the reference's 2C from several seeds with both loops; the best epochs are compared."""
    seeds = [str(seed) for seed in range(1, 1 + (settings.repetitions or 10))]
    with (
        course_data(settings) as data,
        tempfile.TemporaryDirectory() as reports,
        # Accuracies, unlike times, do not mind company.
        ThreadPoolExecutor(max_workers=count_cores()) as executor,
    ):
        options = ["--only", PART, "--seeds", ",".join(seeds), "--full", "--no-cache"]
        run_command(
            [GRADE, REFERENCE, *options, "--output", reports, *settings.data_options()],
            accepted=(0, 1),
        )
        result = json.loads(Path(reports, REFERENCE.name, "result.json").read_text())
        train = partial(course_grading, "--data", str(data), "--threads", "1", "--only", PART)
        course = list(executor.map(lambda seed: train("--seeds", seed)[PART][0], seeds))
    grader = [
        [epoch["test_accuracy"] for epoch in run["epochs"]]
        for run in graded_items(result)[PART]["training"]["runs"]
    ]
    best = {
        "course loop": [max(accuracies) for accuracies in course],
        "grader": [max(accuracies) for accuracies in grader],
    }
    p_value = permutation_p_value(*best.values())
    rows = [
        (name, f"{mean(values):.4f} ± {stdev(values):.4f}", str(len(values)))
        for name, values in best.items()
    ]
    return Outcome(
        table=[(f"{PART}, best epoch", "test accuracy: mean ± standard deviation", "n"), *rows],
        record={"course": course, "grader": grader, "p_value": p_value},
        remarks=[
            f"p = {p_value:.3f}: two-sided permutation test on the means, {PERMUTATIONS:,} times."
        ],
    )


def permutation_p_value(first: Sequence[float], second: Sequence[float]) -> float:
    """Of a two-sided permutation test on the difference of the means."""
    pooled = np.array([*first, *second])
    observed = abs(mean(first) - mean(second))
    shuffled = np.random.default_rng(0).permuted(np.tile(pooled, (PERMUTATIONS, 1)), axis=1)
    split = len(first)
    differences = np.abs(shuffled[:, :split].mean(1) - shuffled[:, split:].mean(1))
    return float((np.count_nonzero(differences >= observed - 1e-12) + 1) / (PERMUTATIONS + 1))
