"""Verdicts under chance: arithmetic on accuracies."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

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


SEED_SPREAD_SHARES: dict[CountedEpoch, float] = {"best": 0.06, "final": 0.1}
"""The standard deviation of accuracies over seeds, as a share of the error rate, before it is
measured for a model: `docs/decisions/029-the-spread-between-seeds.md` has the source."""


def needs_another_seed(
    accuracy: float, threshold: float, examples: int, counted_epoch: CountedEpoch
) -> bool:
    """Return True if another seed may meet a threshold that a first run missed.

    A second run differs from the first by the sampling of the test set and by the seeds of both.
    """
    sampling = wilson_interval(accuracy, examples)[1] - accuracy
    seed_deviation = SEED_SPREAD_SHARES[counted_epoch] * (1.0 - accuracy)
    of_two_seeds = NORMAL_95_PERCENT * math.sqrt(2) * seed_deviation
    return accuracy < threshold <= accuracy + math.hypot(sampling, of_two_seeds)


def clearly_met_accuracy(threshold: float, examples: int) -> float:
    """Return the least accuracy whose 95% interval lies above a threshold.

    The Wilson interval inverts the score test. So this accuracy exceeds the threshold by z times
    the standard error at the threshold.
    """
    return threshold + NORMAL_95_PERCENT * math.sqrt(threshold * (1.0 - threshold) / examples)


def is_borderline(accuracies: Sequence[float], threshold: float, examples: int) -> bool:
    """Return True if a person should look at the verdict on one or several runs.

    Such a verdict is a pass by one of several seeds, or a failure whose best run has the threshold
    inside its 95% interval.
    """
    met = sum(accuracy >= threshold for accuracy in accuracies)
    if met:
        return met == 1 < len(accuracies)
    return threshold <= wilson_interval(max(accuracies), examples)[1]


def reported_differs(reported: float, reproduced: Sequence[float], examples: int) -> bool:
    """Return True if a reported accuracy differs from all reproduced ones by more than chance.

    The difference of two independent accuracies with the mean p has the standard deviation
    sqrt(2) * sqrt(p * (1 - p) / examples). Three of these and the spread over seeds are allowed.
    In fact both are measured on the same test set and differ by less, so an honest report is
    hardly ever flagged.
    """

    def within(run: float) -> bool:
        mean = (reported + run) / 2
        deviation = math.sqrt(2 * mean * (1 - mean) / examples)
        return abs(reported - run) <= 3 * deviation + SEED_SPREAD + _ROUNDING

    return bool(reproduced) and not any(map(within, reproduced))


def sweep_tolerance(accuracy: float) -> float:
    """Return the allowed distance of a reported accuracy from a reproduced one, after one epoch.

    The distance is three standard deviations of the difference of two seeds. The deviation of one
    seed grows with the error rate: `docs/decisions/004-sweep-tolerance.md` has the measurement.
    """
    deviation = min(max(0.003, 0.1 * (1.0 - accuracy)), 0.03)
    return 3.0 * math.sqrt(2.0) * deviation
