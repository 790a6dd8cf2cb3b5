"""Every constraint accepts what it should and names what breaks it."""

from __future__ import annotations

import pytest

from grader.assignment.constraints import (
    _REMEDIES,
    AllowedLayers,
    Constraint,
    ExactLinearLayers,
    FewerParametersThan,
    MaxDepth,
    MaxHiddenUnits,
    MaxKernelSize,
    MaxMultiplyAdds,
    MaxParameters,
    MinHiddenLayers,
    MinLayers,
    RequiredLayer,
    check_ordinary_layers,
    name_layer,
)
from grader.errors import ModelError
from grader.models.digest import digest_of
from grader.models.kinds import IRREGULARITIES
from grader.models.spec import LayerSpec, ModelSpec
from grader.results import CheckResult, Outcome
from grader.text import did_you_mean


def layer(kind: str, **arguments: object) -> LayerSpec:
    return LayerSpec(kind=kind, path="", arguments=arguments)


def linear(inputs: int, outputs: int) -> LayerSpec:
    return layer("Linear", in_features=inputs, out_features=outputs, bias=True)


def model(*layers: LayerSpec) -> ModelSpec:
    numbered = (
        LayerSpec(
            kind=item.kind,
            path=item.path or str(index),
            arguments=item.arguments,
            irregularity=item.irregularity,
            irregularity_detail=item.irregularity_detail,
        )
        for index, item in enumerate(layers)
    )
    return ModelSpec(layers=tuple(numbered))


def told(check: CheckResult) -> tuple[str, str, str]:
    return check.observed, check.expected, check.next_step


RELU = layer("ReLU", inplace=False)
DROPOUT = layer("Dropout", p=0.2, inplace=False)
GOOD = model(linear(784, 60), RELU, DROPOUT, linear(60, 40), RELU, linear(40, 10))
"""2 hidden layers, 100 hidden units, 47,100 + 2,440 + 410 = 49,950 parameters."""

CONSTRAINTS: tuple[Constraint, ...] = (
    AllowedLayers(kinds=("Linear", "ReLU", "Dropout")),
    MaxHiddenUnits(units=100),
    MinHiddenLayers(layers=2),
    ExactLinearLayers(layers=3),
    MaxParameters(parameters=49_950),
    FewerParametersThan(parameters=49_951),
    RequiredLayer(kind="Dropout"),
    MinLayers(kinds=("ReLU", "Tanh"), layers=2),
    MaxDepth(layers=3),
    MaxKernelSize(size=1),
)


@pytest.mark.parametrize("constraint", CONSTRAINTS, ids=lambda constraint: constraint.id)
def test_at_the_limit_passes(constraint):
    """Each constraint passes at its very limit, asks for nothing, and is itself well-formed."""
    check = constraint.check(GOOD)
    assert check.outcome is Outcome.PASSED
    assert check.id == constraint.id
    assert check.next_step == ""
    assert check.observed
    assert check.expected
    assert constraint.mistakes() == []


@pytest.mark.parametrize(
    ("breaking", "broken"),
    [
        (
            model(linear(784, 60), layer("Tanh"), DROPOUT, linear(60, 40), RELU, linear(40, 10)),
            "allowed-layers",
        ),
        (
            # One unit more, and inputs fewer, so that the parameters stay within their cap.
            model(linear(700, 61), RELU, DROPOUT, linear(61, 40), RELU, linear(40, 10)),
            "max-hidden-units",
        ),
        (
            model(linear(784, 60), RELU, linear(60, 40), RELU, linear(40, 10)),
            "required-layer-dropout",
        ),
    ],
)
def test_breaks_only_one(breaking, broken):
    """A model that breaks one constraint passes the others."""
    failed = [
        constraint.id
        for constraint in CONSTRAINTS
        if constraint.check(breaking).outcome is Outcome.FAILED
    ]
    assert failed == [broken]


def test_forbidden_layer_named():
    """The failure gives index, kind, the allowed kinds, and a layer to use instead."""
    check = AllowedLayers(kinds=("Linear", "ReLU")).check(
        model(linear(784, 10), layer("Tanh"), linear(10, 10))
    )
    assert check.outcome is Outcome.FAILED
    assert told(check) == (
        "not allowed: layer 1 (Tanh)",
        "only Linear, ReLU",
        "use ReLU instead of Tanh, or remove it",
    )


