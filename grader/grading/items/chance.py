"""Verdicts under chance, and what a student reports about training: arithmetic on plain data."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from grader.errors import SubmissionError
from grader.grading.items.comparison import format_value
from grader.questions import PlainMapping
from grader.results import CheckResult, Outcome
from grader.text import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Sequence

    from grader.assignment.records import Recipe
    from grader.questions import PlainValue

NORMAL_95_PERCENT = 1.959964
"""A normal variable is within this many standard deviations of its mean 95% of the time."""

SEED_SPREAD = 0.003
"""An allowance for what training adds to the sampling of the test set.

Seeds, and versions of torch with other random numbers, end in other weights.
"""

_KEY_DISTANCE = 0.01
"""A reported probability may be this far from the one it stands for: 0.11 for 1/9."""

_ROUNDING = 1e-9
"""Accuracies and probabilities this close are equal; only floating-point rounding is smaller."""


def wilson_interval(
    successes_share: float, examples: int, z: float = NORMAL_95_PERCENT
) -> tuple[float, float]:
    """The interval that an accuracy's true value lies in, 95% of the time by default.

    E. B. Wilson, "Probable inference, the law of succession, and statistical inference", Journal
    of the American Statistical Association 22 (1927), 209-212. Unlike the normal approximation
    it stays within 0 and 1, and has a width even where every example is right.

    Args:
        successes_share: the accuracy measured, 0 to 1.
        examples: how many it was measured on, at least 1.
        z: the half-width in standard deviations.
    """
    spread = z * z / examples
    centre = (successes_share + spread / 2) / (1 + spread)
    variance = successes_share * (1 - successes_share) / examples
    half_width = z / (1 + spread) * math.sqrt(variance + spread / (4 * examples))
    return max(0.0, centre - half_width), min(1.0, centre + half_width)


def needs_another_seed(accuracy: float, threshold: float, examples: int) -> bool:
    """Whether an accuracy falls short, but by less than chance explains.

    That is so while the threshold is at most the upper end of the accuracy's 95% interval.
    """
    return accuracy < threshold <= wilson_interval(accuracy, examples)[1]


def clearly_met_accuracy(threshold: float, examples: int) -> float:
    """The accuracy from which a threshold lies below the 95% interval, so no longer borderline.

    The Wilson interval inverts the score test: its lower end is at the threshold where the
    accuracy exceeds it by z times the standard error at the threshold itself.

    Args:
        threshold: the accuracy wanted, 0 to 1.
        examples: the size of the test set.
    """
    return threshold + NORMAL_95_PERCENT * math.sqrt(threshold * (1.0 - threshold) / examples)


def is_borderline(accuracy: float, threshold: float, examples: int) -> bool:
    """Whether the threshold lies inside the accuracy's 95% interval, on either side."""
    low, high = wilson_interval(accuracy, examples)
    return low <= threshold <= high


def reported_differs(
    reported: float,
    reproduced: Sequence[float],
    examples: int,
    seed_spread: float = SEED_SPREAD,
) -> bool:
    """Whether a reported accuracy is further from every reproduced one than chance explains.

    Two accuracies measured independently on `examples` each differ by a random amount with the
    standard deviation sqrt(2) * sqrt(p * (1 - p) / examples), p being their mean; three of these
    and the spread over seeds are allowed. Both are in fact measured on the same test set, where
    they vary together and differ by less, so an honest report is hardly ever flagged.

    Args:
        reported: the student's accuracy, 0 to 1.
        reproduced: the grader's, one for each run; without any nothing differs.
        examples: the size of the test set.
        seed_spread: what the seed of training adds to the difference.
    """

    def within(run: float) -> bool:
        mean = (reported + run) / 2
        deviation = math.sqrt(2 * mean * (1 - mean) / examples)
        return abs(reported - run) <= 3 * deviation + seed_spread + _ROUNDING

    return bool(reproduced) and not any(map(within, reproduced))


