"""Models, optimisers and schedulers as plain data that leaves the sandbox.

Parameters are counted here by arithmetic, before a tensor exists; `grader.models.build` makes
live PyTorch objects. This module does not import torch, which loads while the sandbox works.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated

import msgspec

from grader.errors import ModelError
from grader.models.kinds import DEFAULT_LEARNING_RATE, Argument, Kind

ArgumentValue = bool | int | float | str | tuple[int | float, ...] | None
"""The value of one constructor argument. JSON lists arrive as tuples."""

Arguments = Mapping[str, ArgumentValue]

# The bounds on the sandbox's messages are on the records' own fields.
ShortText = Annotated[str, msgspec.Meta(max_length=1000)]
LongText = Annotated[str, msgspec.Meta(max_length=20_000)]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
FewArguments = Annotated[dict[Name, ArgumentValue], msgspec.Meta(max_length=20)]


class Record(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A record that the sandbox sends. An unknown field is refused."""


class LayerSpec(Record, frozen=True):
    """One layer of a flattened `nn.Sequential`.

    Attributes:
        kind: the class's name in `torch.nn`; of an irregular layer, its class's own name.
        path: the layer's name in the student's model: "3", or "features.0" inside a nested one.
        arguments: constructor arguments by name; empty for a layer of an unknown class.
        irregularity: a code of `kinds.IRREGULARITIES`, or None for an ordinary layer.
        irregularity_detail: which hook, attribute or parameter; a short text from the sandbox.
    """

    kind: Name
    path: Name
    arguments: FewArguments = {}
    irregularity: Name | None = None
    irregularity_detail: ShortText = ""

    def integer(self, name: str) -> int:
        """Return the integer argument `name`.

        Raises:
            ModelError: the argument is not an integer.
        """
        value = self.arguments.get(name)
        if not isinstance(value, int) or isinstance(value, bool):
            raise ModelError(f"{self.kind} needs an integer {name}, got {value!r}")
        return value

    def describe(self) -> str:
        """Return the layer as PyTorch prints it, with the arguments that identify it."""
        shown = ", ".join(
            f"{name}={_shown(value)}"
            for name, value in self.arguments.items()
            if name in _SHOWN_ARGUMENTS.get(self.kind, ())
        )
        return f"{self.kind}({shown})"


_SHOWN_ARGUMENTS: dict[str, tuple[str, ...]] = {
    "Linear": ("in_features", "out_features"),
    "Conv1d": ("in_channels", "out_channels", "kernel_size", "stride", "padding"),
    "Conv2d": ("in_channels", "out_channels", "kernel_size", "stride", "padding"),
    "MaxPool1d": ("kernel_size", "stride"),
    "MaxPool2d": ("kernel_size", "stride"),
    "AvgPool1d": ("kernel_size", "stride"),
    "AvgPool2d": ("kernel_size", "stride"),
    "AdaptiveAvgPool1d": ("output_size",),
    "AdaptiveAvgPool2d": ("output_size",),
    "AdaptiveMaxPool1d": ("output_size",),
    "AdaptiveMaxPool2d": ("output_size",),
    "ConvTranspose2d": ("in_channels", "out_channels", "kernel_size", "stride", "padding"),
    "ZeroPad2d": ("padding",),
    "InstanceNorm1d": ("num_features",),
    "InstanceNorm2d": ("num_features",),
    "GroupNorm": ("num_groups", "num_channels"),
    "RMSNorm": ("normalized_shape",),
    "LocalResponseNorm": ("size",),
    "AlphaDropout": ("p",),
    "PReLU": ("num_parameters",),
    "Unflatten": ("dim", "unflattened_size"),
    "BatchNorm1d": ("num_features",),
    "BatchNorm2d": ("num_features",),
    "LayerNorm": ("normalized_shape",),
    "Dropout": ("p",),
    "Dropout1d": ("p",),
    "Dropout2d": ("p",),
    "LeakyReLU": ("negative_slope",),
    "Softmax": ("dim",),
    "LogSoftmax": ("dim",),
}


def _shown(value: ArgumentValue) -> str:
    """Return a value for a person to read: (3, 3) becomes 3."""
    if isinstance(value, tuple):
        return str(value[0]) if len(set(value)) == 1 else f"({', '.join(map(str, value))})"
    return repr(value) if isinstance(value, str) else str(value)