@pytest.mark.parametrize(
    ("kind", "next_step"),
    [
        ("LogSoftmax", "use Softmax instead of LogSoftmax, or remove it"),
        ("AvgPool2d", "use MaxPool2d instead of AvgPool2d, or remove it"),
        ("Identity", "remove Identity: nothing like it is allowed"),
        ("Swish", "build Swish from the allowed layers, or remove it"),
    ],
)
def test_replacement_is_allowed(kind, next_step):
    """A layer of the same family is proposed; if none is allowed, the layer has to go."""
    check = AllowedLayers(kinds=("Linear", "Softmax", "MaxPool2d")).check(
        model(layer(kind), linear(9, 9))
    )
    assert check.next_step == next_step


@pytest.mark.parametrize(
    ("layers", "next_step"),
    [
        ([layer("Sigmoid")], "remove layer 1 (Sigmoid): cross entropy expects scores"),
        ([layer("LogSoftmax")], "remove layer 1 (LogSoftmax): cross entropy expects scores"),
        (
            [layer("Sigmoid"), linear(10, 10), layer("Sigmoid")],
            "remove layer 3 (Sigmoid): cross entropy expects scores; use ReLU instead of Sigmoid",
        ),
        (
            [layer("Sigmoid"), layer("Identity")],
            "remove layer 1 (Sigmoid): cross entropy expects scores; remove Identity",
        ),
    ],
)
def test_forbidden_output(layers, next_step):
    """An activation of the scores has to go; no other one is offered in its place."""
    allowed = AllowedLayers(kinds=("Linear", "ReLU", "Softmax"))
    check = allowed.check(model(linear(784, 10), *layers))
    assert check.next_step.startswith(next_step)


def test_forbidden_output_of_a_single_number():
    """A network of one output is no classifier, so nothing is said of cross entropy."""
    check = AllowedLayers(kinds=("Linear", "ReLU")).check(model(linear(2, 1), layer("Sigmoid")))
    assert check.next_step == "use ReLU instead of Sigmoid, or remove it"


def test_many_forbidden_layers():
    """Past six layers the rest are counted, and each kind's next step is given once."""
    check = AllowedLayers(kinds=("Linear",)).check(model(*[layer("Tanh")] * 8, linear(9, 9)))
    assert check.observed.endswith("layer 5 (Tanh) and 2 more")
    assert check.next_step == "remove Tanh: nothing like it is allowed"


def test_nested_layer_path():
    """In a nested Sequential the index alone would not lead to the layer."""
    nested = LayerSpec(kind="Tanh", path="features.1")
    assert name_layer(3, nested) == 'layer 3 (Tanh, "features.1" in your model)'
    assert name_layer(3, LayerSpec(kind="Tanh", path="3")) == "layer 3 (Tanh)"


def test_hidden_units_added():
    """The failure shows the sum, by how much it is too large, and where the units are."""
    check = MaxHiddenUnits(units=200).check(
        model(linear(784, 300), RELU, linear(300, 200), RELU, linear(200, 10))
    )
    assert check.outcome is Outcome.FAILED
    assert told(check) == (
        "the hidden layers have 300 + 200 = 500 units",
        "at most 200 (out_features of every Linear but the last)",
        "remove at least 300, from layer 0 (Linear) with 300 and layer 2 (Linear) with 200",
    )


@pytest.mark.parametrize(
    ("layers", "observed"),
    [
        ((), "no hidden layer, so 0 hidden units"),
        ((linear(2, 1),), "no hidden layer, so 0 hidden units"),
        ((linear(2, 1), RELU, linear(1, 1)), "the hidden layer has 1 unit"),
    ],
)
def test_hidden_units_in_words(layers, observed):
    """The last Linear counts for nothing, and one unit is singular."""
    check = MaxHiddenUnits(units=1).check(model(*layers))
    assert check.outcome is Outcome.PASSED
    assert check.observed == observed


