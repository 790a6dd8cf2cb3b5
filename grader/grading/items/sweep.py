"""Dropout sweeps: the accuracies that a student reports are held against retrained models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from grader.assignment.records import SweepItem
from grader.errors import SubmissionError
from grader.grading.items.calls import check_answered
from grader.grading.items.chance import sweep_tolerance
from grader.grading.items.comparison import format_value
from grader.grading.items.interface import Context, Training
from grader.grading.items.model import ModelTraining, allow_training
from grader.grading.points import add_checks, conclude
from grader.models.questions import PlainMapping, PlainValue
from grader.results import CheckResult, ItemResult, SweepPoint, TrainingRun
from grader.training.allowance import Allowance
from grader.training.job import TrainingJob
from grader.training.plans import Plan, Round
from grader.training.pool import split_into_stacks

SweepRuns = dict[float, list[TrainingRun]]

_KEY_DISTANCE = 0.01 + 1e-9
"""A reported probability may differ this much from the expected one: 0.11 for 1/9, and rounding."""


def check(item_id: str, item: SweepItem, context: Context) -> ItemResult | SweepTraining:
    """Read the reported accuracies; fail if they are unusable or the model cannot be trained."""
    extraction = context.extractions[item_id]
    called = check_answered(extraction)
    if not extraction.answered:
        return conclude(item_id, item, called)
    try:
        reported = parse_sweep(extraction.value, item.probabilities)
    except SubmissionError as error:
        unusable = CheckResult.judged(
            "reported",
            _reported_title(item),
            passed=False,
            observed=str(error),
            expected=f"{len(item.probabilities)} accuracies between 0 and 1",
            next_step=error.next_step,
            location=extraction.location,
        )
        return conclude(item_id, item, unusable)
    model = context.checked[item.model_item]
    if not isinstance(model, ModelTraining):
        untrained = CheckResult.judged(
            "agreement",
            _AGREEMENT_TITLE,
            passed=False,
            observed=f"the model of {item.model_item} cannot be trained",
            expected="a model that passes its own checks",
            next_step=f"fix {item.model_item} first",
        )
        return conclude(item_id, item, untrained)
    return SweepTraining(
        so_far=conclude(item_id, item),
        # Just below the work of the model's own training, so that the two run side by side.
        multiply_adds=model.multiply_adds * 0.99,
        item=item,
        reported=reported,
        location=extraction.location,
        job=model.job,
        seeds=context.setting.seeds,
        allowance=allow_training(
            context.setting.assignment, stacks=len(split_into_stacks(len(item.probabilities)))
        ),
    )


_AGREEMENT_TITLE = "The reported accuracies can be reproduced"


def _reported_title(item: SweepItem) -> str:
    return f"{item.function}() reports an accuracy for each probability"


@dataclass(frozen=True, kw_only=True)
class SweepTraining(Training):
    """A usable sweep over a model that can be trained.

    Attributes:
        reported: the student's accuracies in the order of the probabilities; None if missing.
        location: of the student's function.
        job: the model's own training; epochs, dropout and seed are still to be set.
        allowance: limits on each stack of the sweep.
    """

    item: SweepItem
    reported: tuple[float | None, ...]
    location: str
    job: TrainingJob
    seeds: tuple[int, ...]
    allowance: Allowance

    def plan(self) -> Plan[SweepRuns]:
        """Retrain at every dropout probability; those that disagree get the further seeds."""
        item = self.item
        runs: SweepRuns = {probability: [] for probability in item.probabilities}
        disagreeing = list(item.probabilities)
        for seed in self.seeds:
            jobs = [
                replace(
                    self.job,
                    model=self.job.model.with_dropout(probability),
                    epochs=item.epochs,
                    seed=seed,
                    stop_at_accuracy=None,
                    counted_epoch="final",
                )
                for probability in disagreeing
            ]
            found = yield Round(jobs=jobs, stacked=True, allowance=self.allowance)
            for probability, run in zip(disagreeing, found, strict=True):
                runs[probability].append(run)
            if not item.judged:
                break
            disagreeing = [
                probability
                for probability, value in zip(item.probabilities, self.reported, strict=True)
                if not agrees(value, runs[probability])
            ]
            if len(item.probabilities) - len(disagreeing) >= item.minimum_agreeing:
                break
        return runs

    def result(self, outcome: SweepRuns) -> ItemResult:
        """Return the verdict on the reported sweep."""
        item = self.item
        points = tuple(
            SweepPoint(
                probability=probability,
                reported=value,
                reproduced=tuple(run.final_accuracy for run in outcome[probability]),
                tolerance=sweep_tolerance(outcome[probability][0].final_accuracy)
                if item.judged
                else 0.0,
                agrees=agrees(value, outcome[probability]) if item.judged else None,
            )
            for probability, value in zip(item.probabilities, self.reported, strict=True)
        )
        present = sum(point.reported is not None for point in points)
        complete = CheckResult.judged(
            "reported",
            _reported_title(item),
            passed=present == len(points),
            observed=f"{present} of {len(points)} probabilities have an accuracy",
            next_step="report an accuracy for every probability",
            location=self.location,
        )
        result = replace(add_checks(self.so_far, complete), sweep=points)
        if item.judged:
            return add_checks(result, _check_agreement(item, points))
        note = (
            "The reported accuracies are not compared with the reproduced ones: they were measured "
            "on another data set than the practice set."
        )
        return replace(result, notes=(note,))


def _check_agreement(item: SweepItem, points: Sequence[SweepPoint]) -> CheckResult:
    agreeing = sum(bool(point.agrees) for point in points)
    apart = [f"p = {point.probability:.2f}" for point in points if not point.agrees]
    observed = f"{agreeing} of {len(points)} agree"
    return CheckResult.judged(
        "agreement",
        _AGREEMENT_TITLE,
        passed=agreeing >= item.minimum_agreeing,
        observed=f"{observed}; apart at {', '.join(apart)}" if apart else observed,
        expected=f"at least {item.minimum_agreeing} of {len(points)} within the tolerance of a "
        "reproduced value",
        next_step="run the sweep again with the model and optimiser you hand in, one epoch at "
        "batch size 32, with every Dropout set to p",
    )


def agrees(reported: float | None, runs: Sequence[TrainingRun]) -> bool:
    """Return True if some run's accuracy is within the tolerance of the reported accuracy."""
    return reported is not None and any(
        abs(run.final_accuracy - reported) <= sweep_tolerance(run.final_accuracy) for run in runs
    )