def sweep_tolerance(accuracy: float) -> float:
    """How far a reported accuracy may be from a reproduced one after very short training.

    Three standard deviations of the difference of two seeds. The deviation of one seed grows with
    the error rate: `docs/decisions/004-sweep-tolerance.md` has the measurement behind the figures.

    Args:
        accuracy: the reproduced one, 0 to 1.
    """
    deviation = min(max(0.003, 0.1 * (1.0 - accuracy)), 0.03)
    return 3.0 * math.sqrt(2.0) * deviation


def parse_sweep(value: PlainValue, probabilities: Sequence[float]) -> tuple[float | None, ...]:
    """Read a reported sweep as one accuracy for each probability, in their order.

    Args:
        value: {p: accuracy}, as many (p, accuracy) pairs, or the accuracies alone in order.
        probabilities: what is expected; a reported one may be rounded to two decimals.

    Returns:
        The accuracies; None where the student says None.

    Raises:
        SubmissionError: the value is none of these, or a probability or an accuracy is wrong.
    """
    count = len(probabilities)
    if value is None:
        raise SubmissionError(
            "your function returned None: did you forget `return`?",
            next_step="return the accuracies at the end of the function",
        )
    if not isinstance(value, tuple | PlainMapping):
        raise SubmissionError(
            f"your function returned {format_value(value)}",
            next_step=f"return {{p: accuracy}} for {count} probabilities, or {count} accuracies",
        )
    if isinstance(value, PlainMapping):
        return _read_pairs(value.pairs, probabilities)
    pairs = [(item[0], item[1]) for item in value if isinstance(item, tuple) and len(item) == 2]
    if len(value) == 2 != count and not pairs and isinstance(value[0], tuple):
        raise SubmissionError(
            f"your function returned two lists: {format_value(value)}",
            next_step="return dict(zip(probabilities, accuracies)) instead",
        )
    if pairs and len(pairs) == len(value):
        return _read_pairs(pairs, probabilities)
    if len(value) != count:
        raise SubmissionError(
            f"your function returned {len(value)} accuracies, where {count} are expected",
            next_step=f"return one for each of p = {_list_probabilities(probabilities)}",
        )
    return tuple(
        _read_accuracy(accuracy, probability)
        for accuracy, probability in zip(value, probabilities, strict=True)
    )


def _read_pairs(
    pairs: Sequence[tuple[PlainValue, PlainValue]], probabilities: Sequence[float]
) -> tuple[float | None, ...]:
    found: dict[float, float | None] = {}
    for key, accuracy in pairs:
        probability = _match_probability(key, probabilities)
        if probability in found:
            raise SubmissionError(
                f"two accuracies are given for p = {probability:.4g}",
                next_step="give each probability once",
            )
        found[probability] = _read_accuracy(accuracy, probability)
    missing = [probability for probability in probabilities if probability not in found]
    if missing:
        raise SubmissionError(
            f"there is no accuracy for p = {_list_probabilities(missing)}",
            next_step=f"give one for each of p = {_list_probabilities(probabilities)}",
        )
    return tuple(found[probability] for probability in probabilities)


def _match_probability(key: PlainValue, probabilities: Sequence[float]) -> float:
    next_step = f"use p = {_list_probabilities(probabilities)}, rounded to two decimals or better"
    if isinstance(key, bool) or not isinstance(key, int | float):
        raise SubmissionError(
            f"{format_value(key, 40)} is given as a probability, but is not a number",
            next_step=next_step,
        )
    # NaN compares as False, and an integer too large for a float must not reach subtraction.
    near = [
        probability
        for probability in probabilities
        if probability - _KEY_DISTANCE - _ROUNDING <= key <= probability + _KEY_DISTANCE + _ROUNDING
    ]
    if not near:
        raise SubmissionError(
            f"p = {format_value(key, 40)} is not one of the probabilities expected",
            next_step=next_step,
        )
    return min(near, key=lambda probability: abs(probability - key))