def test_few_hidden_layers():
    """The failure says why two Linear layers are one hidden layer."""
    check = MinHiddenLayers(layers=3).check(model(linear(784, 10), RELU, linear(10, 10)))
    assert check.outcome is Outcome.FAILED
    assert told(check) == (
        "2 Linear layers, so 1 hidden layer: the last Linear gives the outputs",
        "at least 3 hidden layers",
        "add 2 Linear layers, each with an activation behind it, before the last Linear",
    )


def test_no_linear_layers():
    """Without any Linear there is no last one to leave out."""
    check = MinHiddenLayers(layers=1).check(model(RELU))
    assert check.observed.startswith("0 Linear layers, so 0 hidden layers")
    assert check.next_step.startswith("add 2 Linear layers")


@pytest.mark.parametrize(
    ("layers", "observed", "next_step"),
    [
        (
            (linear(2, 2), RELU, linear(2, 2), RELU, linear(2, 1)),
            "3 Linear layers: layer 0 (Linear), layer 2 (Linear) and layer 4 (Linear)",
            "remove 1 Linear layer",
        ),
        ((linear(2, 1),), "1 Linear layer: layer 0 (Linear)", "add 1 Linear layer"),
        ((), "0 Linear layers", "add 2 Linear layers"),
    ],
)
def test_linear_layers_exact(layers, observed, next_step):
    """Superfluous layers are to be removed, missing ones to be added."""
    check = ExactLinearLayers(layers=2).check(model(*layers))
    assert check.outcome is Outcome.FAILED
    assert told(check) == (observed, "exactly 2 Linear layers", next_step)


def test_at_most_and_fewer_than():
    """As many parameters as the cap pass the one and fail the other."""
    assert MaxParameters(parameters=49_950).check(GOOD).outcome is Outcome.PASSED
    check = FewerParametersThan(parameters=49_950).check(GOOD)
    assert check.outcome is Outcome.FAILED
    assert check.expected == "fewer than 49,950 parameters"
    assert check.next_step.startswith("remove at least 1;")


def test_largest_layers_named():
    """The failure names the layers with the most, largest first, and none without any."""
    check = MaxParameters(parameters=40_000).check(GOOD)
    assert check.outcome is Outcome.FAILED
    assert told(check) == (
        "49,950 parameters",
        "at most 40,000 parameters",
        (
            "remove at least 9,950; the layers with the most are layer 0 (Linear) with 47,100, "
            "layer 3 (Linear) with 2,440 and layer 5 (Linear) with 410"
        ),
    )


def test_required_layer_counted():
    """One of two is not enough, and the layer that is there is named."""
    check = RequiredLayer(kind="Dropout", at_least=2).check(GOOD)
    assert check.outcome is Outcome.FAILED
    assert told(check) == (
        "1 Dropout layer: layer 2 (Dropout)",
        "at least 2 Dropout layers",
        "add 1 nn.Dropout layer, for example before the last Linear",
    )


def test_required_layer_ids():
    """An item can require several kinds without their checks colliding."""
    assert RequiredLayer(kind="Dropout").id != RequiredLayer(kind="BatchNorm2d").id


@pytest.mark.parametrize("code", sorted(IRREGULARITIES))
def test_irregular_layers_fail(code):
    """An ordinary model with one layer of each irregularity fails by that layer's name."""
    odd = LayerSpec(
        kind="ReLU", path="head.act", irregularity=code, irregularity_detail="forward hook"
    )
    check = check_ordinary_layers(model(linear(784, 10), odd, linear(10, 10)))
    assert check.id == "ordinary-layers"
    assert check.outcome is Outcome.FAILED
    assert check.observed == (
        f'layer 1 (ReLU, "head.act" in your model) {IRREGULARITIES[code]} (forward hook)'
    )
    assert check.next_step == _REMEDIES[code]


def test_irregularities_have_remedies():
    """No code can be added to the table without saying what to do about it."""
    assert set(_REMEDIES) == set(IRREGULARITIES)


def test_ordinary_layers_pass():
    """A model of plain torch.nn layers passes, and so does an empty one."""
    assert check_ordinary_layers(GOOD).outcome is Outcome.PASSED
    assert check_ordinary_layers(model()).outcome is Outcome.PASSED


