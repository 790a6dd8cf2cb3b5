"""From what was handed in, and what training found, to outcomes and points: one function a kind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from grader.answers import compare, format_value
from grader.assignment import (
    ANSWER_MARKER,
    AnswerItem,
    Item,
    ModelItem,
    SweepItem,
    TruthTableItem,
    TruthTableRow,
    VersionsItem,
    WrittenItem,
)
from grader.build import build_model, load_weights
from grader.check import CheckedModel, check_answered, check_structure, describe_failure
from grader.errors import GraderError, ModelError, SubmissionError
from grader.hints import hints_from_notes
from grader.questions import Extraction, Failure
from grader.results import (
    CheckResult,
    ItemResult,
    Outcome,
    Score,
    SweepPoint,
    TrainingReport,
    TrainingRun,
    worst,
)
from grader.rounds import SweepRuns, agrees, counted_accuracy
from grader.verdicts import (
    is_borderline,
    parse_sweep,
    reported_differs,
    sweep_tolerance,
    wilson_interval,
)
from grader.versions import check_versions


def give_points(outcome: Outcome, points: float) -> Score:
    """All of an item's points go one way, by its outcome."""
    match outcome:
        case Outcome.PASSED:
            return Score(possible=points, earned=points)
        case Outcome.FAILED:
            return Score(possible=points, lost=points)
        case Outcome.PENDING:
            return Score(possible=points, pending=points)
        case Outcome.SKIPPED | Outcome.ERROR:
            return Score(possible=points, undecided=points)


def conclude(item_id: str, item: Item, checks: Sequence[CheckResult]) -> ItemResult:
    """An item's result from its checks: a failure outweighs what was skipped for it."""
    outcomes = [check.outcome for check in checks]
    outcome = Outcome.FAILED if Outcome.FAILED in outcomes else worst(outcomes)
    return ItemResult(
        id=item_id,
        title=item.title,
        kind=item.kind,
        outcome=outcome,
        score=give_points(outcome, item.points),
        checks=tuple(checks),
    )


def leave_out(item_id: str, item: Item, reason: str) -> ItemResult:
    """An item that was not graded because the user asked for less, or stopped."""
    check = CheckResult(id="graded", title="Graded", outcome=Outcome.SKIPPED, observed=reason)
    return conclude(item_id, item, [check])


def report_error(
    item_id: str, item: Item, error: GraderError, checked: CheckedModel | None = None
) -> ItemResult:
    """An item that the grader or the machine could not grade: no points are lost."""
    check = CheckResult(
        id="graded",
        title="Graded",
        outcome=Outcome.ERROR,
        observed=str(error),
        next_step=error.next_step or "this is no fault of the submission; grade it again",
    )
    result = conclude(item_id, item, [*(checked.checks if checked else ()), check])
    return _with_model(result, checked) if checked else result


def grade_written(item_id: str, item: WrittenItem, content: str | Failure) -> ItemResult:
    """A written answer: missing ones are lost, all others wait for a person."""
    title = f"{item.file} is answered"
    if isinstance(content, Failure):
        failed = describe_failure(content, check_id="answered", title=title)
        return conclude(item_id, item, [failed])
    answer = content.rpartition(ANSWER_MARKER)[2].strip()
    if not answer:
        failed = CheckResult(
            id="answered",
            title=title,
            outcome=Outcome.FAILED,
            observed="the file holds no answer",
            expected="an explanation in Markdown",
            next_step=f"write your answer into {item.file}",
        )
        return conclude(item_id, item, [failed])
    words = len(answer.split())
    check = CheckResult(
        id="answered",
        title=title,
        outcome=Outcome.PENDING,
        observed=f"{words} {'word' if words == 1 else 'words'}, for a person to grade",
    )
    return replace(conclude(item_id, item, [check]), written_text=answer)


def grade_answer(item_id: str, item: AnswerItem, extraction: Extraction) -> ItemResult:
    """The value of a function against the accepted ones."""
    called = check_answered(extraction, item.function)
    hints = hints_from_notes(extraction.notes)
    if not extraction.answered:
        return replace(conclude(item_id, item, [called]), hints=hints)
    comparison = compare(extraction.value, item.accepted, tolerance=item.tolerance)
    check = CheckResult(
        id="value",
        title=f"{item.function}() gives the right value",
        outcome=Outcome.PASSED if comparison.equal else Outcome.FAILED,
        observed="; ".join(filter(None, (comparison.observed, comparison.message))),
        expected="" if comparison.equal else comparison.expected,
        next_step=comparison.next_step,
        location=extraction.location,
        details=comparison.details,
    )
    result = conclude(item_id, item, [called, check])
    return replace(result, answer=format_value(extraction.value), hints=hints)


