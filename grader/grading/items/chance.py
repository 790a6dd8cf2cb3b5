"""Verdicts under chance: arithmetic on accuracies, and on errors of predicted numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from grader.results import Metric

CountedEpoch = Literal["best", "final"]

NORMAL_95_PERCENT = 1.959964
"""A normal variable is within this many standard deviations of its mean 95% of the time."""

SEED_SPREAD = 0.003
"""Spread of accuracies over seeds, and over versions of torch with other random numbers."""

_ROUNDING = 1e-9
"""Accuracies this close are equal; only floating-point rounding is smaller."""


def wilson_interval(successes_share: float, examples: int) -> tuple[float, float]:
    """Return the interval that an accuracy's true value lies in, 95% of the time.

    E. B. Wilson, "Probable inference, the law of succession, and statistical inference", Journal
    of the American Statistical Association 22 (1927), 209-212. Unlike the normal approximation
    the interval stays within 0 and 1, and has a width even if every example is right.

    Args:
        successes_share: the measured accuracy, 0 to 1.
        examples: the number of test examples, at least 1.
    """
    z = NORMAL_95_PERCENT
    spread = z * z / examples
    centre = (successes_share + spread / 2) / (1 + spread)
    variance = successes_share * (1 - successes_share) / examples
    half_width = z / (1 + spread) * math.sqrt(variance + spread / (4 * examples))
    # The interval holds the measured accuracy; at 0 and 1 rounding would put it just outside.
    low = min(successes_share, max(0.0, centre - half_width))
    return low, max(successes_share, min(1.0, centre + half_width))


SEED_SPREAD_SHARES: dict[CountedEpoch, float] = {"best": 0.06, "final": 0.08}
"""The standard deviation of accuracies over seeds, as a share of the error rate, before it is
measured for a model: `docs/decisions/029-the-spread-between-seeds.md` has the source, and 034 the
simulation."""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """The counted value of a run, with the 95% interval that the test set's size leaves it.

    Attributes:
        deviation: the standard error of the value.
    """

    metric: Metric
    value: float
    interval: tuple[float, float]
    deviation: float

    @classmethod
    def of_accuracy(cls, accuracy: float, examples: int) -> Measured:
        """Return an accuracy, 0 to 1, measured on so many examples."""
        return cls(
            metric=Metric.ACCURACY,
            value=accuracy,
            interval=wilson_interval(accuracy, examples),
            deviation=math.sqrt(accuracy * (1 - accuracy) / examples),
        )

    @classmethod
    def of_rmse(cls, rmse: float, deviation: float) -> Measured:
        """Return an error with its standard error, whose distribution is nearly normal."""
        half_width = NORMAL_95_PERCENT * deviation
        return cls(
            metric=Metric.RMSE,
            value=rmse,
            interval=(max(0.0, rmse - half_width), rmse + half_width),
            deviation=deviation,
        )

    @property
    def error(self) -> float:
        """The error, with which the spread between seeds grows."""
        return 1.0 - self.value if self.metric is Metric.ACCURACY else self.value

    @property
    def most_favourable(self) -> float:
        """The end of the interval that is nearer to a pass."""
        low, high = self.interval
        return high if self.metric is Metric.ACCURACY else low


def needs_another_seed(first: Measured, threshold: float, counted_epoch: CountedEpoch) -> bool:
    """Return True if another seed may meet a threshold that a first run missed.

    A second run differs from the first by the sampling of the test set and by the seeds of both.
    """
    sampling = abs(first.most_favourable - first.value)
    seed_deviation = SEED_SPREAD_SHARES[counted_epoch] * first.error
    reach = math.hypot(sampling, NORMAL_95_PERCENT * math.sqrt(2) * seed_deviation)
    if first.metric is Metric.ACCURACY:
        return first.value < threshold <= first.value + reach
    return first.value > threshold >= first.value - reach


def clearly_met_accuracy(threshold: float, examples: int) -> float:
    """Return the least accuracy whose 95% interval lies above a threshold.

    The Wilson interval inverts the score test. So this accuracy exceeds the threshold by z times
    the standard error at the threshold.
    """
    return threshold + NORMAL_95_PERCENT * math.sqrt(threshold * (1.0 - threshold) / examples)


def is_borderline(runs: Sequence[Measured], threshold: float) -> bool:
    """Return True if a person should look at the verdict on one or several runs.

    Such a verdict is a pass by one of several seeds, or a failure whose best run has the threshold
    inside its 95% interval.
    """
    metric = runs[0].metric
    met = sum(metric.is_met(run.value, threshold) for run in runs)
    if met:
        return met == 1 < len(runs)
    best = metric.best(run.value for run in runs)
    closest = next(run for run in runs if run.value == best)
    return metric.is_met(closest.most_favourable, threshold)


def reported_differs(reported: float, runs: Sequence[Measured], examples: int) -> bool:
    """Return True if a reported value differs from all reproduced ones by more than chance.

    The difference of two independent accuracies with the mean p has the standard deviation
    sqrt(2) * sqrt(p * (1 - p) / examples). Three of these and the spread over seeds are allowed.
    In fact both are measured on the same test set and differ by less, so an honest report is
    hardly ever flagged. Errors of numbers are allowed three deviations of two seeds.
    """

    def within(run: Measured) -> bool:
        if run.metric is Metric.RMSE:
            of_one = math.hypot(run.deviation, SEED_SPREAD_SHARES["final"] * run.value)
            return abs(reported - run.value) <= 3 * math.sqrt(2) * of_one + _ROUNDING
        mean = (reported + run.value) / 2
        deviation = math.sqrt(2 * mean * (1 - mean) / examples)
        return abs(reported - run.value) <= 3 * deviation + SEED_SPREAD + _ROUNDING

    return bool(runs) and not any(map(within, runs))


def sweep_tolerance(accuracy: float) -> float:
    """Return the allowed distance of a reported accuracy from a reproduced one, after one epoch.

    The distance is three standard deviations of the difference of two seeds. The deviation of one
    seed grows with the error rate: `docs/decisions/004-sweep-tolerance.md` has the measurement.
    """
    deviation = min(max(0.003, 0.1 * (1.0 - accuracy)), 0.03)
    return 3.0 * math.sqrt(2.0) * deviation
