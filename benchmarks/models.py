"""The two networks that are measured, as a student writes them and as the grader trains them."""

from __future__ import annotations

from torch import nn

from grader.models.kinds import LAYER_KINDS
from grader.models.spec import LayerSpec, ModelSpec, default_optimizer
from grader.training.job import TrainingJob


def mlp() -> nn.Sequential:
    """784-100-10."""
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 100), nn.ReLU(), nn.Linear(100, 10))


def cnn() -> nn.Sequential:
    """Two convolutions of 8 filters, with batch norm and dropout."""
    return nn.Sequential(
        nn.Conv2d(1, 8, kernel_size=3),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Dropout(0.1),
        nn.Conv2d(8, 8, kernel_size=3),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Dropout(0.1),
        nn.Flatten(),
        nn.Linear(200, 64),
        nn.ReLU(),
        nn.Linear(64, 10),
    )


MODELS = {"mlp": mlp, "cnn": cnn}


def describe(model: nn.Sequential) -> ModelSpec:
    """The model as data."""
    layers = []
    for path, layer in model.named_children():
        kind = LAYER_KINDS[type(layer).__name__]
        arguments = {
            argument.name: getattr(layer, argument.name) is not None
            if argument.name == "bias"
            else getattr(layer, argument.name)
            for argument in kind.arguments
        }
        layers.append(LayerSpec(kind=kind.name, path=path, arguments=arguments))
    return ModelSpec(layers=tuple(layers))


def training_job(name: str, *, seed: int = 0, epochs: int = 1) -> TrainingJob:
    """Return the course loop as a job: Adam at 1e-3, batch size 32."""
    spec = describe(MODELS[name]())
    return TrainingJob(
        model=spec,
        optimizer=default_optimizer(spec),
        scheduler=None,
        epochs=epochs,
        batch_size=32,
        seed=seed,
        dataset="mnist",
        dataset_sha256="",
        input_shape=(1, 28, 28),
        stop_at_accuracy=None,
        counted_epoch="final",
    )
