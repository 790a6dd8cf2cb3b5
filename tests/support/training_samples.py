"""Training jobs and data that several test modules share."""

from pathlib import Path

import torch

from grader.models.kinds import OPTIMIZER_KINDS
from grader.models.spec import (
    ArgumentValue,
    ModelSpec,
    OptimizerSpec,
    ParameterGroup,
    default_optimizer,
    parameter_names,
)
from grader.training.budget import Budget
from grader.training.datasets import Dataset, load_dataset
from grader.training.job import TrainingJob
from tests.support.specs import FLATTEN, RELU, linear, model

Layer = tuple[str, dict[str, ArgumentValue]]

SETTINGS: dict[str, ArgumentValue] = {
    "lr": 1e-3,
    "betas": (0.9, 0.999),
    "eps": 1e-8,
    "weight_decay": 1e-4,
    "momentum": 0.9,
    "dampening": 0.0,
    "nesterov": False,
    "maximize": False,
    "amsgrad": False,
    "momentum_decay": 4e-3,
    "decoupled_weight_decay": False,
    "lr_decay": 0.0,
    "initial_accumulator_value": 0.0,
    "rho": 0.9,
    "alpha": 0.99,
    "centered": False,
}
"""PyTorch's defaults, with some momentum and weight decay, for every optimiser."""


def conv(inputs: int, outputs: int, kernel: int = 3) -> Layer:
    return "Conv2d", {
        "in_channels": inputs,
        "out_channels": outputs,
        "kernel_size": kernel,
        "stride": 1,
        "padding": 0,
        "dilation": 1,
        "groups": 1,
        "bias": True,
        "padding_mode": "zeros",
    }


def batch_norm(features: int, dimensions: int = 2) -> Layer:
    return f"BatchNorm{dimensions}d", {
        "num_features": features,
        "eps": 1e-5,
        "momentum": 0.1,
        "affine": True,
        "track_running_stats": True,
        "bias": True,
    }


def dropout(probability: float) -> Layer:
    return "Dropout", {"p": probability, "inplace": False}


POOL: Layer = (
    "MaxPool2d",
    {"kernel_size": 2, "stride": 2, "padding": 0, "dilation": 1, "ceil_mode": False},
)


def cnn(probability: float = 0.0, *, normalized: bool = True) -> ModelSpec:
    """Two convolutions of 8 filters, as the course's sample has them."""

    def block(inputs: int) -> list[Layer]:
        norm = [batch_norm(8)] if normalized else []
        return [conv(inputs, 8), *norm, RELU, POOL, dropout(probability)]

    return model(*block(1), *block(8), FLATTEN, linear(200, 64), RELU, linear(64, 10))


def optimizer(kind: str, spec: ModelSpec, **settings: ArgumentValue) -> OptimizerSpec:
    """One group of all parameters."""
    chosen = {
        argument.name: settings.get(argument.name, SETTINGS[argument.name])
        for argument in OPTIMIZER_KINDS[kind].arguments
    }
    return OptimizerSpec(
        kind=kind,
        groups=(ParameterGroup(parameters=tuple(parameter_names(spec)), settings=chosen),),
    )


def training_job(spec: ModelSpec, **changes: object) -> TrainingJob:
    """Two epochs of Adam at batch size 32."""
    fields = {
        "model": spec,
        "optimizer": default_optimizer(spec),
        "scheduler": None,
        "epochs": 2,
        "batch_size": 32,
        "seed": 1,
        "dataset": "mnist-5k",
        "dataset_sha256": "data",
        "input_shape": (1, 28, 28),
        "stop_at_accuracy": None,
        "counted_epoch": "best",
    }
    return TrainingJob(**{**fields, **changes})  # type: ignore[arg-type]


def practice_set(cache_directory: Path, train_examples: int = 4000) -> Dataset:
    """The practice set, or some of it: real digits, every class among them."""
    full = load_dataset("mnist-5k", cache_directory=cache_directory)
    chosen = torch.randperm(4000, generator=torch.Generator().manual_seed(0))[:train_examples]
    return Dataset(
        name=full.name,
        sha256=full.sha256,
        facts=full.facts,
        train_inputs=full.train_inputs[chosen],
        train_targets=full.train_targets[chosen],
        test_inputs=full.test_inputs,
        test_targets=full.test_targets,
    )


def submit(pool, job, on_epoch=None, **limits: float):
    """Train a single job in a pool, and return its future run."""
    return pool.submit_stacked([job], [on_epoch], budget=Budget(**limits))[0]
