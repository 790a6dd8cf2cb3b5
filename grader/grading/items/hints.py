"""Hints, which never cost points: certain flaws of a model, a recipe or a file.

Only patterns with a certain effect get a hint; taste is left to the student.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise

from grader.assignment.constraints import (
    ACTIVATIONS,
    SOFTMAXES,
    find_output_activation,
    name_layer,
)
from grader.models.questions import ImportNote
from grader.models.spec import ArgumentValue, LayerSpec, ModelSpec, OptimizerSpec, SchedulerSpec
from grader.results import Hint
from grader.training.job import Normalization
from grader.training.objectives import LossName

_IndexedLayer = tuple[int, LayerSpec]

_DROPOUTS = ("Dropout", "Dropout1d", "Dropout2d")
_BATCH_NORMS = ("BatchNorm1d", "BatchNorm2d")
_LINEAR_IN_EVALUATION = (*_DROPOUTS, "Flatten", "Identity")
"""Layers that pass on their input once training is over."""

_KEEPS_TWO_DIMENSIONS = (
    *ACTIVATIONS,
    *SOFTMAXES,
    *_DROPOUTS,
    "BatchNorm1d",
    "LayerNorm",
    "Linear",
    "Identity",
)
"""Layers that take (N, C) to (N, D)."""

_ADAPTIVE_OPTIMIZERS = ("Adam", "AdamW", "NAdam", "RAdam", "Adamax", "RMSprop")
"""Optimisers that divide by the gradient's size, so that a step is about the learning rate."""

_COUPLED_DECAY = ("Adam", "NAdam", "RAdam", "Adamax")
_HIGH_ADAPTIVE_RATE = 0.1
_USUAL_RATES = {"SGD": 0.01, "Adagrad": 0.01, "Adadelta": 1.0}
"""Usual learning rates; 0.001 for all others."""
_FAR_OFF = 1000.0
"""A learning rate this many times the usual one, or a share of it this small, is a mistake."""
_SMALL_STD = 0.001
_LOW_GAMMA = 0.01
_HIGH_COUPLED_DECAY = 0.01
"""AdamW's default for its decoupled decay; as an L2 penalty this value is strong."""


_CERTAIN = (
    "normalization-of-bytes",
    "normalization-extreme",
    "learning-rate-zero",
    "learning-rate-high",
    "learning-rate-low",
    "scheduler-to-zero",
    "dropout-of-everything",
    "softmax-before-cross-entropy",
    "activation-before-cross-entropy",
    "softmax-over-batch",
    "no-activation",
)
"""The hints that surely explain a poor accuracy, the one to follow first at the front."""


def find_hints(
    model: ModelSpec,
    location: str,
    *,
    loss: LossName | None = "CrossEntropyLoss",
    refused: Sequence[str] = (),
) -> tuple[Hint, ...]:
    """Return hints on a model.

    Args:
        model: its layers.
        location: of the student's function.
        loss: with which the model is trained, or None if it is not.
        refused: kinds of layers that must go, so that no hint says how to use them better.
    """
    layers = list(enumerate(model.layers))
    kept = [entry for entry in layers if entry[1].kind not in refused]
    hints = [*_find_stacked_linear(layers), *_find_idle_flatten(layers)]
    if loss is not None:
        hints = [
            *_find_odd_output(model, loss),
            *_find_softmax_over_batch(model),
            *hints,
            *_find_odd_dropout(kept),
            *_find_odd_batch_norm(kept),
        ]
    return tuple(replace(hint, location=location) for hint in hints)


_DIVERGES = ("normalization-of-bytes", "normalization-extreme", "learning-rate-high")


def surest_advice(hints: Sequence[Hint], *, diverged: bool) -> str:
    """Return the advice of the hint that most surely explains a poor accuracy, or ""."""
    found = {hint.id: hint.message for hint in reversed(hints)}
    causes = _DIVERGES if diverged else _CERTAIN
    return next((found[hint_id] for hint_id in causes if hint_id in found), "")


