"""Which training runs a verdict needs, round after round.

A plan is a generator: it yields jobs, is sent their runs in the same order, and returns what it
was after. So it knows nothing of processes, and many plans can share one pool.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from grader.grading.items.chance import clearly_met_accuracy, needs_another_seed, sweep_tolerance
from grader.results import EpochResult, TrainingRun, counted_accuracy
from grader.training.job import TrainingJob

Result = TypeVar("Result")


@dataclass(frozen=True, kw_only=True)
class Round:
    """Jobs to be trained at once.

    Attributes:
        jobs: what to train.
        stacked: whether to train them as one grouped network: faster, with dropout masks of the
            same distribution as, but other numbers than, each alone.
    """

    jobs: list[TrainingJob]
    stacked: bool = False


Plan = Generator[Round, list[TrainingRun], Result]

SweepRuns = dict[float, list[TrainingRun]]


def plan_model(
    job: TrainingJob,
    *,
    threshold: float,
    seeds: Sequence[int],
    test_examples: int,
    every_seed: bool,
    full: bool,
) -> Plan[tuple[TrainingRun, ...]]:
    """Train until one seed meets the threshold, or until chance cannot explain the shortfall.

    Args:
        job: the training to do; its seed is set here.
        threshold: the accuracy wanted, 0 to 1.
        seeds: in the order to try them.
        test_examples: the size of the test set, which says what chance explains.
        every_seed: run all seeds whatever comes out.
        full: train every epoch even where the best epoch already meets the threshold clearly.
    """
    clear = clearly_met_accuracy(threshold, test_examples)
    stop_at = None if full or job.counted_epoch == "final" else clear
    jobs = [replace(job, seed=seed, stop_at_accuracy=stop_at) for seed in seeds]
    if every_seed:
        return tuple((yield Round(jobs=jobs)))
    runs: list[TrainingRun] = []
    for next_job in jobs:
        runs += yield Round(jobs=[next_job])
        reached = counted_accuracy(runs[-1], job.counted_epoch)
        first = counted_accuracy(runs[0], job.counted_epoch)
        if reached >= threshold or not needs_another_seed(first, threshold, test_examples):
            break
    return tuple(runs)


def plan_sweep(
    job: TrainingJob,
    *,
    epochs: int,
    probabilities: Sequence[float],
    reported: Sequence[float | None],
    judged: bool,
    minimum_agreeing: int,
    seeds: Sequence[int],
) -> Plan[SweepRuns]:
    """Retrain at every dropout probability; those that disagree get the further seeds.

    Args:
        job: the model's own training; epochs, dropout and seed are set here.
        epochs: how long each model of the sweep is trained.
        probabilities: what every Dropout is set to.
        reported: the student's accuracies.
        judged: whether the two are held against each other; else one seed is enough.
        minimum_agreeing: when this many agree, no further seed is needed.
        seeds: in the order to try them.
    """
    runs: SweepRuns = {probability: [] for probability in probabilities}
    wanting = list(probabilities)
    for seed in seeds:
        jobs = [
            replace(
                job,
                model=job.model.with_dropout(probability),
                epochs=epochs,
                seed=seed,
                stop_at_accuracy=None,
                counted_epoch="final",
            )
            for probability in wanting
        ]
        found = yield Round(jobs=jobs, stacked=True)
        for probability, run in zip(wanting, found, strict=True):
            runs[probability].append(run)
        if not judged:
            break
        wanting = [
            probability
            for probability, value in zip(probabilities, reported, strict=True)
            if not agrees(value, runs[probability])
        ]
        if len(probabilities) - len(wanting) >= minimum_agreeing:
            break
    return runs


def agrees(reported: float | None, runs: Sequence[TrainingRun]) -> bool:
    """Whether some run's accuracy is as near to the reported one as chance allows."""
    return reported is not None and any(
        abs(run.final_accuracy - reported) <= sweep_tolerance(run.final_accuracy) for run in runs
    )


EpochCallback = Callable[[int, EpochResult], None]
"""Told after every epoch of one job: the epoch counted from 1, and its result."""