def _read_accuracy(value: PlainValue, probability: float) -> float | None:
    if value is None:
        return None
    place = f"the accuracy at p = {probability:.4g} is {format_value(value, 40)}"
    share = "return it as a share between 0 and 1"
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise SubmissionError(f"{place}, which is not a number", next_step=share)
    if 1 < value <= 100:
        raise SubmissionError(f"{place}, a percentage", next_step=f"{share}: {value / 100:.6g}")
    if not 0 <= value <= 1:
        raise SubmissionError(f"{place}, which is no accuracy", next_step=share)
    return float(value)


def _list_probabilities(probabilities: Sequence[float]) -> str:
    return ", ".join(f"{probability:.4g}" for probability in probabilities)


@dataclass(frozen=True, kw_only=True)
class TrainingChoice:
    """What a student chooses of the training, with the recipe's own values where it is silent.

    Attributes:
        epochs, batch_size: within the recipe's caps, whatever the check says.
        check: whether the choice was a valid one.
    """

    epochs: int
    batch_size: int
    check: CheckResult


def check_training_choice(value: PlainValue, recipe: Recipe) -> TrainingChoice:
    """Hold a student's {"epochs": …, "batch_size": …} against the recipe.

    Either key may be left out. Every fault is reported, not only the first.
    """
    ranges = {
        "epochs": (1, recipe.maximum_epochs),
        "batch_size": (recipe.minimum_batch_size, recipe.maximum_batch_size),
    }
    chosen = {"epochs": recipe.epochs, "batch_size": recipe.batch_size}
    if recipe.fixed:
        ranges = {name: (number, number) for name, number in chosen.items()}
    faults: list[tuple[str, str]] = []
    if not isinstance(value, PlainMapping):
        faults.append(
            (
                f"it is {format_value(value)} and not a dict",
                f'return {{"epochs": {recipe.epochs}, "batch_size": {recipe.batch_size}}}',
            )
        )
    for key, number in value.pairs if isinstance(value, PlainMapping) else ():
        if not isinstance(key, str) or key not in ranges:
            hint = did_you_mean(key, ranges) if isinstance(key, str) else ""
            observed = f"{format_value(key, 40)} cannot be chosen{hint}"
            faults.append((observed, 'use only the keys "epochs" and "batch_size"'))
            continue
        fault = _find_range_fault(key, number, *ranges[key])
        if fault:
            faults.append(fault)
        elif isinstance(number, int | float):
            chosen[key] = int(number)
    return TrainingChoice(
        epochs=chosen["epochs"],
        batch_size=chosen["batch_size"],
        check=CheckResult(
            id="recipe",
            title="Epochs and batch size",
            outcome=Outcome.FAILED if faults else Outcome.PASSED,
            observed=(
                "; ".join(observed for observed, _ in faults)
                or f"{chosen['epochs']} epochs at batch size {chosen['batch_size']}"
            ),
            expected="; ".join(
                f"{name} {_describe_range(*allowed)}" for name, allowed in ranges.items()
            ),
            next_step="; ".join(dict.fromkeys(next_step for _, next_step in faults)),
        ),
    )


def _find_range_fault(
    name: str, number: PlainValue, minimum: int, maximum: int
) -> tuple[str, str] | None:
    """What is wrong with a chosen number, and the next step."""
    observed = f"{name} is {format_value(number, 40)}"
    advice = f"choose {name} {_describe_range(minimum, maximum)}"
    if isinstance(number, bool) or not isinstance(number, int | float):
        return f"{observed}, which is not a number", advice
    if isinstance(number, float) and not number.is_integer():
        return f"{observed}, which is not a whole number", advice
    if number > maximum:
        return f"{observed}, above the cap of {maximum}", advice
    if number < minimum:
        return f"{observed}, below the least of {minimum}", advice
    return None


def _describe_range(minimum: int, maximum: int) -> str:
    return f"{minimum}, fixed" if minimum == maximum else f"from {minimum} to {maximum}"
