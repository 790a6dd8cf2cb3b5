"""Hints are given where something is surely unhelpful, and nowhere else."""

from __future__ import annotations

import pytest
import torch

from grader.grading.items.hints import (
    find_hints,
    hints_for_recipe,
    hints_from_notes,
    surest_advice,
)
from grader.models.questions import ImportNote
from grader.models.spec import (
    LayerSpec,
    ModelSpec,
    OptimizerSpec,
    ParameterGroup,
    SchedulerSpec,
    default_optimizer,
)
from grader.training.job import Normalization


def layer(kind: str, **arguments: object) -> LayerSpec:
    return LayerSpec(kind=kind, path="", arguments=arguments)


def model(*layers: LayerSpec) -> ModelSpec:
    return ModelSpec(
        layers=tuple(
            LayerSpec(kind=item.kind, path=str(index), arguments=item.arguments)
            for index, item in enumerate(layers)
        )
    )


def linear(inputs: int, outputs: int, *, bias: bool = True) -> LayerSpec:
    return layer("Linear", in_features=inputs, out_features=outputs, bias=bias)


def dropout(p: float) -> LayerSpec:
    return layer("Dropout", p=p, inplace=False)


RELU = layer("ReLU", inplace=False)
FLATTEN = layer("Flatten", start_dim=1, end_dim=-1)
IDENTITY = layer("Identity")
CONV = layer("Conv2d", in_channels=1, out_channels=4, bias=True)
CONV_WITHOUT_BIAS = layer("Conv2d", in_channels=1, out_channels=4, bias=False)
BATCH_NORM = layer("BatchNorm2d", num_features=4, affine=True)
POOL = layer("MaxPool2d", kernel_size=2, stride=2)
SOFTMAX = layer("Softmax", dim=1)


def ids(*layers: LayerSpec) -> list[str]:
    return [hint.id for hint in find_hints(model(*layers), "problem_2.py:14")]


@pytest.mark.parametrize(
    "layers",
    [
        (),
        (FLATTEN, linear(784, 100), RELU, dropout(0.2), linear(100, 10)),
        (
            *(CONV_WITHOUT_BIAS, BATCH_NORM, RELU, POOL, dropout(0.1)),
            *(CONV, RELU, POOL, FLATTEN, linear(64, 32), RELU, dropout(0.5), linear(32, 10)),
        ),
        (linear(784, 100), SOFTMAX, linear(100, 10)),
        (linear(784, 10), layer("LeakyReLU", negative_slope=0.01)),
        (linear(784, 1), layer("Sigmoid")),
        # These Flatten layers do change the shape.
        (layer("Flatten", start_dim=2, end_dim=-1), FLATTEN, linear(784, 10)),
        (FLATTEN, layer("Conv1d", in_channels=1, out_channels=2, bias=True), FLATTEN),
    ],
)
def test_ordinary_model(layers):
    """Usual models, with Dropout, BatchNorm and inner softmax, stay uncommented."""
    assert ids(*layers) == []


@pytest.mark.parametrize(
    ("layers", "hint"),
    [
        ((linear(784, 10), SOFTMAX), "softmax-before-cross-entropy"),
        ((linear(784, 10), SOFTMAX, IDENTITY), "softmax-before-cross-entropy"),
        ((linear(784, 10), layer("LogSoftmax", dim=-1)), "log-softmax-before-cross-entropy"),
        ((linear(9, 9), layer("Softmax", dim=0), linear(9, 9)), "softmax-over-batch"),
        ((linear(784, 10), layer("LogSoftmax", dim=0)), "softmax-over-batch"),
        ((linear(784, 10), layer("Sigmoid")), "activation-before-cross-entropy"),
        ((linear(784, 10), RELU, IDENTITY), "activation-before-cross-entropy"),
        ((linear(784, 100), linear(100, 10)), "no-activation"),
        ((linear(9, 9), dropout(0.2), IDENTITY, linear(9, 9)), "no-activation"),
        ((linear(9, 9), RELU, linear(9, 9), FLATTEN, linear(9, 9)), "linear-after-linear"),
        ((linear(784, 10), dropout(0.2)), "dropout-of-outputs"),
        ((linear(784, 9), RELU, dropout(1.0), linear(9, 10)), "dropout-of-everything"),
        ((linear(784, 9), RELU, dropout(0.0), linear(9, 10)), "dropout-of-nothing"),
        ((CONV, RELU, BATCH_NORM), "batch-norm-after-activation"),
        ((CONV, BATCH_NORM, RELU, FLATTEN), "bias-before-batch-norm"),
        ((CONV, IDENTITY, BATCH_NORM, RELU, FLATTEN), "bias-before-batch-norm"),
        ((FLATTEN, linear(784, 9), RELU, FLATTEN, linear(9, 10)), "flatten-of-flat"),
        ((FLATTEN, FLATTEN, linear(784, 10)), "flatten-of-flat"),
    ],
)
def test_one_hint_each(layers, hint):
    """A model with one unhelpful pattern gets one hint, at its place, with a reason."""
    (found,) = find_hints(model(*layers), "problem_2.py:14")
    assert found.id == hint
    assert found.location == "problem_2.py:14"
    assert found.message
    assert found.reason


