"""Several training jobs as one grouped network, which takes less time than one after another.

A small network leaves a core waiting for memory and for Python. The ten models of a dropout sweep,
or several seeds of one model, differ only in their numbers, so they run as one network of as many
groups: grouped convolutions, batched matrix products, batch norms side by side. Every model keeps
its own initial weights, batches, loss and gradients. Only dropout differs from a run alone: its
masks come from one generator for the whole stack, with the same distribution.

`grader.training.stacked_layers` says how tensors are laid out between the layers.
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from grader.models.optimizers import build_optimizer, build_scheduler
from grader.training.loop import (
    EVALUATION_BLOCK,
    SHUFFLE_STREAM,
    Examples,
    arrange_for_speed,
    check_model,
    draw_batches,
    optimizer_step,
    place,
    scale,
    train,
    training_conditions,
)
from grader.training.recorder import RunRecorder
from grader.training.stacked_layers import can_stack_layers, stack_models
from grader.training.steps import run_steps

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import nn

    from grader.results import EpochResult, TrainingRun
    from grader.training.datasets import Dataset
    from grader.training.job import TrainingJob


def can_stack(jobs: Sequence[TrainingJob]) -> bool:
    """Whether the jobs differ only in seeds and dropout probabilities, and all layers stack.

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
    """Train jobs as one network if they can be stacked, and one after another if not.

    If any loss of a stack is not finite, all of its jobs are trained again one at a time, so that
    a model that diverges cannot touch the others.

    Args:
        jobs: what to train.
        dataset: the data set that the jobs name.
        device: "cpu" or "cuda".
        on_epoch: called with the job's index, the epoch counted from 1, and its result; an epoch
            is reported again if the stack was given up.

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
    """Whether every loss was finite; the recorders then have what happened."""
    first = jobs[0]
    drop_single = check_model(first)
    shared = len({job.seed for job in jobs}) == 1
    with training_conditions(first.seed, device):
        train_examples, test_examples = place(dataset, first.input_shape, device)
        model = stack_models([(job.model, job.seed) for job in jobs], first.input_shape)
        model.to(device)
        optimizer = build_optimizer(first.optimizer, model)
        scheduler = build_scheduler(first.scheduler, optimizer) if first.scheduler else None
        model = arrange_for_speed(model)
        shuffles = [
            torch.Generator().manual_seed(job.seed ^ SHUFFLE_STREAM)
            for job in (jobs[:1] if shared else jobs)
        ]
        while any(recorder.goes_on for recorder in recorders):
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
            losses = _train_epoch(model, optimizer, train_examples, orders, len(jobs))
            sizes = torch.tensor([len(batch) for batch in orders[0]], dtype=torch.float64)
            mean_losses = (sizes @ losses.cpu().double() / sizes.sum()).tolist()
            if not all(map(math.isfinite, mean_losses)):
                return False
            outputs = _evaluate(model, test_examples, len(jobs))
            for recorder, mean_loss, of_model in zip(recorders, mean_losses, outputs, strict=True):
                if recorder.goes_on:
                    recorder.record(mean_loss, partial(torch.clone, of_model))
            if scheduler is not None:
                scheduler.step()
    return True


def _train_epoch(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    examples: Examples,
    orders: Sequence[Sequence[torch.Tensor]],
    models: int,
) -> torch.Tensor:
    """One step for each batch; the losses, (batches, models), each a mean over its batch."""
    update = optimizer_step(optimizer)
    parameters = list(model.parameters())

    def step(indices: torch.Tensor) -> torch.Tensor:
        images, labels = draw_stack(examples, indices)
        outputs = model(images)  # (models, B, classes)
        of_examples = functional.cross_entropy(
            outputs.flatten(0, 1), labels.expand(models, -1).flatten(), reduction="none"
        )
        of_models = of_examples.view(models, -1).mean(1)
        for parameter in parameters:
            parameter.grad = None
        of_models.sum().backward()  # type: ignore[no-untyped-call]
        update()
        return of_models.detach()

    batches = [torch.stack(of_models) for of_models in zip(*orders, strict=True)]
    # Not a list of small tensors: see `grader.training.loop.train_epoch`.
    losses = torch.empty(len(batches), models, device=examples.labels.device)
    model.train()
    run_steps(step, optimizer, batches, losses)
    return losses


def draw_stack(examples: Examples, indices: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The models' batches as one input, and their labels.

    Args:
        examples: to draw from.
        indices: (models, B), or (1, B) if all models share their batches; the labels' shape too.
    """
    if len(indices) == 1:
        images, labels = examples.batch(indices[0])
        return images, labels.unsqueeze(0)
    if examples.images.ndim == 2:
        images = examples.images.index_select(0, indices.flatten()).view(*indices.shape, -1)
    else:
        side_by_side = examples.images.index_select(0, indices.t().flatten())
        images = side_by_side.view(indices.shape[1], -1, *examples.images.shape[2:])
    return scale(images), examples.labels[indices]


def _evaluate(model: nn.Module, examples: Examples, models: int) -> torch.Tensor:
    """The outputs of every model for all examples: (models, N, classes), float32."""
    model.eval()
    block = max(1, EVALUATION_BLOCK // models)
    with torch.inference_mode():
        return torch.cat(
            [model(scale(images)) for images in torch.split(examples.images, block)], dim=1
        )
