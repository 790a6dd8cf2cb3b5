"""From what was handed in to outcomes and points: one function for each kind of item.

Items that are trained are scored in `grader.grading.items.model`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from grader.assignment.records import (
    ANSWER_MARKER,
    AnswerItem,
    Item,
    TruthTableItem,
    TruthTableRow,
    VersionsItem,
    WrittenItem,
)
from grader.errors import GraderError, ModelError, SubmissionError
from grader.grading.items.comparison import compare, format_value
from grader.grading.items.hints import hints_from_notes
from grader.grading.items.model_checks import (
    CheckedModel,
    check_answered,
    check_structure,
    describe_failure,
)
from grader.grading.items.versions import check_versions
from grader.models.build import build_model, load_weights
from grader.questions import Extraction, Failure
from grader.results import (
    CheckResult,
    ItemResult,
    Outcome,
    Score,
    worst,
)


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
    return _end_with(check, item_id, item, checked)


def reject_training(
    item_id: str, item: Item, error: SubmissionError, checked: CheckedModel | None
) -> ItemResult:
    """An item whose model passed the checks and cannot be trained all the same."""
    check = CheckResult(
        id="trained",
        title="The model can be trained",
        outcome=Outcome.FAILED,
        observed=str(error),
        next_step=error.next_step or "run a training step on your own machine, and mend what fails",
    )
    return _end_with(check, item_id, item, checked)


def _end_with(
    check: CheckResult, item_id: str, item: Item, checked: CheckedModel | None
) -> ItemResult:
    """The item after the checks that its model went through, and a last one."""
    result = conclude(item_id, item, [*(checked.checks if checked else ()), check])
    return attach_model(result, checked) if checked else result


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
    return attach_model(conclude(item_id, item, checks), checked)


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


def attach_model(result: ItemResult, checked: CheckedModel) -> ItemResult:
    """The result with the model's architecture, hints and notes."""
    rows = checked.architecture
    return replace(
        result,
        hints=checked.hints,
        notes=checked.notes,
        architecture=rows,
        parameters=sum(row.parameters for row in rows) if rows else None,
        hidden_units=sum(row.hidden_units for row in rows) if rows else None,
    )
