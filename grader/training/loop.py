"""One training run: the fast loop.

The mathematics is that of the usual loop, and tests compare the losses of both. The data set stays
in memory, a batch is one `index_select`, optimisers are fused, and convolutions run channels-last:
`docs/performance.md` has the measurements.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import torch
from threadpoolctl import threadpool_limits
from torch import nn

from grader.errors import ModelError
from grader.models.build import build_model, load_weights, torch_warnings_ignored
from grader.models.optimizers import build_optimizer, build_scheduler, join_parameters
from grader.models.shapes import find_shapes
from grader.models.spec import ModelSpec
from grader.results import TrainingRun
from grader.training.compiled.engine import compile_network
from grader.training.data_sources.interface import DataFacts
from grader.training.datasets import Dataset
from grader.training.job import EpochCallback, TrainingJob
from grader.training.losses import mean_loss
from grader.training.objectives import LossName, count_outputs
from grader.training.recorder import RunRecorder
from grader.training.steps import Step, run_steps

EVALUATION_BLOCK = 500
"""Test examples at once: on a CPU their activations then stay in the cache."""

SHUFFLE_STREAM = 0x5EED5EED
"""Changes the seed of the shuffle, which would otherwise draw the same numbers as the
initialisation."""


def train(
    job: TrainingJob,
    dataset: Dataset,
    *,
    device: str = "cpu",
    on_epoch: EpochCallback | None = None,
    compiles: bool = False,
) -> TrainingRun:
    """Train one model from its seed, and evaluate it on the whole test set after every epoch.

    A model that is handed in trained, for 0 epochs, is evaluated once.
    On the same machine and torch the result is the same, bit for bit. With `compiles`, kernels
    train a model that they cover.

    Raises:
        ModelError: the model cannot be built, or does not fit the data.
    """
    recorder = RunRecorder(job, dataset, device=device, on_epoch=on_epoch)
    drop_single = cannot_train_on_one(job.model, require_fit(job, dataset.facts))
    with training_conditions(job.seed, device, limits_blas=compiles):
        train_examples, test_examples = place(dataset, job, device)
        model = build_model(job.model)
        if job.model.weights is not None:
            load_weights(model, job.model.weights)
        model.to(device)
        if job.epochs == 0:
            recorder.record(0.0, lambda: evaluate(model, test_examples))
            return recorder.finish()
        optimizer = build_optimizer(job.optimizer, model)
        scheduler = build_scheduler(job.scheduler, optimizer) if job.scheduler else None
        shuffle = torch.Generator().manual_seed(job.seed ^ SHUFFLE_STREAM)
        network = compile_network(job, model, train_examples, device) if compiles else None
        if network is None:
            model = arrange_for_speed(model)
            gradients = backpropagation(
                model, partial(loss_of_batch, model, train_examples, loss=job.loss)
            )
            outputs = partial(evaluate, model, test_examples)
        else:
            recorder.compiled = True
            join_parameters(optimizer)
            gradients, outputs = network.step, partial(network.evaluate, test_examples)
        while recorder.needs_epoch:
            batches = draw_batches(
                len(train_examples.targets),
                job.batch_size,
                shuffle,
                drop_single=drop_single,
                device=device,
            )
            model.train()
            losses = train_epoch(gradients, optimizer, batches)  # (batches,)
            loss = float(mean_over_examples(losses, batches))
            recorder.record(loss, outputs)
            if scheduler is not None:
                scheduler.step()
        return recorder.finish()


def backpropagation(model: nn.Module, batch_loss: Step) -> Step:
    """Return the step that computes a batch's loss, and the gradients of the loss or losses."""
    parameters = list(model.parameters())

    def gradients(indices: torch.Tensor) -> torch.Tensor:
        loss = batch_loss(indices)
        for parameter in parameters:
            parameter.grad = None
        # A gradient given to `backward` would make torch 2.14 load sympy, for 0.3 seconds.
        (loss.sum() if loss.ndim else loss).backward()  # type: ignore[no-untyped-call]
        return loss.detach()

    return gradients