@pytest.mark.parametrize("constraint", [MaxHiddenUnits(units=9), MaxParameters(parameters=9)])
def test_layer_without_sizes(constraint):
    """A layer that the sandbox could not describe is an error, never a pass."""
    with pytest.raises(ModelError, match="Linear needs an integer out_features"):
        constraint.check(model(layer("Linear"), linear(2, 1)))


@pytest.mark.parametrize(
    ("constraint", "mistake"),
    [
        (AllowedLayers(kinds=()), "kinds: must name at least one layer kind"),
        (
            AllowedLayers(kinds=("Linear", "relu")),
            "kinds: 'relu' is not a layer that this grader knows; did you mean 'ReLU'?",
        ),
        (
            AllowedLayers(kinds=("Linear", "Transformer")),
            "kinds: 'Transformer' is not a layer that this grader knows",
        ),
        (MaxHiddenUnits(units=-1), "units: must be at least 0, got -1"),
        (MinHiddenLayers(layers=-1), "layers: must be at least 0, got -1"),
        (ExactLinearLayers(layers=0), "layers: must be at least 1, got 0"),
        (MaxParameters(parameters=-5), "parameters: must be at least 0, got -5"),
        (FewerParametersThan(parameters=0), "parameters: must be at least 1, got 0"),
        (
            RequiredLayer(kind="Droput"),
            "kind: 'Droput' is not a layer that this grader knows; did you mean 'Dropout'?",
        ),
        (
            RequiredLayer(kind="Dropout", at_least=0),
            "at_least: must be at least 1, got 0",
        ),
    ],
)
def test_own_mistakes(constraint, mistake):
    """An author reads which field is wrong, and what was probably meant."""
    assert constraint.mistakes() == [mistake]


def test_suggestion():
    """A near miss is suggested as it is spelt; nonsense gets no suggestion."""
    known = ["BatchNorm1d", "BatchNorm2d"]
    assert did_you_mean("batchnorm2D", known) == "; did you mean 'BatchNorm2d'?"
    assert did_you_mean("xyz", known) == ""


def test_digests_differ():
    """An assignment's digest changes when "at most" becomes "fewer than"."""
    assert digest_of(MaxParameters(parameters=5)) != digest_of(FewerParametersThan(parameters=5))
    assert digest_of(MinHiddenLayers(layers=2)) != digest_of(ExactLinearLayers(layers=2))


CONVOLUTION = layer(
    "Conv2d", in_channels=1, out_channels=4, kernel_size=(3, 5), stride=(1, 1), padding=(0, 0),
    dilation=(1, 1), groups=1, bias=True, padding_mode="zeros",
)  # fmt: skip


def test_convolutions_counted():
    """Layers of several kinds, depth and kernels are counted, and the first excess is named."""
    deep = model(CONVOLUTION, RELU, CONVOLUTION, layer("Flatten"), linear(8, 10))
    assert told(MinLayers(kinds=("Conv2d", "Conv1d"), layers=3).check(deep)) == (
        "2 layers: layer 0 (Conv2d) and layer 2 (Conv2d)",
        "at least 3 layers of Conv2d or Conv1d",
        "add 1 layer of Conv2d or Conv1d",
    )
    assert MaxDepth(layers=2).check(deep).next_step == "remove 1 layer"
    assert MaxDepth(layers=3).check(deep).outcome is Outcome.PASSED
    assert MaxKernelSize(size=5).check(deep).outcome is Outcome.PASSED
    kernels = MaxKernelSize(size=4).check(model(CONVOLUTION, RELU, linear(8, 10)))
    assert kernels.observed == "layer 0 (Conv2d) with 3 x 5"


def test_multiply_adds():
    """They follow from the shape of the input: 4 kernels of 15 weights at 26 x 24 places."""
    small = model(CONVOLUTION, layer("Flatten", start_dim=1, end_dim=-1), linear(2496, 10))
    needed = 4 * 15 * 26 * 24 + 24_960
    check = MaxMultiplyAdds(multiply_adds=needed).check_at(small, (1, 28, 28))
    assert check.outcome is Outcome.PASSED
    assert check.observed == f"{needed:,} multiply-adds for one example"
    check = MaxMultiplyAdds(multiply_adds=needed - 1).check_at(small, (1, 28, 28))
    assert check.outcome is Outcome.FAILED
    assert check.next_step == "make layer 0 (Conv2d) smaller, or pool before it"