def test_layers_are_named():
    """A student finds the layer by its index and kind."""
    (hint,) = find_hints(model(FLATTEN, linear(784, 100), linear(100, 10)), "")
    assert hint.message == "put an activation between layer 1 (Linear) and layer 2 (Linear)"


@pytest.mark.parametrize(
    ("output", "lowest", "formula"),
    [
        (SOFTMAX, 0, "ln(1 + 9/e)"),
        (layer("Sigmoid"), 0, "ln(1 + 9/e)"),
        (layer("Tanh"), -1, "ln(1 + 9/e²)"),
    ],
)
def test_least_loss_after_an_activation(output, lowest, formula):
    """The bound in the reason is the cross entropy of the best output."""
    (hint,) = find_hints(model(linear(784, 10), output), "")
    best = torch.full((10, 10), float(lowest)).fill_diagonal_(1)
    loss = torch.nn.functional.cross_entropy(best, torch.arange(10)).item()
    assert f"{formula} = {loss:.2f}." in hint.reason


def test_untrained_model():
    """A truth table's network is not trained, so hints on its outputs are out of place."""
    layers = (linear(2, 2), RELU, linear(2, 2), dropout(0.5), RELU)
    assert find_hints(model(*layers), "", loss=None) == ()


def test_refused_layers():
    """No hint says how to use a layer better that the assignment does not allow."""
    layers = (linear(784, 9), RELU, layer("BatchNorm1d"), linear(9, 10))
    assert ids(*layers) == ["batch-norm-after-activation"]
    assert find_hints(model(*layers), "", refused=["BatchNorm1d"]) == ()


def test_surest_advice():
    """The surest cause comes first; a hint on taste explains no failure."""
    layers = (linear(784, 9), RELU, linear(9, 10), SOFTMAX)
    adam = optimizer("Adam", lr=0.5, weight_decay=0.0)
    hints = (*find_hints(model(*layers), ""), *hints_for_recipe(adam, None, 10, ""))
    assert (
        surest_advice(hints, diverged=False)
        == "lower the learning rate of Adam from 0.5: 0.001 is usual"
    )
    assert surest_advice(hints[:1], diverged=False).startswith("remove layer 3 (Softmax)")
    assert surest_advice(hints[:1], diverged=True) == ""
    tasteful = find_hints(model(CONV, RELU, BATCH_NORM), "")
    assert surest_advice(tasteful, diverged=False) == ""


def test_final_log_softmax():
    """Cross entropy with and without it is the same."""
    scores = torch.randn(8, 10, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(8)
    cross_entropy = torch.nn.functional.cross_entropy
    assert torch.allclose(
        cross_entropy(scores, labels), cross_entropy(scores.log_softmax(1), labels)
    )


def test_bias_before_batch_norm():
    """The output of Conv2d and BatchNorm2d is the same for another bias."""
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3, padding=1), torch.nn.BatchNorm2d(4))
    images = torch.rand(8, 1, 6, 6)
    before = network(images)
    with torch.no_grad():
        network[0].bias += 3.0
    assert torch.allclose(before, network(images), atol=1e-4)


def optimizer(kind: str, *, parameters: tuple[str, ...] = ("0.weight",), **settings: object):
    return OptimizerSpec(
        kind=kind, groups=(ParameterGroup(parameters=parameters, settings=settings),)
    )


def test_default_recipe():
    """Adam at 0.001 without weight decay is fine."""
    assert (
        hints_for_recipe(default_optimizer(model(linear(784, 10))), None, 10, "problem_2.py:14")
        == ()
    )


@pytest.mark.parametrize(
    "usual",
    [
        optimizer("SGD", lr=0.5, momentum=0.9, weight_decay=5e-4),
        optimizer("Adam", lr=0.1, weight_decay=1e-4),
        optimizer("AdamW", lr=0.001, weight_decay=0.05),
        optimizer("NAdam", lr=0.002, weight_decay=0.05, decoupled_weight_decay=True),
        optimizer("Adadelta", lr=1.0),
    ],
    ids=lambda spec: spec.kind,
)
def test_usual_settings(usual):
    """High rates are usual for SGD and Adadelta, and strong decay where it is decoupled."""
    assert hints_for_recipe(usual, None, 10, "") == ()