def hints_for_recipe(
    optimizer: OptimizerSpec,
    scheduler: SchedulerSpec | None,
    epochs: int,
    location: str,
    normalization: Normalization | None = None,
) -> tuple[Hint, ...]:
    """Return hints on the training of a model."""
    hints = list(_find_odd_settings(optimizer))
    if scheduler is not None:
        hints += _find_odd_scheduler(scheduler, epochs)
    if normalization is not None:
        hints += _find_odd_normalization(normalization)
    return tuple(replace(hint, location=location) for hint in hints)


def hint_on_percentage(function: str, value: float, location: str) -> Hint:
    """Return the hint on an accuracy that a student reports as a percentage."""
    return Hint(
        id="reported-percentage",
        message=f"{value:g} is not a share: write {value / 100:.6g} in {function}",
        reason=f"Accuracies are shares from 0 to 1. {value:g} was taken as {value:g} %.",
        location=location,
    )


def hints_from_notes(notes: tuple[ImportNote, ...]) -> tuple[Hint, ...]:
    """Return hints on things that a file does when it is imported."""
    return tuple(
        Hint(
            id=f"import-{note.kind}",
            message=f"{note.location.partition(':')[0]} {_ACTIONS[note.kind]}: {note.detail}",
            reason=_SHADOW_REASON if note.kind == "shadow" else _IMPORT_REASON,
            location=note.location,
        )
        for note in notes
    )


_ACTIONS = {
    "training": "trains a model while it is imported",
    "dataset": "loads a data set while it is imported",
    "shadow": "hides a module that has the same name",
}
_IMPORT_REASON = (
    "The grader imports the file for each question, and the import counts against the time limit. "
    'Put such code into a function, or under `if __name__ == "__main__":`.'
)
_SHADOW_REASON = (
    "An import of that module finds this file instead of the module itself. Rename the file."
)


def _find_odd_output(model: ModelSpec, loss: LossName) -> Iterator[Hint]:
    found = find_output_activation(model)
    # Predicted numbers may well have bounds.
    if found is None or loss in {"MSELoss", "L1Loss"}:
        return
    index, last = found
    named = name_layer(index, last)
    if last.kind == "LeakyReLU":
        return  # It limits no score.
    if loss == "BCEWithLogitsLoss":
        yield Hint(
            id="activation-before-cross-entropy",
            message=f"remove {named}: {loss} expects a score",
            reason=f"{loss} applies the sigmoid itself, and {last.kind} limits the score before "
            "it.",
        )
        return
    if last.kind == "LogSoftmax":
        if last.arguments.get("dim") in {None, 1, -1}:
            yield Hint(
                id="log-softmax-before-cross-entropy",
                message=f"remove {named}: cross entropy expects scores",
                reason="Cross entropy applies log-softmax itself; a second one changes nothing.",
            )
        return
    linear = [layer for _, layer in model.linear_layers()]
    classes = linear[-1].arguments.get("out_features") if linear else None
    lowest = _LOWEST_OUTPUTS.get(last.kind)
    floor = ""
    if lowest is not None and isinstance(classes, int) and classes > 1:
        # The best output is 1 for the true class and the lowest for the others.
        least = math.log1p((classes - 1) * math.exp(lowest - 1))
        floor = (
            f" The loss cannot fall below ln(1 + {classes - 1}/e{_POWERS[lowest]}) = {least:.2f}."
        )
    if last.kind == "Softmax":
        yield Hint(
            id="softmax-before-cross-entropy",
            message=f"remove {named}: cross entropy expects scores",
            reason="Cross entropy applies log-softmax itself. Applied to probabilities, which lie "
            f"between 0 and 1, its gradients become small.{floor}",
        )
    else:
        yield Hint(
            id="activation-before-cross-entropy",
            message=f"remove {named}: cross entropy expects scores",
            reason=f"The scores of wrong classes must be able to fall, and {last.kind} limits how "
            f"far.{floor}",
        )


_LOWEST_OUTPUTS = {"Softmax": 0, "Sigmoid": 0, "Tanh": -1}
"""The lowest outputs of activations whose highest output is 1."""
_POWERS = {0: "", -1: "²"}


def _find_softmax_over_batch(model: ModelSpec) -> Iterator[Hint]:
    output = find_output_activation(model)
    for index, layer in enumerate(model.layers):
        if layer.kind in SOFTMAXES and layer.arguments.get("dim") == 0:
            named = name_layer(index, layer)
            advice = f"use dim=1 in {named}, not dim=0"
            if (index, layer) == output:
                advice = f"remove {named}: cross entropy expects scores"
            yield Hint(
                id="softmax-over-batch",
                message=advice,
                reason="Dimension 0 is the batch, so each example's output depends on the other "
                "examples that happen to be in its batch.",
            )


