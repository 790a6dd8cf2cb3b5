"""The shape and the cost of every layer, by arithmetic: nothing is built or run.

The formulas are those of PyTorch's documentation of each layer; tests hold them to PyTorch over
the whole range of arguments. This module does not import torch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from grader.errors import ModelError
from grader.models.spec import (
    CHANNEL_NORMS,
    LayerSpec,
    ModelSpec,
    as_integers,
    count_layer_parameters,
)

Shape = tuple[int, ...]
"""Of one example, without the batch dimension."""

MAXIMUM_STATE = 100_000_000
"""Parameters and buffers of one model."""
MAXIMUM_ACTIVATIONS = 2_000_000
"""Values of one layer and one image. Evaluation takes 500 images at once, so one layer's outputs
take at most 4 GB. Assignments allow less.
"""


class _MisfitError(Exception):
    """A layer cannot take its input."""

    def __init__(self, reason: str, next_step: str = "") -> None:
        super().__init__(reason)
        self.next_step = next_step or "Make the layer fit the output of the layer before it."


def find_shapes(spec: ModelSpec, input_shape: Shape) -> tuple[Shape, ...]:
    """Return the output shape of every layer.

    Args:
        spec: the model; its layers need not fit each other.
        input_shape: of one example: (1, 28, 28) or (784,).

    Raises:
        ModelError: layer `layer_index` does not fit its input, or the model is too large.
    """
    state = sum(count_state(layer) for layer in spec.layers)
    if state > MAXIMUM_STATE:
        raise ModelError(
            f"the model has {state:,} parameters and buffers; the grader builds {MAXIMUM_STATE:,} "
            "at most",
            next_step="Use smaller layers.",
        )
    shapes = [input_shape]
    for index, layer in enumerate(spec.layers):
        shape = shapes[-1]
        try:
            shapes.append(_output_shape(layer, shape))
        except _MisfitError as error:
            raise ModelError(
                f"layer {layer.path}, {layer.describe()}, gets an input of shape {shape}: {error}",
                layer_index=index,
                next_step=error.next_step,
            ) from None
    return tuple(shapes[1:])


def _output_shape(layer: LayerSpec, shape: Shape) -> Shape:
    find = _SHAPES.get(layer.kind)
    output = find(layer, shape) if find else shape  # all other kinds keep the shape
    _require_room(output, math.prod(output))
    return output


def _require_room(output: Shape, values: int) -> None:
    """Refuse a layer that takes more than `MAXIMUM_ACTIVATIONS` values for its output."""
    if values > MAXIMUM_ACTIVATIONS:
        raise _MisfitError(
            f"its output of shape {output} takes {values:,} values for one image; "
            f"the grader allows {MAXIMUM_ACTIVATIONS:,}",
            "Use a smaller layer.",
        )


def _linear(layer: LayerSpec, shape: Shape) -> Shape:
    features, expected = math.prod(shape), layer.integer("in_features")
    if shape[-1] != expected:
        next_step = f"Set in_features={shape[-1]}."
        if len(shape) > 1:
            next_step = "Did you forget nn.Flatten() before it?"
            if features != expected:
                next_step += (
                    f" Flattened, this input has {features} features, so in_features would be "
                    f"{features}."
                )
        raise _MisfitError(f"it expects {expected} features", next_step)
    return (*shape[:-1], layer.integer("out_features"))


def _require_rank(layer: LayerSpec, shape: Shape) -> int:
    """Return the number of spatial dimensions of a layer such as Conv2d."""
    dimensions = int(layer.kind[-2])
    if len(shape) != dimensions + 1:
        expected = {1: "(channels, length)", 2: "(channels, height, width)"}[dimensions]
        raise _MisfitError(
            f"it needs {expected}", "Put it before Flatten, where its input is still an image."
        )
    return dimensions


def _require_channels(name: str, expected: int, shape: Shape) -> None:
    if shape[0] != expected:
        raise _MisfitError(f"it expects {expected} channels", f"Set {name}={shape[0]}.")


def _numbers(layer: LayerSpec, name: str, dimensions: int) -> Shape:
    """Return an argument as one number for each spatial dimension."""
    value = layer.arguments.get(name, 1)  # AvgPool has no dilation
    numbers = as_integers(0 if value == "valid" else value, dimensions)
    if len(numbers) == 1 and name != "output_size" and not _needs_all(layer, name):
        numbers *= dimensions
    if len(numbers) != dimensions:
        raise _MisfitError(f"its {name} has {len(numbers)} numbers", f"Give {dimensions}.")
    return numbers


def _needs_all(layer: LayerSpec, name: str) -> bool:
    """Return True if PyTorch does not repeat a single number of this argument."""
    is_padded_first = layer.arguments.get("padding_mode", "zeros") != "zeros"
    return layer.kind.startswith("Conv") and (
        name == "kernel_size" or (name == "padding" and is_padded_first)
    )


def _pads(layer: LayerSpec) -> list[tuple[int, int]]:
    """Return the padding before and after each spatial dimension of a convolution."""
    dimensions = int(layer.kind[-2])
    if layer.arguments["padding"] == "same":
        totals = [
            dilation * (kernel - 1)
            for dilation, kernel in zip(
                _numbers(layer, "dilation", dimensions),
                _numbers(layer, "kernel_size", dimensions),
                strict=True,
            )
        ]
        return [(total // 2, total - total // 2) for total in totals]
    return [(pad, pad) for pad in _numbers(layer, "padding", dimensions)]


def _require_groups(layer: LayerSpec, shape: Shape) -> int:
    """Return the output channels of a convolution whose groups divide its channels."""
    _require_channels("in_channels", layer.integer("in_channels"), shape)
    groups, outputs = layer.integer("groups"), layer.integer("out_channels")
    if shape[0] % groups or outputs % groups:
        raise _MisfitError(
            f"groups={groups} does not divide both its {shape[0]} input and {outputs} output "
            "channels",
            "Leave groups out.",
        )
    return outputs


def _convolution(layer: LayerSpec, shape: Shape) -> Shape:
    dimensions = _require_rank(layer, shape)
    outputs = _require_groups(layer, shape)
    strides = _numbers(layer, "stride", dimensions)
    if layer.arguments["padding"] == "same" and set(strides) != {1}:
        raise _MisfitError(
            'padding="same" needs stride=1', 'Use stride=1, or a number instead of "same".'
        )
    pads = _pads(layer)
    mode = layer.arguments["padding_mode"]
    for size, pad in zip(shape[1:], pads, strict=True):
        # torch.nn.functional.pad reflects at most size - 1 values, and wraps around at most size.
        most = {"reflect": size - 1, "circular": size}.get(str(mode), max(pad))
        if max(pad) > most:
            raise _MisfitError(
                f"padding_mode={mode!r} can pad {size} pixels by at most {most}",
                "Use less padding.",
            )
    padded = [size + sum(pad) for size, pad in zip(shape[1:], pads, strict=True)]
    dilations = _numbers(layer, "dilation", dimensions)
    output = (outputs, *_slide(layer, padded, strides, dilations))
    # Padding other than zeros copies the input into a larger tensor first.
    _require_room(output, max(math.prod(output), shape[0] * math.prod(padded)))
    return output


def _slide(
    layer: LayerSpec, sizes: Sequence[int], strides: Sequence[int], dilations: Sequence[int]
) -> list[int]:
    """Return how many places a window takes along each padded dimension."""
    kernels = _numbers(layer, "kernel_size", len(sizes))
    places = [
        (size - dilation * (kernel - 1) - 1) // stride + 1
        for size, kernel, stride, dilation in zip(sizes, kernels, strides, dilations, strict=True)
    ]
    if min(places) < 1:
        raise _MisfitError(
            "its kernel is larger than its input",
            "Use a smaller kernel, more padding, or fewer layers before it that shrink the image.",
        )
    return places


def _pooling(layer: LayerSpec, shape: Shape) -> Shape:
    dimensions = _require_rank(layer, shape)
    kernels = _numbers(layer, "kernel_size", dimensions)
    strides = _numbers(layer, "stride", dimensions)
    pads = _numbers(layer, "padding", dimensions)
    dilations = _numbers(layer, "dilation", dimensions)
    for kernel, pad in zip(kernels, pads, strict=True):
        if pad > kernel // 2:
            raise _MisfitError(
                f"its padding of {pad} is more than half of its kernel of {kernel}",
                "Use less padding.",
            )
    padded = [size + 2 * pad for size, pad in zip(shape[1:], pads, strict=True)]
    if not layer.arguments["ceil_mode"]:
        return (shape[0], *_slide(layer, padded, strides, dilations))
    # With ceil_mode a last window may reach past the end, if it starts before the right padding.
    stretched = [size + stride - 1 for size, stride in zip(padded, strides, strict=True)]
    places = _slide(layer, stretched, strides, dilations)
    return (
        shape[0],
        *(
            count - ((count - 1) * stride >= size + pad)
            for count, stride, size, pad in zip(places, strides, shape[1:], pads, strict=True)
        ),
    )


def _transposed_convolution(layer: LayerSpec, shape: Shape) -> Shape:
    _require_rank(layer, shape)
    outputs = _require_groups(layer, shape)
    sides = []
    for size, stride, dilation, kernel, pad, extra in zip(
        shape[1:], *_transposed_settings(layer), strict=True
    ):
        if extra >= max(stride, dilation):
            raise _MisfitError(
                f"its output_padding of {extra} is not smaller than its stride or dilation",
                "Use less output_padding.",
            )
        sides.append((size - 1) * stride - 2 * pad + dilation * (kernel - 1) + extra + 1)
    if min(sides) < 1:
        raise _MisfitError("its padding leaves nothing of the output", "Use less padding.")
    output = (outputs, *sides)
    # PyTorch keeps every product of an input and the kernel before it adds them up.
    window = math.prod(_numbers(layer, "kernel_size", 2))
    _require_room(output, max(math.prod(output), outputs * window * math.prod(shape[1:])))
    return output


def _transposed_settings(layer: LayerSpec) -> list[Shape]:
    """Return stride, dilation, kernel, padding and output padding, each for both dimensions."""
    names = ("stride", "dilation", "kernel_size", "padding", "output_padding")
    return [_numbers(layer, name, 2) for name in names]


def _zero_padding(layer: LayerSpec, shape: Shape) -> Shape:
    _require_rank(layer, shape)
    pads = as_integers(layer.arguments["padding"], 4)
    if len(pads) != 4:
        raise _MisfitError("it needs (left, right, top, bottom)", "Give four numbers, or one.")
    left, right, top, bottom = pads
    channels, height, width = shape
    return channels, height + top + bottom, width + left + right


def _unflatten(layer: LayerSpec, shape: Shape) -> Shape:
    sizes = layer.arguments["unflattened_size"]
    if not isinstance(sizes, tuple):
        raise _MisfitError("its unflattened_size is no tuple", "Write (channels, height, width).")
    dim = _require_dimension(layer.integer("dim"), shape)
    if dim == 0:
        raise _MisfitError(
            "it mixes the examples of a batch with each other", "Unflatten dimension 1."
        )
    sizes = as_integers(sizes, 1)
    known = math.prod(size for size in sizes if size != -1)
    missing = sizes.count(-1)
    before = shape[dim - 1]
    if missing > 1 or not known or before % known or (not missing and before != known):
        raise _MisfitError(
            f"{before} values cannot be arranged as {sizes}",
            f"Let the sizes multiply to {before}.",
        )
    filled = tuple(before // known if size == -1 else size for size in sizes)
    return (*shape[: dim - 1], *filled, *shape[dim:])


def _adaptive_pooling(layer: LayerSpec, shape: Shape) -> Shape:
    dimensions = _require_rank(layer, shape)
    return (shape[0], *_numbers(layer, "output_size", dimensions))


def _batch_norm(layer: LayerSpec, shape: Shape) -> Shape:
    if layer.kind == "BatchNorm2d":
        _require_rank(layer, shape)
    elif len(shape) > 2:
        raise _MisfitError("it needs (features,) or (channels, length)", "Use nn.BatchNorm2d.")
    _require_channels("num_features", layer.integer("num_features"), shape)
    return shape


def _instance_norm(layer: LayerSpec, shape: Shape) -> Shape:
    _require_rank(layer, shape)
    _require_channels("num_features", layer.integer("num_features"), shape)
    if math.prod(shape[1:]) == 1:
        raise _MisfitError(
            "it normalises single values, and all become 0", "Remove it, or put it earlier."
        )
    return shape


def _group_norm(layer: LayerSpec, shape: Shape) -> Shape:
    _require_channels("num_channels", layer.integer("num_channels"), shape)
    groups = layer.integer("num_groups")
    if shape[0] % groups:
        raise _MisfitError(
            f"num_groups={groups} does not divide its {shape[0]} channels",
            "Use a divisor of the number of channels.",
        )
    if math.prod(shape) == groups:
        raise _MisfitError(
            "it normalises single values, and all become 0", "Use fewer groups, or remove it."
        )
    return shape


def _local_response_norm(layer: LayerSpec, shape: Shape) -> Shape:
    if len(shape) == 1:
        raise _MisfitError("it needs (channels, height, width)", "Put it before Flatten.")
    # PyTorch pads the channels by its size.
    _require_room(shape, (shape[0] + layer.integer("size")) * math.prod(shape[1:]))
    return shape


def _prelu(layer: LayerSpec, shape: Shape) -> Shape:
    slopes = layer.integer("num_parameters")
    if slopes not in {1, shape[0]}:
        raise _MisfitError(
            f"it has {slopes} slopes for {shape[0]} channels",
            f"Leave num_parameters out, or set it to {shape[0]}.",
        )
    return shape


def _hardtanh(layer: LayerSpec, shape: Shape) -> Shape:
    low, high = (layer.arguments[name] for name in ("min_val", "max_val"))
    if isinstance(low, int | float) and isinstance(high, int | float) and low >= high:
        raise _MisfitError(f"its min_val of {low} is not below its max_val of {high}", "Swap them.")
    return shape


def _layer_norm(layer: LayerSpec, shape: Shape) -> Shape:
    expected = as_integers(layer.arguments["normalized_shape"], 1)
    if shape[-len(expected) :] != expected:
        raise _MisfitError(
            f"it expects {expected} as the last dimensions", f"Set normalized_shape={shape}."
        )
    return shape


def _dropout1d(_layer: LayerSpec, shape: Shape) -> Shape:
    if len(shape) > 2:
        raise _MisfitError("it needs (channels, length)", "Use nn.Dropout2d.")
    return shape


def _softmax(layer: LayerSpec, shape: Shape) -> Shape:
    dim = layer.arguments["dim"]
    if dim is not None:
        _require_dimension(layer.integer("dim"), shape)
    return shape


def _require_dimension(dim: int, shape: Shape) -> int:
    """Return the dimension counted from 0, the batch."""
    rank = len(shape) + 1
    if not -rank <= dim < rank:
        raise _MisfitError(
            f"dimension {dim} is out of range: with the batch there are {rank}",
            f"Use a dimension from 1 to {rank - 1}.",
        )
    return dim % rank


def _flatten(layer: LayerSpec, shape: Shape) -> Shape:
    start = _require_dimension(layer.integer("start_dim"), shape)
    end = _require_dimension(layer.integer("end_dim"), shape)
    if start > end:
        raise _MisfitError("start_dim comes after end_dim", "Use nn.Flatten() as it is.")
    if start == end:
        return shape
    if start == 0:
        raise _MisfitError(
            "it mixes the examples of a batch with each other",
            "Leave dimension 0, the batch, alone: nn.Flatten() keeps it.",
        )
    return (*shape[: start - 1], math.prod(shape[start - 1 : end]), *shape[end:])


_SHAPES: dict[str, Callable[[LayerSpec, Shape], Shape]] = {
    "Linear": _linear,
    "Conv1d": _convolution,
    "Conv2d": _convolution,
    "MaxPool1d": _pooling,
    "MaxPool2d": _pooling,
    "AvgPool1d": _pooling,
    "AvgPool2d": _pooling,
    "AdaptiveAvgPool1d": _adaptive_pooling,
    "AdaptiveAvgPool2d": _adaptive_pooling,
    "AdaptiveMaxPool1d": _adaptive_pooling,
    "AdaptiveMaxPool2d": _adaptive_pooling,
    "ConvTranspose2d": _transposed_convolution,
    "ZeroPad2d": _zero_padding,
    "InstanceNorm1d": _instance_norm,
    "InstanceNorm2d": _instance_norm,
    "GroupNorm": _group_norm,
    "RMSNorm": _layer_norm,
    "LocalResponseNorm": _local_response_norm,
    "PReLU": _prelu,
    "Hardtanh": _hardtanh,
    "Unflatten": _unflatten,
    "BatchNorm1d": _batch_norm,
    "BatchNorm2d": _batch_norm,
    "LayerNorm": _layer_norm,
    "Dropout1d": _dropout1d,
    "Softmax": _softmax,
    "LogSoftmax": _softmax,
    "Flatten": _flatten,
}


def count_state(layer: LayerSpec) -> int:
    """Return the number of values in a layer's parameters and buffers."""
    buffers = 0
    if layer.kind in CHANNEL_NORMS and layer.arguments["track_running_stats"]:
        buffers = 2 * layer.integer("num_features") + 1  # means, variances, count of batches
    return count_layer_parameters(layer) + buffers