def grade_versions(item_id: str, item: VersionsItem, extraction: Extraction) -> ItemResult:
    """The reported versions of torch and torchvision."""
    called = check_answered(extraction, item.function)
    if not extraction.answered:
        return conclude(item_id, item, [called])
    checks, notes = check_versions(extraction.value, grader_torch=torch.__version__)
    located = [replace(check, location=extraction.location) for check in checks]
    result = conclude(item_id, item, [called, *located])
    return replace(result, notes=tuple(notes), answer=format_value(extraction.value))


def grade_truth_table(item_id: str, item: TruthTableItem, extraction: Extraction) -> ItemResult:
    """A network with its weights set, on every row of its truth table."""
    inputs = len(item.rows[0].inputs)
    checked = check_structure(item, extraction, input_shapes=((inputs,),), outputs=1)
    checks = list(checked.checks)
    if checked.passed and checked.model is not None and checked.model.weights is not None:
        try:
            network = build_model(checked.model)
            load_weights(network, checked.model.weights)
        except ModelError as error:
            checks.append(
                CheckResult(
                    id="weights",
                    title="The weights can be used",
                    outcome=Outcome.FAILED,
                    observed=str(error),
                    next_step=error.next_step,
                )
            )
        else:
            table = torch.tensor([row.inputs for row in item.rows], dtype=torch.float32)
            with torch.inference_mode():
                outputs = network.eval()(table).squeeze(1).tolist()
            checks.append(_check_rows(item, outputs, extraction.location))
    return _with_model(conclude(item_id, item, checks), checked)


def _check_rows(item: TruthTableItem, outputs: list[float], location: str) -> CheckResult:
    met = [
        _row_is_met(row, output, item.tolerance)
        for row, output in zip(item.rows, outputs, strict=True)
    ]
    lines = [
        f"{_name_inputs(row):>12}  {_name_demand(row):>10}  {output:>12.6g}  "
        f"{'as wanted' if good else 'WRONG'}"
        for row, output, good in zip(item.rows, outputs, met, strict=True)
    ]
    header = f"{'input':>12}  {'wanted':>10}  {'output':>12}"
    wrong = [
        f"{_name_inputs(row)} gives {output:.6g}, wanted {_name_demand(row)}"
        for row, output, good in zip(item.rows, outputs, met, strict=True)
        if not good
    ]
    return CheckResult(
        id="truth-table",
        title=item.title,
        outcome=Outcome.FAILED if wrong else Outcome.PASSED,
        observed="; ".join(wrong) if wrong else "every row is as wanted",
        expected=", ".join(f"{_name_inputs(row)}: {_name_demand(row)}" for row in item.rows),
        next_step="work out by hand what each Linear gives for the wrong rows, before and after "
        "ReLU, and set its weight and bias"
        if wrong
        else "",
        location=location,
        details="\n".join([header, *lines]),
    )


def _row_is_met(row: TruthTableRow, output: float, tolerance: float) -> bool:
    if row.equals is not None:
        return abs(output - row.equals) <= tolerance
    return row.at_least is not None and output >= row.at_least - tolerance


def _name_inputs(row: TruthTableRow) -> str:
    return "(" + ", ".join(f"{value:g}" for value in row.inputs) + ")"


def _name_demand(row: TruthTableRow) -> str:
    return f"= {row.equals:g}" if row.equals is not None else f">= {row.at_least:g}"


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
        _with_model(result, checked),
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
    return _with_model(conclude(item_id, item, [*checked.checks, skipped]), checked)


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


def _with_model(result: ItemResult, checked: CheckedModel) -> ItemResult:
    rows = checked.architecture
    return replace(
        result,
        hints=checked.hints,
        notes=checked.notes,
        architecture=rows,
        parameters=sum(row.parameters for row in rows) if rows else None,
        hidden_units=sum(row.hidden_units for row in rows) if rows else None,
    )


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