def _find_stacked_linear(layers: list[_IndexedLayer]) -> Iterator[Hint]:
    previous: _IndexedLayer | None = None
    has_activation = any(layer.kind in ACTIVATIONS for _, layer in layers)
    for index, layer in layers:
        if layer.kind == "Linear":
            if previous is not None:
                yield Hint(
                    id="linear-after-linear" if has_activation else "no-activation",
                    message=f"put an activation between {name_layer(*previous)} and "
                    f"{name_layer(index, layer)}",
                    reason="A linear map of a linear map is one linear map, so the two can compute "
                    "nothing that one Linear could not.",
                )
            previous = (index, layer)
        elif layer.kind not in _LINEAR_IN_EVALUATION:
            previous = None


def _find_odd_dropout(layers: list[_IndexedLayer]) -> Iterator[Hint]:
    last_linear = max((index for index, layer in layers if layer.kind == "Linear"), default=None)
    for index, layer in layers:
        if layer.kind not in _DROPOUTS:
            continue
        named = name_layer(index, layer)
        probability = layer.arguments.get("p")
        if probability == 1:
            yield Hint(
                id="dropout-of-everything",
                message=f"lower p of {named}: at p = 1 everything is set to 0 while training",
                reason="p is the share that is dropped, not the share that is kept. No gradient "
                "passes this layer, so the layers before it never learn.",
            )
        elif probability == 0:
            yield Hint(
                id="dropout-of-nothing",
                message=f"{named} has p = 0, which has no effect",
                reason="p is the share that is dropped.",
            )
        elif last_linear is not None and index > last_linear:
            yield Hint(
                id="dropout-of-outputs",
                message=f"{named} comes after the last Linear: move it before that layer",
                reason="While training, it sets scores of random classes to 0, even of the true "
                "class.",
            )


def _find_odd_batch_norm(layers: list[_IndexedLayer]) -> Iterator[Hint]:
    working = [(index, layer) for index, layer in layers if layer.kind != "Identity"]
    for before, (index, layer) in pairwise(working):
        if layer.kind not in _BATCH_NORMS:
            continue
        named = name_layer(index, layer)
        if before[1].kind in ACTIVATIONS:
            yield Hint(
                id="batch-norm-after-activation",
                message=f"{named} comes after {name_layer(*before)}: the reverse order is usual",
                reason="Batch normalisation was proposed for the inputs of the activation (Ioffe "
                "and Szegedy, 2015). Both orders work, so try both.",
            )
        elif before[1].kind in {"Linear", "Conv1d", "Conv2d"} and before[1].arguments.get("bias"):
            yield Hint(
                id="bias-before-batch-norm",
                message=f"the bias of {name_layer(*before)} has no effect before {named}: "
                "bias=False saves its parameters",
                reason="Batch normalisation subtracts each channel's mean, and the bias with it.",
            )


def _find_idle_flatten(layers: list[_IndexedLayer]) -> Iterator[Hint]:
    flat = False
    for index, layer in layers:
        if layer.kind == "Flatten":
            dimensions = layer.arguments.get("start_dim"), layer.arguments.get("end_dim")
            if flat and dimensions == (1, -1):
                yield Hint(
                    id="flatten-of-flat",
                    message=f"{name_layer(index, layer)} changes nothing and can be removed",
                    reason="An earlier Flatten already gives one vector for each example.",
                )
            flat = flat or dimensions == (1, -1)
        elif layer.kind not in _KEEPS_TWO_DIMENSIONS:
            flat = False


