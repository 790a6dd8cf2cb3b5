"""The record of one training run, epoch by epoch, and the decision when the run ends."""

from __future__ import annotations

import base64
import math
import time
from collections.abc import Callable
from dataclasses import replace

import torch

from grader.results import EpochResult, Metric, MisclassifiedExample, TrainingRun
from grader.training.datasets import Dataset
from grader.training.job import EpochCallback, TrainingJob
from grader.training.losses import classify, rmse

MISCLASSIFIED_EXAMPLES = 12
LONGEST_SIDE = 96
"""Pixels of a picture's longer side, so that a result stays small."""


class RunRecorder:
    """Records one run, epoch by epoch, and decides when the run ends.

    Attributes:
        needs_epoch: False once the run has ended.
        compiled: compiled kernels train the model.
    """

    def __init__(
        self,
        job: TrainingJob,
        dataset: Dataset,
        *,
        device: str,
        on_epoch: EpochCallback | None,
    ) -> None:
        self.needs_epoch = job.epochs > 0
        self.compiled = False
        self._job = job
        self._dataset = dataset
        self._device = device
        self._on_epoch = on_epoch
        self._epochs: list[EpochResult] = []
        self._counted_outputs: torch.Tensor | None = None
        self._diverged = False
        self._stopped_early = False
        self._started = time.perf_counter()

    def record(self, train_loss: float, outputs: Callable[[], torch.Tensor]) -> None:
        """Record one epoch.

        Args:
            train_loss: the mean loss; if it is not finite, the run ends without this epoch.
            outputs: computes the model's outputs for the test set: (N, outputs).
        """
        if not math.isfinite(train_loss):
            self._diverged = True
            self.needs_epoch = False
            return
        computed = outputs().cpu()
        result = self._measure(train_loss, computed)
        metric = self._job.metric
        counts = self._job.counted_epoch == "final" or not any(
            metric.is_met(epoch.measured(metric), result.measured(metric)) for epoch in self._epochs
        )
        if counts:
            self._counted_outputs = computed
        self._epochs.append(result)
        if self._on_epoch is not None:
            self._on_epoch(len(self._epochs), result)
        is_last = len(self._epochs) >= self._job.epochs
        target = self._job.stop_at_accuracy
        verdict_is_certain = (
            self._job.counted_epoch == "best"
            and target is not None
            and result.test_accuracy >= target
        )
        self._stopped_early = verdict_is_certain and not is_last
        self.needs_epoch = not is_last and not verdict_is_certain

    def _measure(self, train_loss: float, outputs: torch.Tensor) -> EpochResult:
        targets = self._dataset.test_targets
        if self._job.metric is Metric.RMSE:
            return EpochResult(train_loss=train_loss, test_rmse=rmse(outputs, targets)[0])
        predicted, _, _ = self._classify(outputs)
        correct = int((predicted == targets).sum())
        return EpochResult(train_loss=train_loss, test_accuracy=correct / len(targets))

    def _classify(self, outputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, int]:
        # A model that ends in Softmax outputs probabilities.
        ends_in_softmax = self._job.model.layers[-1].kind == "Softmax"
        return classify(self._job.loss, outputs, are_probabilities=ends_in_softmax)

    def finish(self) -> TrainingRun:
        """Return the run as a record."""
        is_gpu = torch.device(self._device).type == "cuda"
        outputs, error = self._counted_outputs, 0.0
        if outputs is not None and self._job.metric is Metric.RMSE:
            _, error = rmse(outputs, self._dataset.test_targets)
            outputs = None  # numbers have neither a confusion matrix nor wrong classes
        return TrainingRun(
            seed=self._job.seed,
            epochs=tuple(self._epochs),
            stopped_early=self._stopped_early,
            diverged=self._diverged,
            confusion=() if outputs is None else self._confusion(outputs),
            misclassified=() if outputs is None else self._misclassified(outputs),
            device=torch.cuda.get_device_name(self._device) if is_gpu else "cpu",
            compiled=self.compiled,
            wall_seconds=time.perf_counter() - self._started,
            rmse_error=error,
        )

    def _confusion(self, outputs: torch.Tensor) -> tuple[tuple[int, ...], ...]:
        predicted, _, classes = self._classify(outputs)
        pairs = self._dataset.test_targets * classes + predicted  # (N,)
        counts = torch.bincount(pairs, minlength=classes**2).reshape(classes, classes)
        return tuple(tuple(row) for row in counts.tolist())

    def _misclassified(self, outputs: torch.Tensor) -> tuple[MisclassifiedExample, ...]:
        """Return the most confident mistakes first."""
        predicted, confidence, _ = self._classify(outputs)  # (N,), (N,)
        wrong = (predicted != self._dataset.test_targets).nonzero().flatten()
        order = confidence[wrong].argsort(descending=True, stable=True)
        return tuple(
            self._with_picture(
                MisclassifiedExample(
                    index=index,
                    label=int(self._dataset.test_targets[index]),
                    predicted=int(predicted[index]),
                    confidence=float(confidence[index]),
                )
            )
            for index in wrong[order][:MISCLASSIFIED_EXAMPLES].tolist()
        )

    def _with_picture(self, example: MisclassifiedExample) -> MisclassifiedExample:
        """Return the example with its image, if it is one, thinned out to `LONGEST_SIDE`."""
        if not self._dataset.facts.is_images:
            return example
        image = self._dataset.test_inputs[example.index]  # (C, H, W)
        step = -(-max(image.shape[1:]) // LONGEST_SIDE)
        thinned = image[:, ::step, ::step].contiguous()
        return replace(
            example,
            pixels_base64=base64.b64encode(thinned.numpy().tobytes()).decode(),
            pixels_shape=tuple(thinned.shape),
        )
