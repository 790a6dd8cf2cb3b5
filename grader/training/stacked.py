"""Several training jobs as one grouped network, which takes less time than one after another.

A small network leaves a core waiting for memory and for Python. The ten models of a dropout sweep,
or several seeds of one model, differ only in their numbers, so they run as one network with a group
for each: grouped convolutions, batched matrix products, batch norms side by side. Every model keeps
its own initial weights, batches, loss and gradients. Only dropout masks differ from separate runs:
one generator draws them for the whole stack, with the same distribution.

`grader.training.stacked_layers` describes the layout of tensors between the layers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import torch
from torch import nn
from torch.nn import functional

from grader.models.optimizers import build_optimizer, build_scheduler
from grader.results import EpochResult, TrainingRun
from grader.training.datasets import Dataset
from grader.training.job import TrainingJob
from grader.training.loop import (
    EVALUATION_BLOCK,
    SHUFFLE_STREAM,
    Examples,
    arrange_for_speed,
    cannot_train_on_one,
    draw_batches,
    evaluate,
    mean_over_examples,
    place,
    require_fit,
    scale,
    train,
    train_epoch,
    training_conditions,
)
from grader.training.recorder import RunRecorder
from grader.training.stacked_layers import can_stack_layers, stack_models


def can_stack(jobs: Sequence[TrainingJob]) -> bool:
    """Return True if the jobs differ only in seeds and dropout, and all layers can be stacked.

    Raises:
        ModelError: the model does not fit its input.
    """
    first = jobs[0]
    alike = all(
        replace(job, model=first.model, seed=first.seed) == first
        and job.model.with_dropout(0.0) == first.model.with_dropout(0.0)
        for job in jobs
    )
    has_weights = first.model.weights is not None
    return alike and not has_weights and can_stack_layers(first.model, first.input_shape)


def train_stacked(
    jobs: Sequence[TrainingJob],
    dataset: Dataset,
    *,
    device: str = "cpu",
    on_epoch: Callable[[int, int, EpochResult], None] | None = None,
) -> list[TrainingRun]:
    """Train jobs as one network if they can be stacked, else one after another.

    If any loss of a stack is not finite, all jobs are trained again one after another, so that a
    model that diverges cannot affect the others.

    Args:
        jobs: the jobs to train.
        dataset: the data set that the jobs name.
        device: "cpu" or "cuda".
        on_epoch: called with the job's index, the epoch counted from 1, and its result. Epochs are
            reported again if a loss of the stack was not finite.

    Raises:
        ModelError: a model cannot be built, or does not fit the data.
    """
    report = on_epoch or (lambda index, epoch, result: None)  # noqa: ARG005
    if len(jobs) > 1 and can_stack(jobs):
        recorders = [
            RunRecorder(job, dataset, device=device, on_epoch=partial(report, index))
            for index, job in enumerate(jobs)
        ]
        if _train_stack(jobs, dataset, recorders, device):
            return [recorder.finish() for recorder in recorders]
    return [
        train(job, dataset, device=device, on_epoch=partial(report, index))
        for index, job in enumerate(jobs)
    ]


def _train_stack(
    jobs: Sequence[TrainingJob],
    dataset: Dataset,
    recorders: Sequence[RunRecorder],
    device: str,
) -> bool:
    """Train jobs as one network until no recorder needs an epoch.

    Returns:
        False if a loss was not finite, so that the recorders are incomplete.
    """
    first = jobs[0]
    drop_single = cannot_train_on_one(first.model, require_fit(first))
    shuffle_seeds = [job.seed for job in jobs]
    if len(set(shuffle_seeds)) == 1:
        shuffle_seeds = shuffle_seeds[:1]  # all models share their batches
    with training_conditions(first.seed, device):
        train_examples, test_examples = place(dataset, first.input_shape, device)
        model = stack_models([(job.model, job.seed) for job in jobs], first.input_shape)
        model.to(device)
        optimizer = build_optimizer(first.optimizer, model)
        scheduler = build_scheduler(first.scheduler, optimizer) if first.scheduler else None
        model = arrange_for_speed(model)
        shuffles = [torch.Generator().manual_seed(seed ^ SHUFFLE_STREAM) for seed in shuffle_seeds]
        stack_loss = partial(_loss_of_stack, model, train_examples, len(jobs))
        while any(recorder.needs_epoch for recorder in recorders):
            orders = [
                draw_batches(
                    len(train_examples.labels),
                    first.batch_size,
                    shuffle,
                    drop_single=drop_single,
                    device=device,
                )
                for shuffle in shuffles
            ]
            # Each (models, B), or (1, B) if all models share their batches.
            batches = [torch.stack(of_models) for of_models in zip(*orders, strict=True)]
            losses = train_epoch(
                model, optimizer, batches, stack_loss, loss_shape=(len(jobs),)
            )  # (batches, models)
            mean_losses = mean_over_examples(losses, batches)  # (models,)
            if not mean_losses.isfinite().all():
                return False
            # Outputs are (models, N, classes).
            outputs = evaluate(model, test_examples, max(1, EVALUATION_BLOCK // len(jobs)))
            for recorder, loss, of_model in zip(
                recorders, mean_losses.tolist(), outputs, strict=True
            ):
                if recorder.needs_epoch:
                    recorder.record(loss, partial(torch.clone, of_model))
            if scheduler is not None:
                scheduler.step()
    return True


def _loss_of_stack(
    model: nn.Module, examples: Examples, models: int, indices: torch.Tensor
) -> torch.Tensor:
    """Return each model's mean cross entropy over its batch: (models,)."""
    images, labels = draw_stack(examples, indices)
    outputs = model(images)  # (models, B, classes)
    losses = functional.cross_entropy(
        outputs.flatten(0, 1), labels.expand(models, -1).flatten(), reduction="none"
    )  # (models * B,)
    return losses.view(models, -1).mean(1)


def draw_stack(examples: Examples, indices: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the models' batches as one input, and the labels in the shape of `indices`.

    Args:
        examples: the examples to draw from.
        indices: (models, B), or (1, B) if all models share their batches.
    """
    if len(indices) == 1:
        images, labels = examples.batch(indices[0])
        return images, labels.unsqueeze(0)
    if examples.images.ndim == 2:
        # (models * B, features) -> (models, B, features)
        images = examples.images.index_select(0, indices.flatten()).view(*indices.shape, -1)
    else:
        # (B * models, C, H, W) -> (B, models * C, H, W)
        side_by_side = examples.images.index_select(0, indices.t().flatten())
        images = side_by_side.view(indices.shape[1], -1, *examples.images.shape[2:])
    return scale(images), examples.labels[indices]
