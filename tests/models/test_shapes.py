"""Shapes, parameters and costs by arithmetic are those of PyTorch."""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch

from grader.errors import ModelError
from grader.models.build import build_model, torch_warnings_ignored
from grader.models.kinds import LAYER_KINDS, Argument, Kind
from grader.models.shapes import (
    MAXIMUM_STATE,
    count_multiply_adds,
    count_state,
    find_dearest_layer,
    find_largest_layer,
    find_shapes,
)
from grader.models.spec import LayerSpec, ModelSpec, find_argument_mistakes
from tests.support.specs import FLATTEN, RELU, linear, model
from tests.support.training_samples import POOL, batch_norm, cnn, conv

SIZES = (1, 2, 3, 4, 5, 6, 8, 11)
FEATURES = {"in_features", "in_channels", "num_features", "num_channels", "num_parameters"}
STRICTER = (
    *("it needs (", "it expects", "mixes the examples", "normalises single values"),
    "leaves nothing",
)
"""The grader refuses what PyTorch takes for something else: the batch for channels, say."""


def draw_argument(generator: random.Random, argument: Argument, shape: tuple[int, ...]) -> Any:
    """A value from the argument's range, most often one that fits the shape."""
    value: Any
    if argument.optional and generator.random() < 0.2:
        value = None
    elif argument.type == "choice" or (argument.choices and generator.random() < 0.3):
        value = generator.choice(argument.choices)
    elif argument.type == "boolean":
        value = generator.random() < 0.5
    elif argument.type == "number":
        value = generator.uniform(max(argument.minimum, -3), min(argument.maximum, 3))
    elif argument.name in FEATURES and generator.random() < 0.8:
        value = shape[-1 if argument.name == "in_features" else 0]
    elif argument.name == "groups" and generator.random() < 0.7:
        value = 1
    elif argument.name == "unflattened_size" and generator.random() < 0.7:
        value = generator.choice([(shape[0], 1), (1, -1), (-1, 1, 1), (2, -1), (shape[0] // 2, 2)])
    elif argument.name == "num_groups" and generator.random() < 0.7:
        value = generator.choice([1, shape[0]])
    elif argument.name == "normalized_shape" and generator.random() < 0.7:
        value = shape[-generator.randint(1, len(shape)) :]
    else:
        value = draw_numbers(generator, argument)
    return value


def draw_numbers(generator: random.Random, argument: Argument) -> int | tuple[int, ...]:
    """An integer, or as many as the argument takes, or too few."""
    least, most = int(max(argument.minimum, -8)), int(min(argument.maximum, 12))
    if argument.type == "integer":
        return generator.randint(least, most)
    numbers = [generator.choice([least, 1, 1, 2, 3, most]) for _ in range(argument.length)]
    length = argument.length if generator.random() < 0.9 else generator.randint(1, len(numbers))
    return numbers[0] if generator.random() < 0.4 else tuple(numbers[:length])


def draw_layer(generator: random.Random, kind: Kind, shape: tuple[int, ...]) -> ModelSpec:
    """A model of one layer whose arguments are allowed."""
    arguments = {each.name: draw_argument(generator, each, shape) for each in kind.arguments}
    assert find_argument_mistakes(kind, arguments) == []
    return ModelSpec(layers=(LayerSpec(kind=kind.name, path="0", arguments=arguments),))


def compare(spec: ModelSpec, shape: tuple[int, ...]) -> bool:
    """Hold the arithmetic to PyTorch; True if both take the layer."""
    refusal = ""
    try:
        found = find_shapes(spec, shape)[0]
    except ModelError as error:
        refusal = str(error)
    try:
        with torch.no_grad(), torch_warnings_ignored():
            built = build_model(spec)
            output = built(torch.zeros(2, *shape))
    except (ModelError, RuntimeError, ValueError, IndexError, TypeError):
        assert refusal, spec
        return False
    if refusal:
        assert any(words in refusal for words in STRICTER), (refusal, output.shape)
        return False
    assert (2, *found) == tuple(output.shape), spec
    tensors = (*built.parameters(), *built.buffers())
    assert count_state(spec.layers[0]) == sum(tensor.numel() for tensor in tensors), spec
    return True


@pytest.mark.parametrize("kind", LAYER_KINDS.values(), ids=lambda kind: kind.name)
@pytest.mark.parametrize("count", [40, pytest.param(750, marks=pytest.mark.slow)])
def test_agrees_with_pytorch(kind: Kind, count: int) -> None:
    """Random layers give PyTorch's shapes and values, or are refused as PyTorch refuses them.

    The slow variant draws 750 layers of each of the 48 kinds: 36,000.
    """
    generator = random.Random(f"{kind.name} {count}")
    taken = 0
    for _ in range(count):
        shape = tuple(generator.choice(SIZES) for _ in range(generator.choice([1, 2, 3, 3])))
        taken += compare(draw_layer(generator, kind, shape), shape)
    assert taken > 0


def test_shapes_of_a_cnn() -> None:
    """Every layer's output shape, without the batch."""
    assert find_shapes(cnn(), (1, 28, 28)) == (
        *((8, 26, 26), (8, 26, 26), (8, 26, 26), (8, 13, 13), (8, 13, 13)),
        *((8, 11, 11), (8, 11, 11), (8, 11, 11), (8, 5, 5), (8, 5, 5)),
        *((200,), (64,), (64,), (10,)),
    )


@pytest.mark.parametrize(
    ("layers", "index", "message", "next_step"),
    [
        (
            [linear(784, 10)],
            0,
            r"gets an input of shape \(1, 28, 28\): it expects 784 features",
            "Did you forget nn.Flatten() before it?",
        ),
        (
            [conv(1, 8), RELU, linear(200, 10)],
            2,
            "it expects 200 features",
            "in_features would be 5408",
        ),
        ([FLATTEN, linear(700, 10)], 1, "it expects 700 features", "Set in_features=784."),
        ([FLATTEN, conv(1, 8)], 1, "needs .channels, height, width.", "before Flatten"),
        ([conv(3, 8)], 0, "it expects 3 channels", "Set in_channels=1."),
        ([conv(1, 8), batch_norm(4)], 1, "it expects 4 channels", "Set num_features=8."),
        ([FLATTEN, batch_norm(100, 1)], 1, "it expects 100 channels", "Set num_features=784."),
        ([conv(1, 8, 30)], 0, "kernel is larger than its input", "smaller kernel"),
        ([*[POOL] * 5], 4, "kernel is larger than its input", "smaller kernel"),
        (
            [("Flatten", {"start_dim": 0, "end_dim": -1})],
            0,
            "mixes the examples of a batch",
            "nn.Flatten() keeps it",
        ),
        ([("Softmax", {"dim": 7})], 0, "dimension 7 is out of range", "from 1 to 3"),
        ([FLATTEN, POOL], 1, "needs .channels, height, width.", "before Flatten"),
        (
            [("Conv2d", {**conv(1, 8)[1], "groups": 3})],
            0,
            "groups=3 does not divide both",
            "Leave groups out.",
        ),
    ],
)
def test_misfits(layers, index, message, next_step):
    """A misfit names the layer, its input, the expected input, and the next step."""
    with pytest.raises(ModelError, match=message) as caught:
        find_shapes(model(*layers), (1, 28, 28))
    assert caught.value.layer_index == index
    assert next_step in caught.value.next_step


NARROW = ("BatchNorm2d", {**batch_norm(10_000_000)[1], "affine": False})


@pytest.mark.parametrize(
    "layers",
    [
        [FLATTEN, linear(784, 10_000_000)],
        [(conv(1, 4096)[0], {**conv(1, 4096)[1], "padding": 4096})],
        [(conv(1, 1)[0], {**conv(1, 1, 4096)[1], "padding": 4000, "padding_mode": "replicate"})],
        [conv(1, 8), ("AdaptiveAvgPool2d", {"output_size": 4096})],
        [NARROW] * (MAXIMUM_STATE // 20_000_000 + 1),
    ],
)
def test_giants_are_refused(layers):
    """A layer's outputs, its padded input, parameters and buffers are bounded."""
    with pytest.raises(ModelError, match=r"grader (allows|builds)"):
        find_shapes(model(*layers), (1, 28, 28))


def test_multiply_adds_of_known_layers():
    """Problem 3B's convolution: 28 x 28 x 8 outputs of 5 x 5 x 3 products each."""
    spec = model(conv(3, 8, 5), FLATTEN, linear(6272, 10))
    shapes = find_shapes(spec, (3, 32, 32))
    assert count_multiply_adds(spec, shapes) == 28 * 28 * 8 * 75 + 6272 * 10


def test_multiply_adds_of_groups():
    """A grouped convolution sees only its group's channels."""
    spec = model(("Conv2d", {**conv(4, 8)[1], "groups": 4}))
    assert count_multiply_adds(spec, find_shapes(spec, (4, 5, 5))) == 3 * 3 * 8 * 9


def test_dearest_layer():
    """Work is in multiplications, in the windows of a pooling, or in sheer size."""
    wide = model(conv(1, 8), RELU, conv(8, 100), POOL, FLATTEN, linear(14400, 10))
    assert find_dearest_layer(wide, (1, 28, 28)).kind == "Conv2d"
    window = {"kernel_size": 27, "stride": 1, "padding": 13, "dilation": 1, "ceil_mode": False}
    pooled = model(conv(1, 8), ("MaxPool2d", window), FLATTEN, linear(5408, 10))
    assert find_dearest_layer(pooled, (1, 28, 28)).kind == "MaxPool2d"
    assert find_largest_layer(pooled, (1, 28, 28)).path == "0"
