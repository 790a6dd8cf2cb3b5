"""Checks of a model's layers: the assignment's constraints, input and output.

Every check that can run does run, so that a student sees all faults at once.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import msgspec
from torch import nn

from grader.assignment.constraints import AllowedLayers, Constraint, check_ordinary_layers
from grader.assignment.own_rules import check_rule
from grader.assignment.records import ModelItem, TrainedModelItem, TruthTableItem
from grader.errors import ModelError
from grader.grading.items.calls import check_answered
from grader.grading.items.hints import find_hints, hints_from_notes
from grader.grading.points import conclude, skipped
from grader.models.build import build_model, load_weights
from grader.models.questions import ExtractedModel, Extraction
from grader.models.shapes import find_shapes
from grader.models.spec import LayerSpec, ModelSpec, count_layer_parameters
from grader.results import CheckResult, ItemResult, LayerRow, Outcome

Shape = tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Structure:
    """A model after the checks of its layers.

    Attributes:
        result: of these checks, with the architecture and the hints.
        model: without the harmless irregularities.
        input_shape: the shape of one example that the model takes.
        shapes: each layer's output shape without the batch dimension; empty if the dry run failed.
    """

    result: ItemResult
    extracted: ExtractedModel
    model: ModelSpec
    input_shape: Shape
    shapes: tuple[Shape, ...]


AnyModelItem = ModelItem | TrainedModelItem | TruthTableItem


def check_structure(
    item_id: str,
    item: AnyModelItem,
    extraction: Extraction,
    *,
    input_shapes: tuple[Shape, ...],
    outputs: int,
    harmless: frozenset[str],
) -> Structure | ItemResult:
    """Check the layers, the assignment's constraints, input and output.

    Args:
        item_id: the item's full id.
        item: the item.
        extraction: the sandbox's answer.
        input_shapes: the shapes that one example may be fed in.
        outputs: the number of outputs for one example.
        harmless: irregularities of layers that change nothing for this kind of item.

    Returns:
        The result if the sandbox got no model.
    """
    called = check_answered(extraction)
    hints = hints_from_notes(extraction.notes)
    extracted = extraction.model
    if extracted is None:
        return replace(conclude(item_id, item, called), hints=hints)
    layers = tuple(
        msgspec.structs.replace(layer, irregularity=None, irregularity_detail="")
        if layer.irregularity in harmless
        else layer
        for layer in extracted.model.layers
    )
    model = replace(extracted.model, layers=layers)
    ordinary = check_ordinary_layers(model)
    if ordinary.outcome is Outcome.PASSED:
        fit, input_shape, shapes = _check_fit(model, input_shapes, outputs)
    else:
        reason = "the layers above must be ordinary layers first"
        fit, input_shape, shapes = skipped("fit", "Input and output", reason), input_shapes[0], ()
    rules = (_apply(rule, model, input_shape) for rule in item.constraints)
    checks = (called, ordinary, *rules, fit)
    located = (replace(check, location=extracted.location) for check in checks)
    rows = _tabulate_layers(model, shapes)
    result = replace(
        conclude(item_id, item, *located),
        hints=(
            *find_hints(
                model,
                extracted.location,
                loss=item.loss if isinstance(item, ModelItem) else None,
                refused=_refused_kinds(item, model),
            ),
            *hints,
        ),
        architecture=rows,
        parameters=sum(row.parameters for row in rows) if rows else None,
        hidden_units=sum(row.hidden_units for row in rows) if rows else None,
    )
    return Structure(
        result=result, extracted=extracted, model=model, input_shape=input_shape, shapes=shapes
    )


def load_network(model: ModelSpec) -> nn.Sequential | CheckResult:
    """Return a model with its weights, or the failed check if they cannot be used."""
    try:
        network = build_model(model)
        load_weights(network, model.weights or b"")
    except ModelError as error:
        return CheckResult.judged(
            "weights",
            "The weights can be used",
            passed=False,
            observed=str(error),
            next_step=error.next_step,
        )
    return network


def _refused_kinds(item: AnyModelItem, model: ModelSpec) -> list[str]:
    return [
        kind
        for constraint in item.constraints
        if isinstance(constraint, AllowedLayers)
        for kind in constraint.refused_kinds(model)
    ]


def meets_rules(item: ModelItem, layers: tuple[LayerSpec, ...]) -> bool:
    """Return True if layers meet every rule on the structure of an item's model."""
    ordinary = tuple(
        msgspec.structs.replace(layer, irregularity=None, irregularity_detail="")
        if layer.irregularity == "evaluation"
        else layer
        for layer in layers
    )
    model = ModelSpec(layers=ordinary)
    shapes, facts = item.accepted_shapes(), item.facts
    return (
        bool(layers)
        and all(
            check.outcome is Outcome.PASSED
            for check in (
                check_ordinary_layers(model),
                *(_apply(rule, model, shapes[0] if shapes else ()) for rule in item.constraints),
            )
        )
        and (
            facts is None
            or _check_fit(model, shapes, item.count_outputs(facts))[0].outcome is Outcome.PASSED
        )
    )


def _apply(constraint: Constraint, model: ModelSpec, input_shape: Shape) -> CheckResult:
    try:
        return check_rule(constraint, model, input_shape)
    except ModelError as error:
        # An irregular layer may lack the arguments that a constraint counts by.
        return skipped("constraint", type(constraint).__name__, str(error))


def _check_fit(
    model: ModelSpec, input_shapes: tuple[Shape, ...], outputs: int
) -> tuple[CheckResult, Shape, tuple[Shape, ...]]:
    """Feed examples of each allowed shape through the model, until a shape can be traced."""
    allowed = " or ".join(str(shape) for shape in input_shapes)
    fits, input_shape = False, input_shapes[0]
    shapes: tuple[Shape, ...] = ()
    observed, next_step, furthest = "", "", -1
    for shape in input_shapes:
        try:
            traced = find_shapes(model, shape)
        except ModelError as error:
            # The shape that gets furthest explains the failure best.
            if (error.layer_index or 0) > furthest:
                furthest = error.layer_index or 0
                observed, next_step = str(error), error.next_step
            continue
        output = traced[-1] if traced else shape
        observed = f"takes {shape} and gives {output}"
        last = "end the model in a Linear layer" if len(output) == 1 else "flatten before the last"
        next_step = f"{last} so that each example gives {outputs} numbers"
        if output == (outputs,):
            fits, input_shape, shapes = True, shape, traced
        break
    check = CheckResult.judged(
        "fit",
        "Input and output",
        passed=fits,
        observed=observed,
        expected=f"takes one example of shape {allowed} and gives {outputs} numbers",
        next_step=next_step,
    )
    return check, input_shape, shapes


def _tabulate_layers(model: ModelSpec, shapes: tuple[Shape, ...]) -> tuple[LayerRow, ...]:
    """Return the architecture as a table; every Linear but the last has hidden units."""
    linear = [index for index, _ in model.linear_layers()]
    rows = []
    for index, layer in enumerate(model.layers):
        hidden = index in linear[:-1] and layer.irregularity != "unknown"
        rows.append(
            LayerRow(
                index=index,
                path=layer.path,
                description=layer.describe(),
                output_shape=shapes[index] if shapes else (),
                parameters=count_layer_parameters(layer) if layer.arguments else 0,
                hidden_units=layer.integer("out_features") if hidden and layer.arguments else 0,
            )
        )
    return tuple(rows)
