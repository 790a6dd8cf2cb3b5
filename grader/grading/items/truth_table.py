"""Truth tables: a small network with its weights set, evaluated on every row."""

from __future__ import annotations

import torch

from grader.assignment.records import TruthTableItem, TruthTableRow
from grader.grading.items.interface import Context
from grader.grading.items.structure import check_structure, load_network
from grader.grading.points import add_checks
from grader.results import CheckResult, ItemResult, Outcome


def check(item_id: str, item: TruthTableItem, context: Context) -> ItemResult:
    """Fail if the network's output is wrong on any row."""
    extraction = context.extractions[item_id]
    structure = check_structure(
        item_id,
        item,
        extraction,
        input_shapes=((len(item.rows[0].inputs),),),
        outputs=1,
        # Nothing is trained here, so frozen weights change nothing.
        harmless=frozenset({"evaluation", "frozen"}),
    )
    if isinstance(structure, ItemResult):
        return structure
    if structure.result.outcome is not Outcome.PASSED:
        return structure.result
    network = load_network(structure.model)
    if isinstance(network, CheckResult):
        return add_checks(structure.result, network)
    table = torch.tensor([row.inputs for row in item.rows], dtype=torch.float32)
    with torch.inference_mode():
        outputs = network.eval()(table).squeeze(1).tolist()
    return add_checks(structure.result, _check_rows(item, outputs, extraction.location))


def _check_rows(item: TruthTableItem, outputs: list[float], location: str) -> CheckResult:
    lines = [f"{'input':>12}  {'expected':>10}  {'output':>12}"]
    wrong = []
    for row, output in zip(item.rows, outputs, strict=True):
        inputs, expected = _name_inputs(row), _name_expected(row)
        right = _is_right(row, output, item.tolerance)
        verdict = "as expected" if right else "WRONG"
        lines.append(f"{inputs:>12}  {expected:>10}  {output:>12.6g}  {verdict}")
        if not right:
            wrong.append(f"{inputs} gives {output:.6g}, expected {expected}")
    return CheckResult.judged(
        "truth-table",
        item.title,
        passed=not wrong,
        observed="; ".join(wrong) or "every row is as expected",
        expected=", ".join(f"{_name_inputs(row)}: {_name_expected(row)}" for row in item.rows),
        next_step="work out by hand what each Linear gives for the wrong rows, before and after "
        "ReLU, and set its weight and bias",
        location=location,
        details="\n".join(lines),
    )


def _is_right(row: TruthTableRow, output: float, tolerance: float) -> bool:
    if row.equals is not None:
        return abs(output - row.equals) <= tolerance
    return row.at_least is not None and output >= row.at_least - tolerance


def _name_inputs(row: TruthTableRow) -> str:
    return "(" + ", ".join(f"{value:g}" for value in row.inputs) + ")"


def _name_expected(row: TruthTableRow) -> str:
    return f"= {row.equals:g}" if row.equals is not None else f">= {row.at_least:g}"
