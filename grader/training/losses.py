"""The losses, computed: for one model, for a stack of models, and for the test set."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch.nn import functional

from grader.results import Metric
from grader.training.objectives import LossName

_ELEMENTWISE: dict[str, Callable[..., torch.Tensor]] = {
    "BCEWithLogitsLoss": functional.binary_cross_entropy_with_logits,
    "MSELoss": functional.mse_loss,
    "L1Loss": functional.l1_loss,
}


def mean_loss(loss: LossName, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Return the mean loss of a batch: a scalar.

    Args:
        loss: its name.
        outputs: (B, outputs) float32.
        targets: (B,) int64 classes, or (B, targets) float32.
    """
    if loss == "CrossEntropyLoss":
        return functional.cross_entropy(outputs, targets)
    return _ELEMENTWISE[loss](outputs, _as_numbers(targets))


def mean_loss_of_each(loss: LossName, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Return the mean loss of each model of a stack: (models,).

    Args:
        loss: its name.
        outputs: (models, B, outputs) float32.
        targets: (models, B) int64 or (models, B, targets) float32; (1, B) and (1, B, targets) if
            all models share their batch.
    """
    models = len(outputs)
    if loss == "CrossEntropyLoss":
        losses = functional.cross_entropy(
            outputs.flatten(0, 1), targets.expand(models, -1).flatten(), reduction="none"
        )  # (models * B,)
        return losses.view(models, -1).mean(1)
    numbers = _as_numbers(targets, dimensions=3).expand_as(outputs)
    return _ELEMENTWISE[loss](outputs, numbers, reduction="none").flatten(1).mean(1)


def _as_numbers(targets: torch.Tensor, dimensions: int = 2) -> torch.Tensor:
    """Return targets as float32, one column of them for classes 0 and 1."""
    return (targets if targets.ndim == dimensions else targets.unsqueeze(-1)).float()


def classify(
    loss: LossName, outputs: torch.Tensor, *, are_probabilities: bool
) -> tuple[torch.Tensor, torch.Tensor, int]:
    """Return the predicted classes, (N,) int64, the confidence in each, and the number of classes.

    Args:
        loss: of the classes.
        outputs: (N, outputs) float32.
        are_probabilities: the model ends in Softmax.
    """
    if loss == "BCEWithLogitsLoss":
        logits = outputs[:, 0]
        return (logits > 0).long(), logits.abs().sigmoid(), 2
    probabilities = outputs if are_probabilities else functional.softmax(outputs, dim=1)
    return outputs.argmax(1), probabilities.amax(1), outputs.shape[1]


def rmse(outputs: torch.Tensor, targets: torch.Tensor) -> tuple[float, float]:
    """Return the root-mean-square error over all numbers, and its standard error.

    The standard error is the delta method's: that of the mean of the examples' squared errors,
    divided by twice the root.

    Args:
        outputs: (N, targets) float32.
        targets: (N, targets) float32.
    """
    squares = (outputs.double() - targets.double()).square().mean(1)  # (N,)
    mean = float(squares.mean())
    if not 0 < mean < math.inf:
        return (Metric.RMSE.worst if mean else 0.0), 0.0
    root = math.sqrt(mean)
    deviation = float(squares.std(correction=0)) / math.sqrt(len(squares)) / (2 * root)
    return root, deviation if math.isfinite(deviation) else 0.0