def count_multiply_adds(spec: ModelSpec, shapes: Sequence[Shape]) -> int:
    """Return the multiply-adds of one example's forward pass in Linear and convolutions.

    Args:
        spec: the model.
        shapes: from `find_shapes`.
    """
    return sum(map(_multiply_adds, spec.layers, shapes))


def _multiply_adds(layer: LayerSpec, output: Shape) -> int:
    if layer.kind == "Linear":
        return math.prod(output) * layer.integer("in_features")
    if layer.kind in {"Conv1d", "Conv2d"}:
        kernel = as_integers(layer.arguments["kernel_size"], len(output) - 1)
        inputs_per_group = layer.integer("in_channels") // layer.integer("groups")
        return math.prod(output) * inputs_per_group * math.prod(kernel)
    if layer.kind == "ConvTranspose2d":
        inputs: list[int] = [
            (side + 2 * pad - dilation * (kernel - 1) - extra - 1) // stride + 1
            for side, stride, dilation, kernel, pad, extra in zip(
                output[1:], *_transposed_settings(layer), strict=True
            )
        ]
        # Every input is multiplied by the kernels of its group.
        weights = count_layer_parameters(layer) - bool(layer.arguments["bias"]) * output[0]
        return math.prod(inputs) * weights
    return 0


_VALUE = 10
"""A value that a layer passes on, or a pooling window reads, takes about the time of this many
multiply-adds of a matrix product: 5 (ReLU) to 120 (Dropout), with torch 2.14.1 on one core."""


