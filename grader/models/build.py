"""Build models from validated specs, and find shapes and costs without training."""

from __future__ import annotations

import math
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import nn

from grader.errors import ModelError, memory_shortage
from grader.models.kinds import IRREGULARITIES, LAYER_KINDS
from grader.models.spec import LayerSpec, ModelSpec, as_integers, require_known

if TYPE_CHECKING:
    from collections.abc import Iterator

MAXIMUM_PARAMETERS = 100_000_000
MAXIMUM_ACTIVATIONS = 2_000_000
"""Of one layer and one image. Evaluation takes 500 images at once, so one layer's outputs take at
most 4 GB. Assignments allow less.
"""

_TRACE_BATCH = 2

_LATE_BIAS = frozenset({"BatchNorm1d", "BatchNorm2d"})
"""Layers whose constructor takes `bias` only in recent versions of PyTorch.

Every version can run one without a bias, so the bias is removed after construction.
"""


@contextmanager
def torch_warnings_ignored() -> Iterator[None]:
    """Run a student's model without PyTorch's warnings, which nobody reads here.

    Softmax without `dim` and an even kernel with padding="same" warn, for example.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def build_model(spec: ModelSpec) -> nn.Sequential:
    """Return the model as an ordinary `nn.Sequential`, freshly initialised by PyTorch.

    No layer is built `inplace`: it could overwrite the data set, or values that another layer's
    gradient needs. Outputs do not change.

    Raises:
        ModelError: layer `layer_index` cannot be rebuilt.
    """
    return nn.Sequential(*(_build_layer(index, layer) for index, layer in enumerate(spec.layers)))


def _build_layer(index: int, layer: LayerSpec) -> nn.Module:
    if layer.irregularity is not None:
        reason = IRREGULARITIES.get(layer.irregularity, "is not an ordinary layer of torch.nn")
        raise ModelError(
            f"layer {layer.path} ({layer.kind}) {reason}",
            layer_index=index,
            next_step="Use the layer of torch.nn as it is.",
        )
    name = require_known(LAYER_KINDS, layer.kind, layer.arguments, layer_index=index)
    arguments: dict[str, Any] = dict(layer.arguments)
    if "inplace" in arguments:
        arguments["inplace"] = False
    has_bias = True
    if name in _LATE_BIAS:
        has_bias = arguments.pop("bias")
    try:
        with torch_warnings_ignored():
            built: nn.Module = getattr(nn, name)(**arguments)
    except (ValueError, TypeError, RuntimeError) as error:
        if shortage := memory_shortage(error):
            raise shortage from error
        raise ModelError(
            f"layer {layer.path}, {layer.describe()}, cannot be built: {first_line(error)}",
            layer_index=index,
            next_step="Correct the layer's arguments.",
        ) from error
    if not has_bias:
        built.register_parameter("bias", None)
    return built


def first_line(error: Exception) -> str:
    """Return PyTorch's message without the stack of C++ calls that may follow."""
    return str(error).strip().partition("\n")[0]


def load_weights(model: nn.Module, encoded: bytes) -> None:
    """Set every parameter and buffer of `model` from a safetensors file.

    Raises:
        ModelError: names, shapes or types differ from the model's, or a value is not finite.
    """
    try:
        weights = safetensors.torch.load(encoded)
    except (SafetensorError, ValueError, KeyError) as error:
        raise ModelError(f"the weights cannot be read: {first_line(error)}") from error
    expected = model.state_dict()
    if weights.keys() != expected.keys():
        missing = ", ".join(sorted(expected.keys() - weights.keys())) or "none"
        surplus = ", ".join(sorted(weights.keys() - expected.keys())) or "none"
        raise ModelError(
            "the weights do not belong to this model: "
            f"missing are {missing}; not in the model are {surplus}"
        )
    for name, tensor in weights.items():
        if tensor.shape != expected[name].shape or tensor.dtype != expected[name].dtype:
            raise ModelError(
                f"{name} is {_shown_tensor(tensor)}, "
                f"but the model has {_shown_tensor(expected[name])}"
            )
        if not torch.isfinite(tensor).all():
            raise ModelError(
                f"{name} has values that are not finite (NaN or infinite)",
                next_step="Set every weight to an ordinary number.",
            )
    model.load_state_dict(weights)


