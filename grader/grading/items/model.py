"""From training runs to outcomes and points: models against thresholds, sweeps against reports."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from grader.assignment.records import ModelItem, SweepItem
from grader.errors import SubmissionError
from grader.grading.items.chance import (
    is_borderline,
    parse_sweep,
    reported_differs,
    sweep_tolerance,
    wilson_interval,
)
from grader.grading.items.comparison import format_value
from grader.grading.items.model_checks import CheckedModel, check_answered
from grader.grading.points import attach_model, conclude
from grader.questions import Extraction
from grader.results import (
    CheckResult,
    ItemResult,
    Outcome,
    SweepPoint,
    TrainingReport,
    TrainingRun,
    counted_accuracy,
)
from grader.training.plans import SweepRuns, agrees


def grade_model(
    item_id: str,
    item: ModelItem,
    checked: CheckedModel,
    runs: Sequence[TrainingRun],
    *,
    test_examples: int,
    reported: Extraction | None,
    practice: bool = False,
) -> ItemResult:
    """A trained model against its threshold; one seed that meets it is enough.

    Args:
        item_id: the item's full id.
        item: the model item.
        checked: the model after its static checks.
        runs: one for each seed that was run.
        test_examples: the size of the test set.
        reported: the student's own accuracy.
        practice: whether the runs are on the practice set, which no reported accuracy is about.
    """
    if not checked.passed or checked.recipe is None:
        return reject_model(item_id, item, checked)
    threshold, epoch = item.threshold.accuracy, item.threshold.epoch
    reproduced = [counted_accuracy(run, epoch) for run in runs]
    accuracy = max(reproduced)
    borderline = is_borderline(accuracy, threshold, test_examples)
    reported_accuracy, reported_note = _read_reported(item, reported)
    differs = (
        reported_accuracy is not None
        and not practice
        and reported_differs(reported_accuracy, reproduced, test_examples)
    )
    result = conclude(
        item_id,
        item,
        [*checked.checks, _check_accuracy(item, runs, accuracy, borderline=borderline)],
    )
    return replace(
        attach_model(result, checked),
        notes=(*checked.notes, *reported_note),
        training=TrainingReport(
            recipe=checked.recipe,
            runs=tuple(runs),
            threshold=threshold,
            counted_epoch=epoch,
            accuracy=accuracy,
            interval=wilson_interval(accuracy, test_examples),
            borderline=borderline,
            test_examples=test_examples,
            reported_accuracy=reported_accuracy,
            reported_differs=differs,
        ),
    )


def reject_model(
    item_id: str, item: ModelItem, checked: CheckedModel, *, reason: str = ""
) -> ItemResult:
    """A model that is not trained, because a check failed or for the reason given."""
    failed = sum(check.outcome is Outcome.FAILED for check in checked.checks)
    if failed:
        plural = "1 of the checks above" if failed == 1 else f"{failed} of the checks above"
        reason = f"not trained, because {plural} failed"
    skipped = CheckResult(
        id="accuracy", title="Test accuracy", outcome=Outcome.SKIPPED, observed=reason
    )
    return attach_model(conclude(item_id, item, [*checked.checks, skipped]), checked)


def _check_accuracy(
    item: ModelItem, runs: Sequence[TrainingRun], accuracy: float, *, borderline: bool
) -> CheckResult:
    threshold, epoch = item.threshold.accuracy, item.threshold.epoch
    passed = accuracy >= threshold
    seeds = "1 seed" if len(runs) == 1 else f"the best of {len(runs)} seeds"
    observed = f"{accuracy:.2%} in the {epoch} epoch ({seeds})"
    if any(run.diverged for run in runs):
        observed += "; the loss became infinite or NaN"
        next_step = "lower the learning rate"
    elif all(run.epochs and run.final_accuracy < 0.2 for run in runs):
        next_step = "the model hardly learns: check the learning rate and the layers' order"
    else:
        next_step = (
            f"{threshold - accuracy:.2%} is missing: look at the learning curve. If the loss is "
            "still falling, train longer or faster; if it is low and the test accuracy stalls, "
            "regularise"
        )
    if borderline:
        observed += "; the threshold is within the 95% interval"
    return CheckResult(
        id="accuracy",
        title="Test accuracy",
        outcome=Outcome.PASSED if passed else Outcome.FAILED,
        observed=observed,
        expected=f"at least {threshold:.2%} in the {epoch} epoch of one seed",
        next_step="" if passed else next_step,
    )


def _read_reported(
    item: ModelItem, reported: Extraction | None
) -> tuple[float | None, tuple[str, ...]]:
    """The accuracy the student reports, which costs nothing if it is missing or odd."""
    if reported is None or (not reported.answered and reported.failure is None):
        return None, (f"{item.reported}() is not defined, so no accuracy is compared.",)
    value = reported.value
    if reported.failure:
        return None, (f"{item.reported}() gave no value: {reported.failure.message}",)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        return None, (
            f"{item.reported}() returned {format_value(value)}, which is not a share from 0 to 1.",
        )
    return float(value), ()


def read_sweep(item: SweepItem, extraction: Extraction) -> tuple[float | None, ...] | CheckResult:
    """The reported accuracies in the order of the probabilities, or why there are none."""
    called = check_answered(extraction, item.function)
    if not extraction.answered:
        return called
    try:
        return parse_sweep(extraction.value, item.probabilities)
    except SubmissionError as error:
        return CheckResult(
            id="reported",
            title=f"{item.function}() reports an accuracy for each probability",
            outcome=Outcome.FAILED,
            observed=str(error),
            expected=f"{len(item.probabilities)} accuracies between 0 and 1",
            next_step=error.next_step,
            location=extraction.location,
        )


def grade_sweep(
    item_id: str,
    item: SweepItem,
    reported: Sequence[float | None],
    runs: SweepRuns,
    *,
    location: str,
) -> ItemResult:
    """The reported sweep against the grader's own."""
    points = tuple(
        SweepPoint(
            probability=probability,
            reported=value,
            reproduced=tuple(run.final_accuracy for run in runs[probability]),
            tolerance=sweep_tolerance(runs[probability][0].final_accuracy) if item.judged else 0.0,
            agrees=agrees(value, runs[probability]) if item.judged else None,
        )
        for probability, value in zip(item.probabilities, reported, strict=True)
    )
    missing = sum(point.reported is None for point in points)
    complete = CheckResult(
        id="reported",
        title=f"{item.function}() reports an accuracy for each probability",
        outcome=Outcome.FAILED if missing else Outcome.PASSED,
        observed=f"{len(points) - missing} of {len(points)} probabilities have an accuracy",
        next_step="report an accuracy for every probability" if missing else "",
        location=location,
    )
    checks = [complete, _check_agreement(item, points)] if item.judged else [complete]
    result = replace(conclude(item_id, item, checks), sweep=points)
    if item.judged:
        return result
    note = (
        "The reported accuracies are not held against the reproduced ones: they were measured on "
        "another data set than the practice set."
    )
    return replace(result, notes=(note,))


def _check_agreement(item: SweepItem, points: Sequence[SweepPoint]) -> CheckResult:
    agreeing = sum(bool(point.agrees) for point in points)
    apart = [f"p = {point.probability:.2f}" for point in points if not point.agrees]
    passed = agreeing >= item.minimum_agreeing
    observed = f"{agreeing} of {len(points)} agree"
    return CheckResult(
        id="agreement",
        title="The reported accuracies can be reproduced",
        outcome=Outcome.PASSED if passed else Outcome.FAILED,
        observed=observed if not apart else f"{observed}; apart at {', '.join(apart)}",
        expected=f"at least {item.minimum_agreeing} of {len(points)} within the tolerance of a "
        "reproduced value",
        next_step=""
        if passed
        else "run the sweep again with the model and optimiser you hand in, one epoch at batch "
        "size 32, with every Dropout set to p",
    )
