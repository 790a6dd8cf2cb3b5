"""Dropout sweeps: the accuracies that a student reports are held against retrained models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from grader.assignment.records import SweepItem
from grader.errors import SubmissionError
from grader.grading.attribution import dropouts_of, without_dropout
from grader.grading.items.calls import ask_person, check_answered
from grader.grading.items.chance import sweep_tolerance
from grader.grading.items.comparison import format_value
from grader.grading.items.interface import Context, Training
from grader.grading.items.model import ModelTraining, budget_of
from grader.grading.points import add_checks, conclude
from grader.models.questions import PlainMapping, PlainValue
from grader.models.recording import Doubt
from grader.results import CheckResult, ItemResult, Outcome, SweepPoint, TrainingRun
from grader.training.budget import Budget
from grader.training.job import TrainingJob
from grader.training.plans import Plan, Round
from grader.training.pool import split_into_stacks

SweepRuns = dict[float, list[TrainingRun]]

_KEY_DISTANCE = 0.01 + 1e-9
"""A reported probability may differ this much from the expected one: 0.11 for 1/9, and rounding."""


def check(item_id: str, item: SweepItem, context: Context) -> ItemResult | SweepTraining:
    """Read the reported accuracies; fail if they are unusable or the model cannot be trained."""
    extraction = context.extractions[item_id]
    if extraction.swept:
        return _check_recorded(item_id, item, context)
    called = check_answered(extraction)
    if not extraction.answered:
        return conclude(item_id, item, called)
    try:
        probabilities = choose_probabilities(extraction.value, item)
        reported = parse_sweep(extraction.value, probabilities)
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
        return conclude(item_id, item, _explain_untrained(item, model))
    return _prepare(item_id, item, context, model, dict(zip(probabilities, reported, strict=True)))


def _check_recorded(item_id: str, item: SweepItem, context: Context) -> ItemResult | SweepTraining:
    """Take the probabilities of a recorded sweep, whose accuracies a person compares."""
    extraction = context.extractions[item_id]
    location = str(extraction.swept[0].statement)
    # Every Dropout is set to p, so a sweep over one of several layers cannot be retrained.
    settings = [set(dropouts_of(training)) for training in extraction.swept]
    found = sorted({probability for each in settings if len(each) == 1 for probability in each})
    model = context.checked[item.model_item]
    if not found or len(found) > _maximum_probabilities(item):
        doubt = Doubt(
            observed=f"the sweep at {location} sets Dropout to {len(found)} probabilities",
            next_step=f"return the accuracies by {item.function}()",
            location=location,
        )
        return conclude(item_id, item, ask_person(doubt))
    if not isinstance(model, ModelTraining):
        untrained = _explain_untrained(item, model)
        return conclude(item_id, item, replace(untrained, outcome=Outcome.PENDING))
    note = f"The sweep was found at {location}: p = {_list_probabilities(found)}."
    training = _prepare(item_id, item, context, model, dict.fromkeys(found))
    if without_dropout(model.job.model.layers) != without_dropout(extraction.swept[-1].layers):
        note += f" Its model is not {item.model_item}'s, with which the grader retrains."
    return replace(training, so_far=replace(training.so_far, notes=(note,)))


def _explain_untrained(item: SweepItem, model: ItemResult | Training) -> CheckResult:
    """Return the failed check of a sweep whose model is not trained; pending if the model is."""
    is_pending = isinstance(model, ItemResult) and model.outcome is Outcome.PENDING
    return CheckResult(
        id="agreement",
        title=_AGREEMENT_TITLE,
        outcome=Outcome.PENDING if is_pending else Outcome.FAILED,
        observed=f"a person must look at the model of {item.model_item} first"
        if is_pending
        else f"the model of {item.model_item} cannot be trained",
        expected="a model that passes its own checks",
        next_step=f"fix {item.model_item} first",
    )


def _prepare(
    item_id: str,
    item: SweepItem,
    context: Context,
    model: ModelTraining,
    reported: Mapping[float, float | None],
) -> SweepTraining:
    extraction = context.extractions[item_id]
    return SweepTraining(
        so_far=conclude(item_id, item),
        # Just below the work of the model's own training, so that the two run side by side.
        multiply_adds=model.multiply_adds * 0.99,
        item=item,
        probabilities=tuple(reported),
        reported=tuple(reported.values()),
        recorded=bool(extraction.swept),
        location=str(extraction.swept[0].statement) if extraction.swept else extraction.location,
        job=model.job,
        seeds=context.setting.seeds,
        budget=budget_of(context.setting.assignment, stacks=len(split_into_stacks(len(reported)))),
    )


_AGREEMENT_TITLE = "The reported accuracies can be reproduced"


def _reported_title(item: SweepItem) -> str:
    return f"{item.function}() reports an accuracy for each probability"


@dataclass(frozen=True, kw_only=True)
class SweepTraining(Training):
    """A usable sweep over a model that can be trained.

    Attributes:
        probabilities: to retrain at, each once.
        reported: the student's accuracies in the order of the probabilities; None if missing.
        recorded: the sweep was recorded from a program, which reports no accuracies.
        location: of the student's function.
        job: the model's own training; epochs, dropout and seed are still to be set.
        budget: limits on each stack of the sweep.
    """

    item: SweepItem
    probabilities: tuple[float, ...]
    reported: tuple[float | None, ...]
    recorded: bool
    location: str
    job: TrainingJob
    seeds: tuple[int, ...]
    budget: Budget

    @property
    def minimum_agreeing(self) -> int:
        """The number of accuracies that must agree: as many may differ as in the item's own."""
        item = self.item
        return len(self.probabilities) - (len(item.probabilities) - item.minimum_agreeing)

    @property
    def judged(self) -> bool:
        """True if reported accuracies are compared with reproduced ones."""
        return self.item.judged and not self.recorded

    def plan(self) -> Plan[SweepRuns]:
        """Retrain at every dropout probability; those that disagree get the further seeds."""
        item = self.item
        runs: SweepRuns = {probability: [] for probability in self.probabilities}
        disagreeing = list(self.probabilities)
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
            found = yield Round(jobs=jobs, stacked=True, budget=self.budget)
            for probability, run in zip(disagreeing, found, strict=True):
                runs[probability].append(run)
            if not self.judged:
                break
            disagreeing = [
                probability
                for probability, value in zip(self.probabilities, self.reported, strict=True)
                if not agrees(value, runs[probability])
            ]
            if len(self.probabilities) - len(disagreeing) >= self.minimum_agreeing:
                break
        return runs

    def result(self, outcome: SweepRuns) -> ItemResult:
        """Return the verdict on the reported sweep."""
        points = tuple(
            SweepPoint(
                probability=probability,
                reported=value,
                reproduced=tuple(run.final_accuracy for run in outcome[probability]),
                tolerance=sweep_tolerance(outcome[probability][0].final_accuracy)
                if self.judged
                else 0.0,
                agrees=agrees(value, outcome[probability]) if self.judged else None,
            )
            for probability, value in zip(self.probabilities, self.reported, strict=True)
        )
        if self.recorded:
            return replace(add_checks(self.so_far, self._ask_person()), sweep=points)
        present = sum(point.reported is not None for point in points)
        complete = CheckResult.judged(
            "reported",
            _reported_title(self.item),
            passed=present == len(points),
            observed=f"{present} of {len(points)} probabilities have an accuracy",
            next_step="report an accuracy for every probability",
            location=self.location,
        )
        result = replace(add_checks(self.so_far, complete), sweep=points)
        if self.judged:
            return add_checks(result, self._check_agreement(points))
        note = (
            "The reported accuracies are not compared with the reproduced ones: they were measured "
            "on another data set than the practice set."
        )
        return replace(result, notes=(note,))

    def _ask_person(self) -> CheckResult:
        return CheckResult(
            id="agreement",
            title=_AGREEMENT_TITLE,
            outcome=Outcome.PENDING,
            observed=f"retrained at the program's {len(self.probabilities)} probabilities; a "
            "person compares the accuracies in the program's outputs with the reproduced ones",
            next_step=f"return the accuracies by {self.item.function}(), and the grader compares "
            "them by itself",
            location=self.location,
        )

    def _check_agreement(self, points: Sequence[SweepPoint]) -> CheckResult:
        agreeing = sum(bool(point.agrees) for point in points)
        apart = [f"p = {point.probability:.2f}" for point in points if not point.agrees]
        observed = f"{agreeing} of {len(points)} agree"
        epochs = "one epoch" if self.item.epochs == 1 else f"{self.item.epochs} epochs"
        return CheckResult.judged(
            "agreement",
            _AGREEMENT_TITLE,
            passed=agreeing >= self.minimum_agreeing,
            observed=f"{observed}; apart at {', '.join(apart)}" if apart else observed,
            expected=f"at least {self.minimum_agreeing} of {len(points)} within the tolerance of a "
            "reproduced value",
            next_step="run the sweep again with the model and optimiser you hand in, for "
            f"{epochs} at batch size {self.job.batch_size}, with every Dropout set to p",
        )


