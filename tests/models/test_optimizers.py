"""Building optimisers and schedulers from specs."""

import subprocess
import sys

import pytest
import torch

from grader.errors import ModelError
from grader.models.build import build_model
from grader.models.kinds import OPTIMIZER_KINDS
from grader.models.optimizers import (
    FUSED_OPTIMIZERS,
    build_optimizer,
    build_scheduler,
    join_parameters,
)
from grader.models.spec import OptimizerSpec, ParameterGroup, SchedulerSpec, default_optimizer
from tests.support.specs import FLATTEN, mlp, model, replace
from tests.support.training_samples import optimizer


@pytest.mark.parametrize("kind", OPTIMIZER_KINDS)
def test_every_optimizer_is_rebuilt(kind):
    """The optimiser has the class, the groups and the settings that were described."""
    groups = tuple(
        replace(optimizer(kind, mlp(), lr=rate).groups[0], parameters=names)
        for names, rate in ((("1.weight",), 0.1), (("1.bias", "3.weight"), 0.2))
    )
    built_model = build_model(mlp())
    built = build_optimizer(OptimizerSpec(kind=kind, groups=groups), built_model)
    assert type(built) is getattr(torch.optim, kind)
    for group, described in zip(built.param_groups, groups, strict=True):
        for name, value in described.settings.items():
            assert group[name] == value
    assert built.param_groups[1]["params"][0] is built_model[1].bias
    assert bool(built.param_groups[0].get("fused")) == (kind in FUSED_OPTIMIZERS)


@pytest.mark.parametrize("kind", OPTIMIZER_KINDS)
def test_joined_parameters(kind):
    """Steps over joined parameters are those over each; a group keeps its rate."""
    groups = tuple(
        replace(optimizer(kind, mlp(), lr=rate).groups[0], parameters=names)
        for names, rate in ((("1.weight", "1.bias"), 0.01), (("3.weight",), 0.02))
    )
    models = []
    for joins in (False, True):
        torch.manual_seed(1)
        built = build_model(mlp())
        chosen = build_optimizer(OptimizerSpec(kind=kind, groups=groups), built)
        for parameter in built.parameters():
            parameter.grad = torch.zeros_like(parameter)
        if joins:
            join_parameters(chosen)
        assert len(chosen.param_groups[0]["params"]) == (
            1 if joins and kind in FUSED_OPTIMIZERS and kind != "Adagrad" else 2
        )
        for _ in range(3):
            for parameter in built.parameters():
                parameter.grad += torch.rand_like(parameter)
            chosen.step()
        models.append(built)
    for each, joined in zip(*(built.parameters() for built in models), strict=True):
        torch.testing.assert_close(joined, each)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "LBFGS"}, "LBFGS is not one that the grader knows"),
        ({"kind": "Optimizer"}, "not one that the grader knows"),
        ({"groups": ()}, "no parameters to train"),
        ({"lr": -1.0}, "lr is -1.0"),
        ({"betas": (0.9, 1.0)}, "Adam cannot be built: Invalid beta"),
    ],
)
def test_optimizers_that_cannot_be_built(change, message):
    """Every mistake in an optimiser is a message about it."""
    spec = default_optimizer(mlp())
    group = spec.groups[0]
    if change.keys() & {"kind", "groups"}:
        spec = replace(spec, **change)
    else:
        settings = {**group.settings, **change}
        spec = replace(spec, groups=(replace(group, settings=settings),))
    with pytest.raises(ModelError, match=message):
        build_optimizer(spec, build_model(mlp()))


def test_model_without_parameters():
    """A model with nothing to train is told so."""
    spec = model(FLATTEN)
    empty = OptimizerSpec(
        kind="SGD",
        groups=(ParameterGroup(parameters=(), settings=optimizer("SGD", spec).groups[0].settings),),
    )
    with pytest.raises(ModelError, match="no parameters to train"):
        build_optimizer(empty, build_model(spec))


@pytest.mark.parametrize(
    ("kind", "arguments", "rates"),
    [
        ("StepLR", {"step_size": 2, "gamma": 0.1}, [1.0, 1.0, 0.1, 0.1]),
        ("MultiStepLR", {"milestones": (1, 3), "gamma": 0.1}, [1.0, 0.1, 0.1, 0.01]),
        ("ExponentialLR", {"gamma": 0.5}, [1.0, 0.5, 0.25, 0.125]),
        ("CosineAnnealingLR", {"T_max": 2, "eta_min": 0.0}, [1.0, 0.5, 0.0, 0.5]),
    ],
)
def test_every_scheduler_is_rebuilt(kind, arguments, rates):
    """The learning rate follows PyTorch's documented formula, epoch by epoch."""
    built = build_optimizer(optimizer("SGD", mlp(), lr=1.0), build_model(mlp()))
    scheduler = build_scheduler(SchedulerSpec(kind=kind, arguments=arguments), built)
    seen = []
    for _ in rates:
        seen.append(built.param_groups[0]["lr"])
        built.step()
        scheduler.step()
    assert seen == pytest.approx(rates, abs=1e-12)


@pytest.mark.parametrize(
    ("kind", "arguments", "message"),
    [
        ("LambdaLR", {}, "LambdaLR is not one that the grader knows"),
        ("StepLR", {"step_size": 0, "gamma": 0.1}, "step_size is 0"),
        ("ExponentialLR", {}, "lacks its argument gamma"),
    ],
)
def test_schedulers_that_cannot_be_built(kind, arguments, message):
    """Every mistake in a scheduler is a message about it."""
    built = build_optimizer(default_optimizer(mlp()), build_model(mlp()))
    with pytest.raises(ModelError, match=message):
        build_scheduler(SchedulerSpec(kind=kind, arguments=arguments), built)


def test_compiler_stays_unloaded():
    """Training never imports torch.compile's machinery, which would take seconds at each start."""
    script = """
import sys, torch
from grader.models.optimizers import build_scheduler
from grader.training.loop import train
from grader.training.data_sources.vision import TorchvisionDataset
from grader.training.datasets import Dataset
from grader.models.spec import SchedulerSpec
from tests.support.specs import mlp
from tests.support.training_samples import cnn, training_job
facts = TorchvisionDataset("MNIST").facts()
noise, labels = torch.zeros(40, 1, 28, 28, dtype=torch.uint8), torch.arange(40) % 10
data = Dataset(name="noise", sha256="", facts=facts, train_inputs=noise, train_targets=labels,
    test_inputs=noise, test_targets=labels)
scheduler = SchedulerSpec(kind="ExponentialLR", arguments={"gamma": 0.5})
train(training_job(cnn(0.5), scheduler=scheduler), data)
print("torch._dynamo" in sys.modules)
"""
    printed = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True
    ).stdout
    assert printed == "False\n"