def parse_sweep(value: PlainValue, probabilities: Sequence[float]) -> tuple[float | None, ...]:
    """Read a reported sweep as one accuracy for each probability; None if not measured.

    Args:
        value: {p: accuracy}, as many (p, accuracy) pairs, or the accuracies alone in order.
        probabilities: the expected ones; the student may round them to two decimals.

    Raises:
        SubmissionError: the value has another form, or a probability or an accuracy is wrong.
    """
    count = len(probabilities)
    if not isinstance(value, tuple | PlainMapping):
        forgotten = ": did you forget `return`?" if value is None else ""
        raise SubmissionError(
            f"your function returned {format_value(value)}{forgotten}",
            next_step=f"return the accuracies, as {{p: accuracy}} for {count} probabilities, "
            f"or {count} accuracies",
        )
    found: dict[float, float | None] = {}
    for key, accuracy in _list_pairs(value, probabilities):
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


def _list_pairs(
    value: tuple[PlainValue, ...] | PlainMapping, probabilities: Sequence[float]
) -> Sequence[tuple[PlainValue, PlainValue]]:
    """Return a sweep in any of its forms as pairs of a probability and an accuracy."""
    if isinstance(value, PlainMapping):
        return value.pairs
    pairs = [(item[0], item[1]) for item in value if isinstance(item, tuple) and len(item) == 2]
    if len(value) == 2 != len(probabilities) and not pairs and isinstance(value[0], tuple):
        raise SubmissionError(
            f"your function returned two lists: {format_value(value)}",
            next_step="return dict(zip(probabilities, accuracies)) instead",
        )
    if pairs and len(pairs) == len(value):
        return pairs
    if len(value) != len(probabilities):
        raise SubmissionError(
            f"your function returned {len(value)} accuracies, where {len(probabilities)} are "
            "expected",
            next_step=f"return one for each of p = {_list_probabilities(probabilities)}",
        )
    return list(zip(probabilities, value, strict=True))


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
        if probability - _KEY_DISTANCE <= key <= probability + _KEY_DISTANCE
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
        raise SubmissionError(f"{place}, which is not an accuracy", next_step=share)
    return float(value)


def _list_probabilities(probabilities: Sequence[float]) -> str:
    return ", ".join(f"{probability:.4g}" for probability in probabilities)
