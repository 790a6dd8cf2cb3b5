"""Building models and optimisers from specs, and tracing shapes."""

import pytest
import safetensors.torch
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from grader.errors import ModelError
from grader.models.build import (
    build_model,
    count_activations,
    count_multiply_adds,
    load_weights,
    torch_warnings_ignored,
    trace_shapes,
)
from grader.models.kinds import LAYER_KINDS
from grader.models.spec import LayerSpec, ModelSpec, parameter_names
from tests.support.specs import FLATTEN, RELU, linear, mlp, model, replace
from tests.support.training_samples import POOL, batch_norm, cnn, conv, dropout

EVERY_LAYER = [
    nn.Linear(3, 4),
    nn.Conv1d(3, 4, 3, padding="same"),
    nn.Conv2d(3, 4, (3, 5), stride=2, padding_mode="reflect", padding=1),
    nn.MaxPool1d(2),
    nn.MaxPool2d(2, padding=1),
    nn.AvgPool1d(2),
    nn.AvgPool2d(2),
    nn.AdaptiveAvgPool2d(2),
    nn.BatchNorm1d(3, momentum=None),
    nn.BatchNorm2d(3, affine=False),
    nn.LayerNorm((3, 4)),
    nn.Dropout(0.2),
    nn.Dropout1d(0.2),
    nn.Dropout2d(0.2),
    nn.ReLU(),
    nn.ReLU6(),
    nn.LeakyReLU(0.3),
    nn.ELU(0.5),
    nn.SELU(),
    nn.SiLU(),
    nn.GELU("tanh"),
    nn.Sigmoid(),
    nn.Tanh(),
    nn.Softplus(2.0),
    nn.Softmax(1),
    nn.LogSoftmax(1),
    nn.Flatten(),
    nn.Identity(),
]


def describe(layer: nn.Module) -> LayerSpec:
    """What the sandbox would send for this layer."""
    kind = LAYER_KINDS[type(layer).__name__]
    arguments = {}
    for argument in kind.arguments:
        value = getattr(layer, argument.name)
        arguments[argument.name] = value is not None if argument.name == "bias" else value
    return LayerSpec(kind=kind.name, path="0", arguments=arguments)


@pytest.mark.parametrize("layer", EVERY_LAYER, ids=lambda layer: type(layer).__name__)
def test_every_layer_is_rebuilt_as_it_was(layer):
    """A layer that is described and rebuilt prints as the original does."""
    rebuilt = build_model(ModelSpec(layers=(describe(layer),)))[0]
    assert type(rebuilt) is type(layer)
    assert repr(rebuilt) == repr(layer)


def test_every_kind_is_covered():
    """The list above has every layer that the grader knows."""
    assert {type(layer).__name__ for layer in EVERY_LAYER} == set(LAYER_KINDS)


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(
    ("make", "shape"),
    [
        (lambda affine: nn.BatchNorm1d(3, affine=affine), (3,)),
        (lambda affine: nn.BatchNorm2d(3, affine=affine), (3, 4, 4)),
        (lambda affine: nn.LayerNorm((3, 4), elementwise_affine=affine), (3, 4)),
    ],
    ids=["BatchNorm1d", "BatchNorm2d", "LayerNorm"],
)
def test_normalisation_keeps_just_the_parameters_it_had(make, shape, bias, affine):
    """Without a bias it is counted, named and rebuilt so, whatever the constructor takes."""
    layer = make(affine)
    if not bias:
        layer.register_parameter("bias", None)
    spec = ModelSpec(layers=(describe(layer),))
    assert spec.layers[0].arguments["bias"] is (bias and affine)
    rebuilt = build_model(spec)
    assert repr(rebuilt[0]) == repr(layer)
    original = {f"0.{name}": parameter.shape for name, parameter in layer.named_parameters()}
    assert {name: parameter.shape for name, parameter in rebuilt.named_parameters()} == original
    assert parameter_names(spec) == list(original)
    assert spec.count_parameters() == sum(shape.numel() for shape in original.values())
    batch = torch.rand(2, *shape)
    assert torch.equal(rebuilt(batch), layer(batch))


def test_layers_are_never_in_place():
    """An in-place layer would overwrite the data set; the rebuilt one does not."""
    spec = ModelSpec(layers=(describe(nn.ReLU(inplace=True)),))
    assert build_model(spec)[0].inplace is False


def test_irregular_layer_is_refused():
    """A layer that is not what its class says cannot be rebuilt."""
    layers = (*mlp().layers[:1], replace(mlp().layers[1], irregularity="hook"))
    with pytest.raises(ModelError, match=r"layer 1 .*has a hook registered") as caught:
        build_model(ModelSpec(layers=layers))
    assert caught.value.layer_index == 1


@pytest.mark.parametrize("kind", ["Transformer", "Module", "functional", "__class__"])
def test_unknown_layer_is_refused(kind):
    """Only names in the table are looked up in torch.nn."""
    with pytest.raises(ModelError, match="not one that the grader knows"):
        build_model(ModelSpec(layers=(LayerSpec(kind=kind, path="0"),)))


def test_arguments_out_of_range_are_refused():
    """Arguments are held to the table's rules before PyTorch sees them."""
    with pytest.raises(ModelError, match=r"Dropout: p is 1\.5"):
        build_model(model(dropout(1.5)))