def agrees(reported: float | None, runs: Sequence[TrainingRun]) -> bool:
    """Return True if some run's accuracy is within the tolerance of the reported accuracy."""
    return reported is not None and any(
        abs(run.final_accuracy - reported) <= sweep_tolerance(run.final_accuracy) for run in runs
    )


def choose_probabilities(value: PlainValue, item: SweepItem) -> tuple[float, ...]:
    """Return the probabilities at which a reported sweep is retrained.

    They are the student's own where the assignment allows any, and where they are not the
    assignment's, in at least its number and at most twice.
    """
    keys: tuple[PlainValue, ...] = ()
    if isinstance(value, PlainMapping):
        keys = tuple(key for key, _ in value.pairs)
    elif isinstance(value, tuple):
        keys = tuple(pair[0] for pair in value if isinstance(pair, tuple) and len(pair) == 2)
    own = tuple(
        float(key)
        for key in keys
        if isinstance(key, int | float) and not isinstance(key, bool) and 0 <= key <= 1
    )
    if not item.any_probabilities or len(own) < len(keys):
        return item.probabilities
    is_usable = len(item.probabilities) <= len(set(own)) <= _maximum_probabilities(item)
    is_theirs = len(own) == len(item.probabilities) and all(
        any(abs(mine - theirs) <= _KEY_DISTANCE for mine in own) for theirs in item.probabilities
    )
    return own if is_usable and len(set(own)) == len(own) and not is_theirs else item.probabilities


def _maximum_probabilities(item: SweepItem) -> int:
    return 2 * len(item.probabilities)


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
        raise SubmissionError(
            f"your function returned {format_value(value)}",
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