def _shown_tensor(tensor: torch.Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} of shape {tuple(tensor.shape)}"


def trace_shapes(spec: ModelSpec, input_shape: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
    """Run two black images through the layers and return every layer's output shape.

    A layer's allocation is bounded by arithmetic before it runs. PyTorch's meta device would
    allocate nothing, but its first use imports 900 modules and takes as long as importing torch.

    Args:
        spec: the model; its layers need not fit each other.
        input_shape: of one example: (1, 28, 28) or (784,).

    Returns:
        Shapes without the batch dimension.

    Raises:
        ModelError: layer `layer_index` does not fit its input, or is too large.
    """
    parameters = spec.count_parameters()
    if parameters > MAXIMUM_PARAMETERS:
        raise ModelError(
            f"the model has {parameters:,} parameters; the grader builds {MAXIMUM_PARAMETERS:,} "
            "at most",
            next_step="Use smaller layers.",
        )
    with torch.random.fork_rng(devices=[]):  # the caller's random numbers stay as they are
        model = build_model(spec)
    values = torch.zeros(_TRACE_BATCH, *input_shape)
    shapes = []
    for index, (layer, module) in enumerate(zip(spec.layers, model, strict=True)):
        shape = tuple(values.shape[1:])
        _check_fit(index, layer, shape)
        _check_size(index, layer, shape)
        try:
            with torch.no_grad(), torch_warnings_ignored():
                values = module(values)
        except (RuntimeError, ValueError, IndexError, TypeError) as error:
            if shortage := memory_shortage(error):
                raise shortage from error
            raise _misfit(index, layer, shape, f"PyTorch says: {first_line(error)}") from error
        if values.ndim == 0 or values.shape[0] != _TRACE_BATCH:
            raise _misfit(
                index,
                layer,
                shape,
                "it mixes the examples of a batch with each other",
                "Leave dimension 0, the batch, alone: nn.Flatten() keeps it.",
            )
        shapes.append(tuple(values.shape[1:]))
    return tuple(shapes)


def _misfit(
    index: int, layer: LayerSpec, shape: tuple[int, ...], reason: str, next_step: str = ""
) -> ModelError:
    return ModelError(
        f"layer {layer.path}, {layer.describe()}, gets an input of shape {shape}: {reason}",
        layer_index=index,
        next_step=next_step or "Make the layer fit the output of the layer before it.",
    )


_IMAGE_KINDS = frozenset({"Conv2d", "MaxPool2d", "AvgPool2d", "AdaptiveAvgPool2d", "BatchNorm2d"})
_SEQUENCE_KINDS = frozenset({"Conv1d", "MaxPool1d", "AvgPool1d"})


def _check_fit(index: int, layer: LayerSpec, shape: tuple[int, ...]) -> None:
    """Raise a clear error for the commonest misfits, before PyTorch raises its own."""
    if layer.kind in _IMAGE_KINDS and len(shape) != 3:
        raise _misfit(
            index,
            layer,
            shape,
            "it needs (channels, height, width)",
            "Put it before Flatten, where its input is still an image.",
        )
    if layer.kind in _SEQUENCE_KINDS and len(shape) != 2:
        raise _misfit(index, layer, shape, "it needs (channels, length)")
    if layer.kind == "Linear" and (not shape or shape[-1] != layer.integer("in_features")):
        expected = layer.integer("in_features")
        if len(shape) > 1 and math.prod(shape) == expected:
            next_step = "Did you forget nn.Flatten() before it?"
        elif len(shape) > 1:
            next_step = (
                f"Did you forget nn.Flatten() before it? Flattened, this input has "
                f"{math.prod(shape)} features, so in_features would be {math.prod(shape)}."
            )
        else:
            next_step = f"Set in_features={shape[-1] if shape else 1}."
        raise _misfit(index, layer, shape, f"it expects {expected} features", next_step)
    if layer.kind in {"Conv1d", "Conv2d"} and shape[0] != layer.integer("in_channels"):
        expected = layer.integer("in_channels")
        raise _misfit(
            index, layer, shape, f"it expects {expected} channels", f"Set in_channels={shape[0]}."
        )
    if layer.kind in {"BatchNorm1d", "BatchNorm2d"} and shape[:1] != (
        layer.integer("num_features"),
    ):
        raise _misfit(
            index,
            layer,
            shape,
            f"it expects {layer.integer('num_features')} channels",
            f"Set num_features={shape[0] if shape else 1}.",
        )


def _check_size(index: int, layer: LayerSpec, shape: tuple[int, ...]) -> None:
    """Refuse a layer whose output takes too much memory. Only these kinds enlarge their input."""
    if layer.kind == "Linear":
        output_shape = (*shape[:-1], layer.integer("out_features"))
    elif layer.kind in {"Conv1d", "Conv2d"}:
        output_shape = (layer.integer("out_channels"), *_convolved(layer, shape[1:]))
    elif layer.kind == "AdaptiveAvgPool2d":
        output_shape = (shape[0], *as_integers(layer.arguments.get("output_size"), 2))
    else:
        return
    if min(output_shape) < 1:
        raise _misfit(
            index,
            layer,
            shape,
            f"its kernel is larger than its input, so its output would be {output_shape}",
            "Use a smaller kernel, more padding, or fewer layers before it that shrink the image.",
        )
    if math.prod(output_shape) > MAXIMUM_ACTIVATIONS:
        raise _misfit(
            index,
            layer,
            shape,
            f"its output of shape {output_shape} would have {math.prod(output_shape):,} values "
            f"for one image; the grader allows {MAXIMUM_ACTIVATIONS:,}",
            "Use a smaller layer.",
        )


def _convolved(layer: LayerSpec, size: tuple[int, ...]) -> tuple[int, ...]:
    """Return the size after a convolution, by the formula in PyTorch's documentation of Conv2d."""
    dimensions = len(size)
    padding = layer.arguments.get("padding")
    if padding == "same":
        return size
    pads = as_integers(0 if padding == "valid" else padding, dimensions)
    kernels = as_integers(layer.arguments.get("kernel_size"), dimensions)
    strides = as_integers(layer.arguments.get("stride"), dimensions)
    dilations = as_integers(layer.arguments.get("dilation"), dimensions)
    return tuple(
        (length + 2 * pad - dilation * (kernel - 1) - 1) // stride + 1
        for length, pad, kernel, stride, dilation in zip(
            size, pads, kernels, strides, dilations, strict=True
        )
    )


def count_multiply_adds(spec: ModelSpec, shapes: tuple[tuple[int, ...], ...]) -> int:
    """Return the multiply-adds of one example's forward pass in Linear and convolutions.

    Args:
        spec: the model.
        shapes: from `trace_shapes`.
    """
    total = 0
    for layer, shape in zip(spec.layers, shapes, strict=True):
        if layer.kind == "Linear":
            total += math.prod(shape) * layer.integer("in_features")
        elif layer.kind in {"Conv1d", "Conv2d"}:
            kernel = as_integers(layer.arguments.get("kernel_size"), len(shape) - 1)
            inputs_per_group = layer.integer("in_channels") // layer.integer("groups")
            total += math.prod(shape) * inputs_per_group * math.prod(kernel)
    return total


def count_activations(shapes: tuple[tuple[int, ...], ...]) -> int:
    """Return the values of one example's forward pass, all of which training keeps at once."""
    return sum(math.prod(shape) for shape in shapes)