@pytest.mark.parametrize(
    ("odd", "hint", "message"),
    [
        (optimizer("SGD", lr=0.0), "learning-rate-zero", "raise the learning rate of SGD from 0"),
        (
            optimizer("SGD", lr=1e-5),
            "learning-rate-low",
            "raise the learning rate of SGD from 1e-05: 0.01 is usual",
        ),
        (
            optimizer("Adam", lr=1e-6),
            "learning-rate-low",
            "raise the learning rate of Adam from 1e-06: 0.001 is usual",
        ),
        (
            optimizer("SGD", lr=10.0),
            "learning-rate-high",
            "lower the learning rate of SGD from 10: 0.01 is usual",
        ),
        (
            optimizer("Adam", lr=0.5, weight_decay=0.0),
            "learning-rate-high",
            "lower the learning rate of Adam from 0.5: 0.001 is usual",
        ),
        (
            optimizer("Adam", lr=0.001, weight_decay=0.1),
            "weight-decay-in-adam",
            "Adam has weight_decay=0.1, which is a strong penalty here: try 0.0001, or AdamW",
        ),
    ],
)
def test_odd_settings(odd, hint, message):
    """The hint names the optimiser, the setting and its value."""
    (found,) = hints_for_recipe(odd, None, 10, "problem_2.py:20")
    assert (found.id, found.message, found.location) == (hint, message, "problem_2.py:20")


@pytest.mark.parametrize(
    ("mean", "std", "hints"),
    [
        (0.1307, 0.3081, []),
        (0.0, 1 / 255, []),
        (33.3, 78.6, ["normalization-of-bytes"]),
        (0.5, 1e-4, ["normalization-extreme"]),
    ],
)
def test_odd_normalization(mean, std, hints):
    """A mean that is meant for pixels from 0 to 255 gets a hint."""
    normalization = Normalization(mean=(mean,), std=(std,))
    adam = default_optimizer(model(linear(784, 10)))
    found = hints_for_recipe(adam, None, 10, "", normalization)
    assert [hint.id for hint in found] == hints


def test_odd_group_is_named():
    """With several parameter groups the hint says whose setting it is."""
    spec = OptimizerSpec(
        kind="Adam",
        groups=(
            ParameterGroup(parameters=("0.weight", "0.bias"), settings={"lr": 0.0}),
            ParameterGroup(parameters=("2.weight",), settings={"lr": 0.001}),
        ),
    )
    (hint,) = hints_for_recipe(spec, None, 10, "")
    assert hint.message == "raise the learning rate of Adam from 0 for 0.weight, 0.bias"


@pytest.mark.parametrize(
    ("kind", "arguments", "hints"),
    [
        ("StepLR", {"step_size": 10, "gamma": 0.1}, ["scheduler-idle"]),
        ("StepLR", {"step_size": 9, "gamma": 0.1}, []),
        ("ExponentialLR", {"gamma": 0.0}, ["scheduler-to-zero"]),
        ("MultiStepLR", {"milestones": (12, 20), "gamma": 0.1}, ["scheduler-idle"]),
        ("MultiStepLR", {"milestones": (5, 20), "gamma": 0.1}, []),
        ("CosineAnnealingLR", {"T_max": 5, "eta_min": 0.0}, ["scheduler-restarts"]),
        ("CosineAnnealingLR", {"T_max": 9, "eta_min": 0.0}, []),
        ("CosineAnnealingLR", {"T_max": 10, "eta_min": 0.0}, []),
        ("ExponentialLR", {"gamma": 0.9}, []),
    ],
)
def test_scheduler(kind, arguments, hints):
    """Ten epochs of torch's own scheduler decide, with one step after each."""
    parameter = torch.nn.Parameter(torch.zeros(1))
    live_optimizer = torch.optim.SGD([parameter], lr=1.0)
    live = getattr(torch.optim.lr_scheduler, kind)(live_optimizer, **arguments)
    rates = []
    for _ in range(10):
        rates.append(live_optimizer.param_groups[0]["lr"])
        live_optimizer.step()
        live.step()
    assert ("scheduler-idle" in hints) == (len(set(rates)) == 1)
    assert ("scheduler-restarts" in hints) == (sorted(rates, reverse=True) != rates)
    found = hints_for_recipe(
        optimizer("SGD", lr=1.0), SchedulerSpec(kind=kind, arguments=arguments), 10, ""
    )
    assert [hint.id for hint in found] == hints


@pytest.mark.parametrize(
    ("note", "message", "advice"),
    [
        (
            ImportNote(kind="training", location="problem_2.py:40", detail="loss.backward()"),
            "problem_2.py trains a model while it is imported: loss.backward()",
            "__main__",
        ),
        (
            ImportNote(kind="dataset", location="problem_2.py:5", detail="MNIST(...)"),
            "problem_2.py loads a data set while it is imported: MNIST(...)",
            "__main__",
        ),
        (
            ImportNote(kind="shadow", location="torch.py:1", detail="torch"),
            "torch.py hides a module that has the same name: torch",
            "Rename the file",
        ),
    ],
)
def test_import_notes(note, message, advice):
    """Each kind of note says what happens, where, and what to do about it."""
    (hint,) = hints_from_notes((note,))
    assert hint.message == message
    assert hint.location == note.location
    assert advice in hint.reason


def test_no_notes():
    """A file that only defines functions gets none."""
    assert hints_from_notes(()) == ()
