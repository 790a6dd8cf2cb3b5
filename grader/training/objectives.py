"""The objective of a training: its loss, the outputs that the loss needs, and the metric.

Nothing here needs torch; `grader.training.losses` computes.
"""

from __future__ import annotations

from typing import Literal

from grader.results import Metric
from grader.training.data_sources.interface import DataFacts

LossName = Literal["CrossEntropyLoss", "BCEWithLogitsLoss", "MSELoss", "L1Loss"]
"""The losses that an author can choose, by their names in `torch.nn`."""

_OF_NUMBERS = frozenset({"MSELoss", "L1Loss"})


def metric_of(loss: LossName) -> Metric:
    """Return what is measured on the test set of a model with this loss."""
    return Metric.RMSE if loss in _OF_NUMBERS else Metric.ACCURACY


def count_outputs(loss: LossName, facts: DataFacts) -> int:
    """Return the number of outputs that a model must have for one example."""
    return 1 if loss == "BCEWithLogitsLoss" else facts.outputs


def find_loss_misfit(loss: LossName, facts: DataFacts, name: str) -> str:
    """Return why a loss cannot be computed for the data set `name`, or ""."""
    if loss in _OF_NUMBERS and facts.classes is not None:
        return f"{loss} is for numbers to predict, but {name} has {facts.classes} classes"
    if loss not in _OF_NUMBERS and facts.classes is None:
        return f'{name} has numbers to predict; choose loss="MSELoss" or loss="L1Loss"'
    if loss == "BCEWithLogitsLoss" and facts.classes != 2:
        return f"{loss} is for 2 classes, but {name} has {facts.classes}"
    return ""