@dataclass(frozen=True, kw_only=True)
class ModelSpec:
    """A flattened `nn.Sequential`, layer after layer.

    Attributes:
        layers: in the order of the forward pass.
        weights: a safetensors file of float32 tensors by name ("0.weight"), only where the
            question asked for set weights.
    """

    layers: tuple[LayerSpec, ...]
    weights: bytes | None = None

    def count_parameters(self) -> int:
        """Return the sum of `numel()` over all parameters, by arithmetic.

        Raises:
            ModelError: a layer's arguments do not say how many it has.
        """
        return sum(count_layer_parameters(layer) for layer in self.layers)

    def linear_layers(self) -> list[tuple[int, LayerSpec]]:
        """Return the Linear layers with their indices."""
        return [(index, layer) for index, layer in enumerate(self.layers) if layer.kind == "Linear"]

    def with_dropout(self, probability: float) -> ModelSpec:
        """Return the model with every Dropout set to `probability`."""
        return replace(
            self,
            layers=tuple(
                msgspec.structs.replace(layer, arguments={**layer.arguments, "p": probability})
                if layer.kind == "Dropout"
                else layer
                for layer in self.layers
            ),
        )


CHANNEL_NORMS = frozenset({"BatchNorm1d", "BatchNorm2d", "InstanceNorm1d", "InstanceNorm2d"})
"""Norms with a scale, a shift and running statistics for each channel."""


def count_layer_parameters(layer: LayerSpec) -> int:
    """Return the number of trainable values in one layer, by arithmetic.

    Raises:
        ModelError: its arguments do not say how many.
    """
    arguments = layer.arguments
    if layer.kind == "Linear":
        outputs = layer.integer("out_features")
        return outputs * (layer.integer("in_features") + bool(arguments.get("bias")))
    if layer.kind in {"Conv1d", "Conv2d"}:
        kernel = as_integers(arguments.get("kernel_size"), 1 if layer.kind == "Conv1d" else 2)
        inputs_per_group = layer.integer("in_channels") // layer.integer("groups")
        per_output = inputs_per_group * math.prod(kernel) + bool(arguments.get("bias"))
        return layer.integer("out_channels") * per_output
    if layer.kind == "ConvTranspose2d":
        kernel = as_integers(arguments.get("kernel_size"), 2)
        outputs_per_group = layer.integer("out_channels") // layer.integer("groups")
        weights = layer.integer("in_channels") * outputs_per_group * math.prod(kernel)
        return weights + bool(arguments.get("bias")) * layer.integer("out_channels")
    if layer.kind in CHANNEL_NORMS or layer.kind == "GroupNorm":
        per_feature = 1 + bool(arguments.get("bias")) if arguments.get("affine") else 0
        features = "num_channels" if layer.kind == "GroupNorm" else "num_features"
        return per_feature * layer.integer(features)
    if layer.kind in {"LayerNorm", "RMSNorm"} and arguments.get("elementwise_affine"):
        per_value = 1 + bool(arguments.get("bias"))
        return per_value * math.prod(as_integers(arguments.get("normalized_shape"), 1))
    return layer.integer("num_parameters") if layer.kind == "PReLU" else 0


def as_integers(value: ArgumentValue, length: int) -> tuple[int, ...]:
    """Return `value` as a tuple of integers; one integer stands for `length` equal ones.

    Raises:
        ModelError: `value` is neither an integer nor a tuple of integers.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        return (value,) * length
    if isinstance(value, tuple) and all(type(item) is int for item in value):
        return tuple(int(item) for item in value)
    raise ModelError(f"expected an integer or a tuple of integers, got {value!r}")


class ParameterGroup(Record, frozen=True):
    """One parameter group of an optimiser.

    Attributes:
        parameters: names in the flattened model: "0.weight", "3.bias".
        settings: the group's own settings: lr, weight_decay and so on.
    """

    parameters: tuple[Name, ...]
    settings: FewArguments


class OptimizerSpec(Record, frozen=True):
    """An optimiser of `torch.optim`: the class's name and every parameter group."""

    kind: Name
    groups: Annotated[tuple[ParameterGroup, ...], msgspec.Meta(min_length=1, max_length=500)]