def test_arguments_that_pytorch_refuses():
    """What only PyTorch notices becomes a message about the layer."""
    kind, arguments = conv(3, 8)
    with pytest.raises(ModelError, match=r"Conv2d\(in_channels=3.*in_channels must be divisible"):
        build_model(model((kind, {**arguments, "groups": 2})))


def test_weights_are_loaded():
    """Set weights arrive in the model exactly."""
    original = build_model(mlp())
    encoded = safetensors.torch.save(original.state_dict())
    loaded = build_model(mlp())
    load_weights(loaded, encoded)
    for name, tensor in original.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop("1.bias"), "missing are 1.bias"),
        (lambda state: state.update(extra=torch.zeros(1)), "not in the model are extra"),
        (lambda state: state.update({"1.bias": torch.zeros(99)}), r"shape \(99,\)"),
        (lambda state: state.update({"1.bias": torch.zeros(100).double()}), "float64"),
        (lambda state: state["1.bias"].fill_(float("nan")), "1.bias has values that are not fin"),
        (lambda state: state["1.weight"].fill_(float("inf")), "1.weight has values that are not"),
    ],
)
def test_weights_that_do_not_fit_are_refused(change, message):
    """Names, shapes, types and values are all checked."""
    state = build_model(mlp()).state_dict()
    change(state)
    with pytest.raises(ModelError, match=message):
        load_weights(build_model(mlp()), safetensors.torch.save(state))


@pytest.mark.parametrize("encoded", [b"", b"\x00" * 7, b"\xff" * 100, b"not safetensors at all"])
def test_weights_that_are_no_safetensors(encoded):
    """Bytes of any other format are refused."""
    with pytest.raises(ModelError, match="cannot be read"):
        load_weights(build_model(mlp()), encoded)


def test_shapes_of_a_cnn():
    """Every layer's output shape, without the batch."""
    assert trace_shapes(cnn(), (1, 28, 28)) == (
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
        ([*[POOL] * 5], 4, "PyTorch says: ", "Make the layer fit"),
        (
            [("Flatten", {"start_dim": 0, "end_dim": -1})],
            0,
            "mixes the examples of a batch",
            "nn.Flatten() keeps it",
        ),
        ([("Softmax", {"dim": 7})], 0, "PyTorch says: Dimension out of range", "Make the layer"),
        ([FLATTEN, POOL], 1, "needs .channels, height, width.", "before Flatten"),
    ],
)
def test_layers_that_do_not_fit(layers, index, message, next_step):
    """A misfit names the layer, what it got, what it wants, and what to do."""
    with pytest.raises(ModelError, match=message) as caught:
        trace_shapes(model(*layers), (1, 28, 28))
    assert caught.value.layer_index == index
    assert next_step in caught.value.next_step


@pytest.mark.parametrize(
    "layers",
    [
        [FLATTEN, linear(784, 10_000_000)],
        [(conv(1, 4096)[0], {**conv(1, 4096)[1], "padding": 4096})],
        [conv(1, 8), ("AdaptiveAvgPool2d", {"output_size": 4096})],
    ],
)
def test_giants_are_refused_before_they_are_run(layers):
    """What a layer would allocate is bounded by arithmetic."""
    with pytest.raises(ModelError, match=r"grader (allows|builds)"):
        trace_shapes(model(*layers), (1, 28, 28))


@given(
    size=st.integers(1, 12),
    kernel=st.integers(1, 6),
    stride=st.integers(1, 4),
    padding=st.one_of(st.integers(0, 4), st.sampled_from(["same", "valid"])),
    dilation=st.integers(1, 3),
)
def test_convolution_arithmetic_agrees_with_pytorch(size, kernel, stride, padding, dilation):
    """A convolution is refused by arithmetic exactly where PyTorch would refuse it."""
    if padding == "same":
        stride = 1
    arguments = {
        **conv(1, 2, kernel)[1],
        "stride": stride,
        "padding": padding,
        "dilation": dilation,
    }
    spec = model(("Conv2d", arguments))
    try:
        with torch_warnings_ignored():
            expected = tuple(nn.Conv2d(**arguments)(torch.zeros(2, 1, size, size)).shape[1:])
    except RuntimeError:
        with pytest.raises(ModelError):
            trace_shapes(spec, (1, size, size))
    else:
        assert trace_shapes(spec, (1, size, size)) == (expected,)


def test_multiply_adds_of_known_layers():
    """Problem 3B's convolution: 28 x 28 x 8 outputs of 5 x 5 x 3 products each."""
    spec = model(conv(3, 8, 5), FLATTEN, linear(6272, 10))
    shapes = trace_shapes(spec, (3, 32, 32))
    assert count_multiply_adds(spec, shapes) == 28 * 28 * 8 * 75 + 6272 * 10
    assert count_activations(shapes) == 28 * 28 * 8 * 2 + 10


def test_multiply_adds_of_groups():
    """A grouped convolution sees only its group's channels."""
    spec = model(("Conv2d", {**conv(4, 8)[1], "groups": 4}))
    assert count_multiply_adds(spec, trace_shapes(spec, (4, 5, 5))) == 3 * 3 * 8 * 9