def count_work(spec: ModelSpec, input_shape: Shape) -> list[int]:
    """Return the work of each layer for one example, in multiply-adds of about equal time.

    Raises:
        ModelError: a layer does not fit its input.
    """
    shapes = (input_shape, *find_shapes(spec, input_shape))
    return [
        _multiply_adds(layer, output)
        + _VALUE * (_window_values(layer, before, output) + max(map(math.prod, (before, output))))
        for layer, before, output in zip(spec.layers, shapes, shapes[1:], strict=False)
    ]


def _window_values(layer: LayerSpec, before: Shape, output: Shape) -> int:
    """Return how many values the windows of a pooling layer read."""
    if layer.kind.startswith(("MaxPool", "AvgPool")):
        return math.prod(output) * math.prod(_numbers(layer, "kernel_size", len(output) - 1))
    if layer.kind == "LocalResponseNorm":
        return math.prod(output) * layer.integer("size")
    if layer.kind.startswith("Adaptive"):
        sides = zip(before[1:], output[1:], strict=True)
        return math.prod(output) * math.prod(size // places + 1 for size, places in sides)
    return 0


def find_dearest_layer(spec: ModelSpec, input_shape: Shape) -> LayerSpec:
    """Return the layer with the most work.

    Raises:
        ModelError: a layer does not fit its input.
    """
    work = count_work(spec, input_shape)
    return spec.layers[work.index(max(work))]


def find_largest_layer(spec: ModelSpec, input_shape: Shape) -> LayerSpec:
    """Return the layer with the most values in its output, parameters and buffers.

    Raises:
        ModelError: a layer does not fit its input.
    """
    shapes = find_shapes(spec, input_shape)
    # Evaluation takes 500 images at once, so an output counts so often.
    values = [
        500 * math.prod(shape) + count_state(layer)
        for layer, shape in zip(spec.layers, shapes, strict=True)
    ]
    return spec.layers[values.index(max(values))]