class SchedulerSpec(Record, frozen=True):
    """A scheduler of `torch.optim.lr_scheduler`, stepped once at the end of each epoch."""

    kind: Name
    arguments: FewArguments


def default_optimizer(model: ModelSpec) -> OptimizerSpec:
    """Return Adam at its default learning rate, for a student who declares no optimiser."""
    return OptimizerSpec(
        kind="Adam",
        groups=(
            ParameterGroup(
                parameters=tuple(parameter_names(model)),
                settings={
                    "lr": DEFAULT_LEARNING_RATE,
                    "betas": (0.9, 0.999),
                    "eps": 1e-8,
                    "weight_decay": 0.0,
                    "amsgrad": False,
                    "maximize": False,
                },
            ),
        ),
    )


def parameter_names(model: ModelSpec) -> list[str]:
    """Return the names of the flattened model's parameters, in PyTorch's order."""
    names = []
    for index, layer in enumerate(model.layers):
        arguments = layer.arguments
        if (
            layer.kind in {"Linear", "Conv1d", "Conv2d", "ConvTranspose2d", "PReLU"}
            or arguments.get("affine")
            or arguments.get("elementwise_affine")
        ):
            names.append(f"{index}.weight")
            if arguments.get("bias"):
                names.append(f"{index}.bias")
    return names


def require_known(
    kinds: Mapping[str, Kind], name: str, arguments: Arguments, *, layer_index: int | None = None
) -> str:
    """Return `name`, a class that may be looked up in torch.

    Raises:
        ModelError: `kinds` does not hold the name, or `arguments` break its rules.
    """
    kind = kinds.get(name)
    if kind is None:
        raise ModelError(
            f"{name} is not one that the grader knows",
            layer_index=layer_index,
            next_step=f"Use one of {', '.join(kinds)}.",
        )
    if mistakes := find_argument_mistakes(kind, arguments):
        next_step = "Correct the arguments."
        raise ModelError("; ".join(mistakes), layer_index=layer_index, next_step=next_step)
    return name


def find_argument_mistakes(kind: Kind, arguments: Arguments) -> list[str]:
    """Return one sentence for each way in which `arguments` break the rules of `kind`."""
    known = {argument.name for argument in kind.arguments}
    mistakes = [f"{kind.name} has no argument {name!r}" for name in arguments if name not in known]
    for argument in kind.arguments:
        if argument.name not in arguments:
            mistakes.append(f"{kind.name} lacks its argument {argument.name}")
        elif not _accepts(argument, arguments[argument.name]):
            value = arguments[argument.name]
            # JSON has neither NaN nor infinity, so the worker sends them as text.
            shown = value if value in {"nan", "inf", "-inf"} else repr(value)
            mistakes.append(f"{kind.name}: {argument.name} is {shown}, {_rule(argument)}")
    return mistakes


def _accepts(argument: Argument, value: ArgumentValue) -> bool:
    if value is None:
        return argument.optional
    if argument.type == "boolean":
        return isinstance(value, bool)
    if isinstance(value, str):
        return value in argument.choices
    if argument.type in {"integers", "numbers"} and isinstance(value, tuple):
        exact = argument.type == "numbers"
        fits = len(value) == argument.length if exact else 0 < len(value) <= argument.length
        return fits and all(_in_range(argument, item) for item in value)
    if argument.type in {"numbers", "choice"}:
        return False
    return not isinstance(value, tuple) and _in_range(argument, value)


def _in_range(argument: Argument, value: float) -> bool:
    if isinstance(value, bool):
        return False
    if argument.type in {"integer", "integers"} and not isinstance(value, int):
        return False
    # An integer can be too large for the float that isfinite() makes of it.
    is_finite = isinstance(value, int) or math.isfinite(value)
    return is_finite and argument.minimum <= value <= argument.maximum


def _rule(argument: Argument) -> str:
    if argument.type == "boolean":
        return "but it must be True or False"
    if argument.type == "choice":
        return f"but it must be one of {', '.join(argument.choices)}"
    noun = {"integer": "an integer", "integers": "an integer or integers", "number": "a number"}
    kind = noun.get(argument.type, f"{argument.length} numbers")
    return f"but it must be {kind} from {argument.minimum:g} to {argument.maximum:g}"