def train_epoch(
    gradients: Step,
    optimizer: torch.optim.Optimizer,
    batches: Sequence[torch.Tensor],
    *,
    loss_shape: tuple[int, ...] = (),
) -> torch.Tensor:
    """Take one optimiser step for each batch of indices, (B,) or (models, B), int64.

    `gradients` sets the parameters' gradients and returns the loss of a batch, which has the shape
    `loss_shape`: (), or (models,).

    Returns:
        The loss of each step, (batches,) or (batches, models), on the device.
    """
    update = optimizer_step(optimizer)

    def step(indices: torch.Tensor) -> torch.Tensor:
        loss = gradients(indices)
        update()
        return loss

    # Losses kept as one tensor each would lie between the activations and fragment the heap: it
    # grew by 250 MB in an epoch of five stacked CNNs.
    losses = torch.empty(len(batches), *loss_shape, device=batches[0].device)
    run_steps(step, optimizer, batches, losses)
    return losses


@dataclass(frozen=True, kw_only=True)
class Examples:
    """Inputs and targets on the device that trains on them.

    Attributes:
        inputs: (N, *input_shape), uint8, 0 to 255, or float32. A batch of pixels becomes float32
            when drawn: images of floats would take four times the memory and save no time.
        targets: (N,) int64, or (N, targets) float32.
        mean_and_std: of each input, both input_shape, float32; None without normalisation.
    """

    inputs: torch.Tensor
    targets: torch.Tensor
    mean_and_std: tuple[torch.Tensor, torch.Tensor] | None

    def batch(self, indices: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the examples at `indices`: (B, *input_shape) float32, and their targets."""
        inputs = self.scaled(self.inputs.index_select(0, indices))
        return inputs, self.targets.index_select(0, indices)

    def scaled(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return inputs as float32, computed as torchvision's ToTensor and Normalize do."""
        # Pixels become 0 to 1; features stay as they are.
        values = torch.div(inputs, 255) if inputs.dtype == torch.uint8 else inputs
        if self.mean_and_std is None:
            return values
        mean, std = self.mean_and_std
        return values.sub(mean).div_(std)


def loss_of_batch(
    model: nn.Module,
    examples: Examples,
    indices: torch.Tensor,
    *,
    loss: LossName = "CrossEntropyLoss",
) -> torch.Tensor:
    """Return the mean loss of the examples at `indices`, (B,): a scalar."""
    inputs, targets = examples.batch(indices)
    return mean_loss(loss, model(inputs), targets)


def require_fit(job: TrainingJob, facts: DataFacts) -> tuple[tuple[int, ...], ...]:
    """Return the output shape of every layer, without the batch dimension.

    Raises:
        ModelError: the model does not fit its input or the targets of the data.
    """
    shapes = find_shapes(job.model, job.input_shape)
    output_shape = shapes[-1] if shapes else job.input_shape
    outputs = count_outputs(job.loss, facts)
    if output_shape != (outputs,):
        needed = f"{facts.classes} classes" if facts.classes else f"{facts.targets} targets"
        raise ModelError(
            f"the model's output for one example has shape {output_shape}, but there are "
            f"{needed}, so the shape must be ({outputs},)",
            layer_index=len(shapes) - 1 if shapes else None,
            next_step=f"End the model with nn.Linear(…, {outputs}).",
        )
    return shapes


def cannot_train_on_one(model: ModelSpec, shapes: Sequence[tuple[int, ...]]) -> bool:
    """Return True if a batch of size 1 would fail.

    A batch norm with one value per channel has no variance to divide by, and PyTorch raises.
    """
    return any(
        layer.kind.startswith("BatchNorm") and math.prod(shape[1:]) == 1
        for layer, shape in zip(model.layers, shapes, strict=True)
    )


@contextmanager
def training_conditions(seed: int, device: str, *, limits_blas: bool = False) -> Iterator[None]:
    """Set one thread, seeded generators, and no denormal numbers, which slow a CPU down.

    With `limits_blas` NumPy's products, which are the kernels', have one thread too.
    The caller's generators and number of threads are restored at the end.
    """
    is_gpu = torch.device(device).type == "cuda"
    threads = torch.get_num_threads()
    with (
        torch.random.fork_rng(devices=[device] if is_gpu else []),
        torch_warnings_ignored(),
        threadpool_limits(1, "blas") if limits_blas else nullcontext(),
    ):
        torch.set_num_threads(1)
        torch.set_flush_denormal(True)
        torch.manual_seed(seed)
        if is_gpu:
            # On a CPU training is deterministic anyway, and this call takes seconds.
            torch.use_deterministic_algorithms(True, warn_only=True)
        try:
            yield
        finally:
            torch.set_flush_denormal(False)
            torch.set_num_threads(threads)


def place(dataset: Dataset, job: TrainingJob, device: str) -> tuple[Examples, Examples]:
    """Return the training and the test examples on `device`, every input in the job's shape."""
    mean_and_std = None
    if job.normalization is not None:
        mean_and_std = (
            _spread(job.normalization.mean, job.input_shape).to(device),
            _spread(job.normalization.std, job.input_shape).to(device),
        )

    def placed(inputs: torch.Tensor, targets: torch.Tensor) -> Examples:
        return Examples(
            inputs=inputs.reshape(-1, *job.input_shape).to(device),
            targets=targets.to(device),
            mean_and_std=mean_and_std,
        )

    return (
        placed(dataset.train_inputs, dataset.train_targets),
        placed(dataset.test_inputs, dataset.test_targets),
    )


def _spread(of_channels: Sequence[float], input_shape: tuple[int, ...]) -> torch.Tensor:
    """Return each channel's value for all pixels of the channel: (*input_shape), float32."""
    pixels = math.prod(input_shape) // len(of_channels)
    return torch.tensor(of_channels).repeat_interleave(pixels).view(input_shape)


def arrange_for_speed(model: nn.Sequential) -> nn.Sequential:
    """Return the same function of the same parameters, faster to compute.

    - Convolutions keep their weights channels-last, and their activations follow.
    - ReLU before MaxPool2d moves behind it, to a quarter of the values: both are monotone, so
      neither outputs nor gradients change.
    - ReLU works in place if the layer before it does not need its own output again.
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
"""Layers whose gradient is computed from their input only."""


def draw_batches(
    examples: int,
    batch_size: int,
    shuffle: torch.Generator,
    *,
    drop_single: bool,
    device: str = "cpu",
) -> tuple[torch.Tensor, ...]:
    """Return a new order of all examples, cut into batches of indices; the last may be smaller.

    The order is drawn on the CPU, so it is the same for all devices. `drop_single` leaves out a
    last batch of a single example.
    """
    order = torch.randperm(examples, generator=shuffle).to(device)  # (examples,)
    batches = torch.split(order, batch_size)  # each (B,)
    return batches[:-1] if drop_single and len(batches[-1]) == 1 else batches


def optimizer_step(optimizer: torch.optim.Optimizer) -> Callable[[], None]:
    """Return the optimiser's step without its wrappers.

    PyTorch wraps the step into a profiler's hook and a graph break for torch.compile, which
    together take longer than the step of a small network.
    """
    unwrapped = inspect.unwrap(type(optimizer).step)

    def step() -> None:
        with torch.no_grad():
            unwrapped(optimizer)

    return step


def mean_over_examples(losses: torch.Tensor, batches: Sequence[torch.Tensor]) -> torch.Tensor:
    """Return the mean over examples, () or (models,), of means over batches."""
    sizes = torch.tensor([batch.shape[-1] for batch in batches], dtype=torch.float64)
    return sizes @ losses.cpu().double() / sizes.sum()


def evaluate(model: nn.Module, examples: Examples, block: int = EVALUATION_BLOCK) -> torch.Tensor:
    """Return the outputs for all examples: (N, outputs) or (models, N, outputs), float32."""
    model.eval()
    with torch.inference_mode():
        outputs = [model(examples.scaled(inputs)) for inputs in torch.split(examples.inputs, block)]
        return torch.cat(outputs, dim=-2)
