"""Building models from specs."""

import pytest
import safetensors.torch
import torch
from torch import nn

from grader.errors import ModelError
from grader.models.build import (
    build_model,
    load_weights,
)
from grader.models.kinds import LAYER_KINDS
from grader.models.spec import LayerSpec, ModelSpec, parameter_names
from tests.support.specs import mlp, model, replace
from tests.support.training_samples import conv, dropout

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
    nn.AdaptiveAvgPool1d(2),
    nn.AdaptiveMaxPool1d(2),
    nn.AdaptiveMaxPool2d((2, 1)),
    nn.ConvTranspose2d(3, 4, 3, stride=2, output_padding=1),
    nn.ZeroPad2d((1, 0, 2, 1)),
    nn.InstanceNorm1d(3, affine=True),
    nn.InstanceNorm2d(3),
    nn.GroupNorm(3, 6),
    nn.RMSNorm((3, 4)),
    nn.LocalResponseNorm(2),
    nn.AlphaDropout(0.2),
    nn.PReLU(3, init=0.3),
    nn.CELU(0.5),
    nn.Mish(),
    nn.Hardswish(),
    nn.Hardsigmoid(),
    nn.Hardtanh(-2.0, 2.0),
    nn.Softsign(),
    nn.LogSigmoid(),
    nn.Unflatten(1, (1, 28, 28)),
]


def describe(layer: nn.Module) -> LayerSpec:
    """Return the sandbox's description of this layer."""
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
def test_parameters_of_normalisation(make, shape, bias, affine):
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


def test_arguments_out_of_range():
    """Arguments are held to the table's rules before PyTorch sees them."""
    with pytest.raises(ModelError, match=r"Dropout: p is 1\.5"):
        build_model(model(dropout(1.5)))


def test_arguments_that_pytorch_refuses():
    """A mistake that only PyTorch notices becomes a message about the layer."""
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
def test_weights_that_do_not_fit(change, message):
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
