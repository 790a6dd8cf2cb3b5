"""One training run, described: a record that needs no torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from grader.models.digest import digest_of
from grader.models.spec import ModelSpec, OptimizerSpec, SchedulerSpec
from grader.results import EpochResult, Metric
from grader.training.objectives import LossName, metric_of

TRAINER_VERSION = 1
"""Part of every job's digest. Raise it when the same job could give other numbers than before."""

KERNELS_VERSION = 2
"""The same for runs by compiled kernels, which are kept beside those by PyTorch's layers."""

EpochCallback = Callable[[int, EpochResult], None]
"""Called after each epoch of one job with its number, counted from 1, and its result."""


@dataclass(frozen=True, kw_only=True)
class Normalization:
    """The values with which images, 0 to 1, become (image - mean) / std.

    Attributes:
        mean, std: one number for all channels, or one for each.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class TrainingJob:
    """Everything that decides the outcome of a training run, as pure data.

    Attributes:
        scheduler: stepped once at the end of each epoch, or None.
        epochs: 0 for a model that is handed in trained, which is evaluated only.
        seed: of initialisation, shuffling and dropout.
        dataset, dataset_sha256: the name and the checksum of the data set.
        input_shape: the shape of one example: (channels, height, width) or (features,).
        stop_at_accuracy: end the run at the first epoch that reaches this accuracy, 0 to 1, or
            None. Allowed only if the best epoch counts: later epochs cannot change the verdict.
        counted_epoch: the epoch whose accuracy, confusion matrix and misclassified examples count.
        normalization: of training and test images alike, or None.
        loss: that the training lowers.
    """

    model: ModelSpec
    optimizer: OptimizerSpec
    scheduler: SchedulerSpec | None
    epochs: int
    batch_size: int
    seed: int
    dataset: str
    dataset_sha256: str
    input_shape: tuple[int, ...]
    stop_at_accuracy: float | None
    counted_epoch: Literal["best", "final"]
    normalization: Normalization | None = None
    loss: LossName = "CrossEntropyLoss"

    @property
    def metric(self) -> Metric:
        """The measure on the test set."""
        return metric_of(self.loss)

    def digest(self, *, device: str = "cpu") -> str:
        """Return the name of the run: the SHA-256 of everything that decides its epochs.

        `stop_at_accuracy` is left out, because it ends a run early and changes no epoch. A job
        without normalisation, or with cross entropy, has the digest that it had before there was a
        choice.
        """
        import torch  # noqa: PLC0415  # for its version only; the record itself needs no torch

        return digest_of(
            self.model.layers,
            (self.model.weights or b"").hex(),
            self.optimizer,
            self.scheduler,
            self.epochs,
            self.batch_size,
            self.seed,
            self.dataset,
            self.dataset_sha256,
            self.input_shape,
            self.counted_epoch,
            str(torch.__version__),
            device,
            TRAINER_VERSION,
            *filter(None, [self.normalization]),
            *([] if self.loss == "CrossEntropyLoss" else [self.loss]),
        )