def _find_odd_settings(optimizer: OptimizerSpec) -> Iterator[Hint]:
    for group in optimizer.groups:
        whose = f" for {', '.join(group.parameters)}" if len(optimizer.groups) > 1 else ""
        rate = _number(group.settings.get("lr"))
        decay = _number(group.settings.get("weight_decay"))
        decoupled = group.settings.get("decoupled_weight_decay") is True
        if rate == 0:
            yield Hint(
                id="learning-rate-zero",
                message=f"raise the learning rate of {optimizer.kind} from 0{whose}",
                reason="A step is a multiple of the learning rate, so at 0 no parameter changes.",
            )
        yield from _find_odd_rate(optimizer.kind, rate, whose)
        if optimizer.kind in _COUPLED_DECAY and decay >= _HIGH_COUPLED_DECAY and not decoupled:
            yield Hint(
                id="weight-decay-in-adam",
                message=f"{optimizer.kind} has weight_decay={decay:g}{whose}, which is a strong "
                "penalty here: try 0.0001, or AdamW",
                reason=f"{optimizer.kind} adds the decay to the gradient and rescales both, so "
                "small gradients enlarge the decay; AdamW separates the two (Loshchilov and "
                "Hutter, 2019).",
            )


def _find_odd_rate(kind: str, rate: float, whose: str) -> Iterator[Hint]:
    usual = _USUAL_RATES.get(kind, 0.001)
    adaptive = kind in _ADAPTIVE_OPTIMIZERS
    too_high = rate > _HIGH_ADAPTIVE_RATE if adaptive else rate >= usual * _FAR_OFF
    if not too_high and not 0 < rate <= usual / _FAR_OFF:
        return
    verb, adjective = ("lower", "high") if too_high else ("raise", "low")
    reason = "A step of gradient descent is the learning rate times the gradient."
    if adaptive:
        reason = (
            f"Each step of {kind} changes a parameter by about the learning rate, regardless of "
            "the gradient's size, and initial weights are well below 1."
        )
    yield Hint(
        id=f"learning-rate-{adjective}",
        message=f"{verb} the learning rate of {kind} from {rate:g}{whose}: {usual:g} is usual",
        reason=reason,
    )


def _find_odd_scheduler(scheduler: SchedulerSpec, epochs: int) -> Iterator[Hint]:
    first_change = {
        "StepLR": scheduler.arguments.get("step_size"),
        "MultiStepLR": _smallest(scheduler.arguments.get("milestones")),
    }.get(scheduler.kind)
    if isinstance(first_change, int) and first_change >= epochs:
        yield Hint(
            id="scheduler-idle",
            message=f"{scheduler.kind} first changes the learning rate after {first_change} "
            f"epochs, but the training has {epochs}",
            reason="The grader steps a scheduler once at the end of each epoch.",
        )
    gamma = _number(scheduler.arguments.get("gamma"))
    if scheduler.kind == "ExponentialLR" and gamma <= _LOW_GAMMA:
        yield Hint(
            id="scheduler-to-zero",
            message=f"raise gamma of ExponentialLR from {gamma:g}: 0.9 is usual",
            reason="The learning rate is multiplied by gamma after each epoch, so hardly anything "
            "is learned after the first one.",
        )
    period = _number(scheduler.arguments.get("T_max"))
    if scheduler.kind == "CosineAnnealingLR" and 0 < period < epochs - 1:
        yield Hint(
            id="scheduler-restarts",
            message=f"CosineAnnealingLR reaches its minimum after T_max = {period:g} of {epochs} "
            "epochs and rises again",
            reason="The grader steps a scheduler once at the end of each epoch, so the number of "
            "epochs is the usual T_max.",
        )


def _find_odd_normalization(normalization: Normalization) -> Iterator[Hint]:
    largest = max(*normalization.mean, *normalization.std)
    if largest > 1:
        yield Hint(
            id="normalization-of-bytes",
            message=f"the normalisation uses {largest:g}, but pixels are from 0 to 1: divide mean "
            "and std by 255",
            reason="The grader divides pixels by 255 first, as torchvision's ToTensor does.",
        )
    elif min(normalization.std) < _SMALL_STD:
        yield Hint(
            id="normalization-extreme",
            message=f"raise std from {min(normalization.std):g}: pixels become thousands",
            reason="A pixel is divided by std, and networks learn well from inputs of about 1.",
        )


def _smallest(value: ArgumentValue) -> ArgumentValue:
    return min(value, default=None) if isinstance(value, tuple) else value


def _number(value: ArgumentValue) -> float:
    """Return float(value), or NaN if it is not a number; comparisons with NaN are False."""
    return value if isinstance(value, int | float) and not isinstance(value, bool) else math.nan
