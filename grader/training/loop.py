"""One training run: the fast loop.

The mathematics is that of the usual loop (a shuffled DataLoader, cross entropy, one optimiser step
a batch, the scheduler once an epoch), and the tests hold the losses of both together. What is
different is where the time goes: the data set stays in memory as one tensor, a batch is one
`index_select`, optimisers are fused, and convolutions run channels-last. `docs/performance.md`
has the measurements.
"""

from __future__ import annotations

import inspect
import math
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional

from grader.errors import ModelError
from grader.models.build import build_model, load_weights, torch_warnings_ignored, trace_shapes
from grader.models.optimizers import build_optimizer, build_scheduler
from grader.training.job import TrainingJob
from grader.training.recorder import CLASSES, RunRecorder
from grader.training.steps import run_steps

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from grader.results import EpochResult, TrainingRun
    from grader.training.datasets import Dataset

EVALUATION_BLOCK = 500
"""Test images at once: on a CPU their activations then stay in the cache."""

SHUFFLE_STREAM = 0x5EED5EED
"""Tells the seed of the shuffle from that of the initialisation; the two would otherwise draw the
same numbers."""


@dataclass(frozen=True, kw_only=True)
class Examples:
    """Images and labels on the device that trains on them.

    Attributes:
        images: (N, *input_shape), uint8, 0 to 255. A batch becomes float32 as it is drawn: a data
            set of floats would take four times the memory and save no time.
        labels: (N,), int64.
    """

    images: torch.Tensor
    labels: torch.Tensor

    def batch(self, indices: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The examples at `indices`: (B, *input_shape) float32, 0 to 1, and (B,) int64."""
        return scale(self.images.index_select(0, indices)), self.labels.index_select(0, indices)


def scale(images: torch.Tensor) -> torch.Tensor:
    """uint8, 0 to 255, as float32, 0 to 1: what torchvision's ToTensor computes."""
    return torch.div(images, 255)


def train(
    job: TrainingJob,
    dataset: Dataset,
    *,
    device: str = "cpu",
    on_epoch: Callable[[int, EpochResult], None] | None = None,
) -> TrainingRun:
    """Train one model from its seed, and evaluate it on the whole test set after every epoch.

    On the same machine and torch the result is the same, bit for bit.

    Args:
        job: what to train.
        dataset: the data set that the job names.
        device: "cpu" or "cuda".
        on_epoch: called after each epoch with its number, counted from 1, and its result.

    Raises:
        ModelError: the model cannot be built, or does not fit the data.
    """
    recorder = RunRecorder(job, dataset, device=device, on_epoch=on_epoch)
    drop_single = check_model(job)
    with training_conditions(job.seed, device):
        train_examples, test_examples = place(dataset, job.input_shape, device)
        model = build_model(job.model)
        if job.model.weights is not None:
            load_weights(model, job.model.weights)
        model.to(device)
        optimizer = build_optimizer(job.optimizer, model)
        scheduler = build_scheduler(job.scheduler, optimizer) if job.scheduler else None
        model = arrange_for_speed(model)
        shuffle = torch.Generator().manual_seed(job.seed ^ SHUFFLE_STREAM)
        while recorder.goes_on:
            batches = draw_batches(
                len(train_examples.labels),
                job.batch_size,
                shuffle,
                drop_single=drop_single,
                device=device,
            )
            losses = train_epoch(model, optimizer, train_examples, batches)
            recorder.record(mean_loss(losses, batches), lambda: evaluate(model, test_examples))
            if scheduler is not None:
                scheduler.step()
        return recorder.finish()


def check_model(job: TrainingJob) -> bool:
    """Whether a batch of a single example cannot be trained on, after the model was found to fit.

    A batch norm that sees one value a channel has no variance to divide by, and PyTorch raises.

    Raises:
        ModelError: the model does not fit its input or the classes of the data.
    """
    shapes = trace_shapes(job.model, job.input_shape)
    output_shape = shapes[-1] if shapes else job.input_shape
    if output_shape != (CLASSES,):
        raise ModelError(
            f"the model's output for one image has shape {output_shape}, but there are {CLASSES} "
            f"classes, so it must be ({CLASSES},)",
            layer_index=len(shapes) - 1 if shapes else None,
            next_step=f"End the model with nn.Linear(…, {CLASSES}).",
        )
    return any(
        layer.kind.startswith("BatchNorm") and math.prod(shape[1:]) == 1
        for layer, shape in zip(job.model.layers, shapes, strict=True)
    )


@contextmanager
def training_conditions(seed: int, device: str) -> Iterator[None]:
    """One thread, seeded generators, and no denormal numbers, which a CPU computes slowly with.

    The caller's generators and number of threads are put back at the end.
    """
    is_gpu = torch.device(device).type == "cuda"
    threads = torch.get_num_threads()
    with torch.random.fork_rng(devices=[device] if is_gpu else []), torch_warnings_ignored():
        torch.set_num_threads(1)
        torch.set_flush_denormal(True)
        torch.manual_seed(seed)
        if is_gpu:
            # What training runs on a CPU is deterministic as it is, and this call costs seconds.
            torch.use_deterministic_algorithms(True, warn_only=True)
        try:
            yield
        finally:
            torch.set_flush_denormal(False)
            torch.set_num_threads(threads)


def place(dataset: Dataset, input_shape: tuple[int, ...], device: str) -> tuple[Examples, Examples]:
    """The training and the test examples on `device`, every image in `input_shape`."""

    def placed(images: torch.Tensor, labels: torch.Tensor) -> Examples:
        return Examples(
            images=images.reshape(-1, *input_shape).to(device), labels=labels.to(device)
        )

    return (
        placed(dataset.train_images, dataset.train_labels),
        placed(dataset.test_images, dataset.test_labels),
    )


def arrange_for_speed(model: nn.Sequential) -> nn.Sequential:
    """The same function of the same parameters, arranged so that it is computed faster.

    - Convolutions keep their weights channels-last, and their activations follow.
    - ReLU before MaxPool2d comes after it, on a quarter of the values: both are monotone, so
      neither an output nor a gradient changes.
    - A ReLU works in place where the layer before it does not need its own output again.
    """
    layers = list(model)
    for index in range(len(layers) - 1):
        if isinstance(layers[index], nn.ReLU) and isinstance(layers[index + 1], nn.MaxPool2d):
            layers[index], layers[index + 1] = layers[index + 1], layers[index]
    for before, layer in pairwise(layers):
        if isinstance(layer, nn.ReLU):
            layer.inplace = isinstance(before, _OUTPUT_NOT_NEEDED_AGAIN)
    arranged = nn.Sequential(*layers)
    if any(isinstance(layer, nn.Conv2d) for layer in layers):
        arranged.to(memory_format=torch.channels_last)
    return arranged


_OUTPUT_NOT_NEEDED_AGAIN = (
    nn.Linear,
    nn.Conv1d,
    nn.Conv2d,
    nn.BatchNorm1d,
    nn.BatchNorm2d,
    nn.MaxPool2d,
    nn.AvgPool2d,
)
"""Layers whose gradient is computed from their input alone."""


def draw_batches(
    examples: int,
    batch_size: int,
    shuffle: torch.Generator,
    *,
    drop_single: bool,
    device: str = "cpu",
) -> tuple[torch.Tensor, ...]:
    """A fresh order of all examples, cut into batches of indices; the last may be smaller.

    Args:
        examples: how many there are.
        batch_size: of all batches but the last.
        shuffle: draws the order.
        drop_single: leave out a last batch of a single example.
        device: where the batches are put; the order is drawn on the CPU, alike for all devices.
    """
    order = torch.randperm(examples, generator=shuffle).to(device)
    batches = torch.split(order, batch_size)
    return batches[:-1] if drop_single and len(batches[-1]) == 1 else batches


def train_epoch(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    examples: Examples,
    batches: Sequence[torch.Tensor],
) -> torch.Tensor:
    """One optimiser step for each batch of indices; the steps' losses, (B,), on the device."""
    update = optimizer_step(optimizer)
    parameters = list(model.parameters())

    def step(indices: torch.Tensor) -> torch.Tensor:
        images, labels = examples.batch(indices)
        loss = functional.cross_entropy(model(images), labels)
        for parameter in parameters:
            parameter.grad = None
        loss.backward()  # type: ignore[no-untyped-call]
        update()
        return loss.detach()

    # Kept one by one, they would lie between the activations and hold the heap apart: it grew by
    # 250 MB in an epoch of five stacked CNNs.
    losses = torch.empty(len(batches), device=examples.labels.device)
    model.train()
    run_steps(step, optimizer, batches, losses)
    return losses


def optimizer_step(optimizer: torch.optim.Optimizer) -> Callable[[], None]:
    """The optimiser's step and nothing around it.

    PyTorch wraps it into a profiler's hook and a graph break for torch.compile, which together
    take longer than the step of a small network.
    """
    unwrapped = inspect.unwrap(type(optimizer).step)

    def step() -> None:
        with torch.no_grad():
            unwrapped(optimizer)

    return step


def mean_loss(losses: torch.Tensor, batches: Sequence[torch.Tensor]) -> float:
    """The mean over examples of losses that are means over batches."""
    sizes = torch.tensor([len(batch) for batch in batches], dtype=torch.float64)
    return float(losses.cpu().double() @ sizes / sizes.sum())


def evaluate(model: nn.Module, examples: Examples) -> torch.Tensor:
    """The outputs for all examples in evaluation mode: (N, classes), float32."""
    model.eval()
    with torch.inference_mode():
        return torch.cat(
            [model(scale(images)) for images in torch.split(examples.images, EVALUATION_BLOCK)]
        )
