"""Several training jobs as one grouped network, which takes less time than one after another.

A small network leaves a core waiting for memory and for Python. Every model keeps its own initial
weights, batches, loss and gradients. Only dropout masks differ from separate runs: one generator
draws them for the whole stack, with the same distribution.

Between layers, images are (B, models * C, H, W) and vectors are (models, B, features). A batch that
all models share stays (B, C, H, W) or (B, features) until the first layer with weights.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from grader.models.build import build_model
from grader.models.optimizers import build_optimizer, build_scheduler
from grader.models.shapes import find_shapes
from grader.models.spec import LayerSpec, ModelSpec
from grader.results import EpochResult, TrainingRun
from grader.training.datasets import Dataset
from grader.training.job import TrainingJob
from grader.training.loop import (
    EVALUATION_BLOCK,
    SHUFFLE_STREAM,
    Examples,
    arrange_for_speed,
    backpropagation,
    cannot_train_on_one,
    draw_batches,
    evaluate,
    mean_over_examples,
    place,
    require_fit,
    train,
    train_epoch,
    training_conditions,
)
from grader.training.losses import mean_loss_of_each
from grader.training.objectives import LossName
from grader.training.recorder import RunRecorder

_ELEMENTWISE = frozenset(
    {
        *("ReLU", "ReLU6", "LeakyReLU", "ELU", "SELU", "CELU", "SiLU", "GELU", "Mish"),
        *("Hardswish", "Hardsigmoid", "Hardtanh", "Sigmoid", "Tanh", "Softsign", "LogSigmoid"),
        *("Softplus", "Identity"),
    }
)
_POOLING = frozenset(
    {"MaxPool2d", "AvgPool2d", "AdaptiveAvgPool2d", "AdaptiveMaxPool2d", "ZeroPad2d"}
)


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
    if not alike or first.model.weights is not None:
        return False
    shapes = (first.input_shape, *find_shapes(first.model, first.input_shape))
    weighted = [layer.kind in {"Linear", "Conv2d"} for layer in first.model.layers]
    return any(weighted) and all(
        _can_stack_layer(layer, shapes[index], shared=not any(weighted[:index]))
        for index, layer in enumerate(first.model.layers)
    )


def train_stacked(
    jobs: Sequence[TrainingJob],
    dataset: Dataset,
    *,
    device: str = "cpu",
    on_epoch: Callable[[int, int, EpochResult], None] | None = None,
    compiles: bool = False,
) -> list[TrainingRun]:
    """Train jobs as one network if they can be stacked, else one after another.

    With `compiles`, kernels train one model at a time, in less than its part of a stack's time.
    If any loss of a stack is not finite, all jobs are trained again one after another, so that a
    model that diverges cannot affect the others; their epochs are reported again. `on_epoch` gets
    the job's index, the epoch counted from 1, and its result.

    Raises:
        ModelError: a model cannot be built, or does not fit the data.
    """
    report = on_epoch or (lambda index, epoch, result: None)  # noqa: ARG005
    if len(jobs) > 1 and not compiles and can_stack(jobs):
        recorders = [
            RunRecorder(job, dataset, device=device, on_epoch=partial(report, index))
            for index, job in enumerate(jobs)
        ]
        if _train_stack(jobs, dataset, recorders, device):
            return [recorder.finish() for recorder in recorders]
    return [
        train(job, dataset, device=device, on_epoch=partial(report, index), compiles=compiles)
        for index, job in enumerate(jobs)
    ]


def _train_stack(
    jobs: Sequence[TrainingJob],
    dataset: Dataset,
    recorders: Sequence[RunRecorder],
    device: str,
) -> bool:
    """Train until no recorder needs an epoch. Return False at once if a loss is not finite."""
    first = jobs[0]
    drop_single = cannot_train_on_one(first.model, require_fit(first, dataset.facts))
    shuffle_seeds = [job.seed for job in jobs]
    if len(set(shuffle_seeds)) == 1:
        shuffle_seeds = shuffle_seeds[:1]  # all models share their batches
    with training_conditions(first.seed, device):
        train_examples, test_examples = place(dataset, first, device)
        model = stack_models([(job.model, job.seed) for job in jobs], first.input_shape)
        model.to(device)
        optimizer = build_optimizer(first.optimizer, model)
        scheduler = build_scheduler(first.scheduler, optimizer) if first.scheduler else None
        model = arrange_for_speed(model)
        shuffles = [torch.Generator().manual_seed(seed ^ SHUFFLE_STREAM) for seed in shuffle_seeds]
        gradients = backpropagation(
            model, partial(_loss_of_stack, model, train_examples, first.loss)
        )
        while any(recorder.needs_epoch for recorder in recorders):
            orders = [
                draw_batches(
                    len(train_examples.targets),
                    first.batch_size,
                    shuffle,
                    drop_single=drop_single,
                    device=device,
                )
                for shuffle in shuffles
            ]
            # Each (models, B), or (1, B) if all models share their batches.
            batches = [torch.stack(of_models) for of_models in zip(*orders, strict=True)]
            model.train()
            losses = train_epoch(
                gradients, optimizer, batches, loss_shape=(len(jobs),)
            )  # (batches, models)
            mean_losses = mean_over_examples(losses, batches)  # (models,)
            if not mean_losses.isfinite().all():
                return False
            # Outputs are (models, N, outputs).
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
    model: nn.Module, examples: Examples, loss: LossName, indices: torch.Tensor
) -> torch.Tensor:
    """Return each model's mean loss over its batch: (models,)."""
    inputs, targets = draw_stack(examples, indices)
    return mean_loss_of_each(loss, model(inputs), targets)


def draw_stack(examples: Examples, indices: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the models' batches as one input, and the targets, which begin with `indices`' shape.

    That shape is (models, B), or (1, B) if all models share their batches.
    """
    if len(indices) == 1:
        inputs, targets = examples.batch(indices[0])
        return inputs, targets.unsqueeze(0)
    if examples.inputs.ndim == 2:
        # (models * B, features) -> (models, B, features)
        in_a_row = examples.inputs.index_select(0, indices.flatten())
        inputs = examples.scaled(in_a_row).view(*indices.shape, -1)
    else:
        # (B * models, C, H, W) -> (B, models * C, H, W)
        side_by_side = examples.inputs.index_select(0, indices.t().flatten())
        shape = indices.shape[1], -1, *examples.inputs.shape[2:]
        inputs = examples.scaled(side_by_side).view(shape)
    return inputs, examples.targets[indices]


def _can_stack_layer(layer: LayerSpec, input_shape: tuple[int, ...], *, shared: bool) -> bool:
    on_vectors = len(input_shape) == 1
    match layer.kind:
        case "Linear":
            return on_vectors
        case "Conv2d":
            return layer.arguments["padding_mode"] == "zeros"
        case "Flatten":
            return (layer.arguments["start_dim"], layer.arguments["end_dim"]) == (1, -1)
        case "Softmax" | "LogSoftmax":
            return on_vectors and layer.arguments["dim"] in {None, 1, -1}
        case "Dropout" | "BatchNorm1d" | "BatchNorm2d":
            # On a batch that all models share, each model would need its own masks and statistics.
            return not shared and (on_vectors or layer.kind != "BatchNorm1d")
        case kind:
            return kind in _ELEMENTWISE or kind in _POOLING


def stack_models(
    models: Sequence[tuple[ModelSpec, int]], input_shape: tuple[int, ...]
) -> nn.Sequential:
    """Return one network of several models, each with the initial weights of its seed.

    The models may differ in dropout probabilities only. The parameters have the names of a single
    model's, so a single model's optimiser fits.
    """
    built = []
    for spec, seed in models:
        torch.manual_seed(seed)
        built.append(build_model(spec))
    first, _ = models[0]
    shapes = (input_shape, *find_shapes(first, input_shape))
    # A dry run of two images drew dropout masks here in TRAINER_VERSION 1. The masks are still
    # drawn, since without them every stacked run would change.
    for layer, shape in zip(first.layers, shapes, strict=False):
        if layer.kind == "Dropout":
            probability = float(layer.arguments["p"])  # type: ignore[arg-type]
            functional.dropout(torch.zeros(2, *shape), probability)
    return nn.Sequential(
        *(
            _stack([model[index] for model in built], shapes[index])
            for index in range(len(built[0]))
        )
    )


def _stack(layers: Sequence[Any], input_shape: tuple[int, ...]) -> nn.Module:
    """Return one layer for several layers of the same class; the class is that of the first."""
    stacked: nn.Module = layers[0]
    match layers[0]:
        case nn.Linear():
            stacked = StackedLinear(layers)
        case nn.Conv2d():
            stacked = StackedConv2d(layers)
        case nn.BatchNorm1d() | nn.BatchNorm2d() as one:
            kind = StackedBatchNorm1d if isinstance(one, nn.BatchNorm1d) else nn.BatchNorm2d
            stacked = kind(
                len(layers) * one.num_features,
                eps=one.eps,
                momentum=one.momentum,
                affine=one.affine,
                track_running_stats=one.track_running_stats,
            )
            if "bias" not in dict(one.named_parameters()):
                stacked.register_parameter("bias", None)
            _copy_parameters(layers, stacked)
        case nn.Dropout():
            stacked = StackedDropout([layer.p for layer in layers])
        case nn.Flatten():
            stacked = StackedFlatten(len(layers), input_shape)
        case nn.Softmax() | nn.LogSoftmax() as one:
            stacked = type(one)(dim=-1)
    return stacked


def _copy_parameters(layers: Sequence[nn.Module], stacked: nn.Module) -> None:
    """Copy the parameters of the layers, one after another, into `stacked`."""
    with torch.no_grad():
        for name, parameter in stacked.named_parameters():
            parameter.copy_(torch.cat([layer.get_parameter(name) for layer in layers]))


class StackedLinear(nn.Module):
    """Linear layers side by side: (models, B, in), or a shared (B, in), to (models, B, out)."""

    def __init__(self, layers: Sequence[nn.Linear]) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.stack([layer.weight.detach() for layer in layers]))
        self.bias: nn.Parameter | None = None
        if layers[0].bias is not None:
            self.bias = nn.Parameter(torch.stack([layer.bias.detach() for layer in layers]))

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Multiply every model's vectors by the model's matrix."""
        if values.ndim == 2:
            bias = None if self.bias is None else self.bias.flatten()
            outputs = functional.linear(values, self.weight.flatten(0, 1), bias)
            return outputs.view(len(values), *self.weight.shape[:2]).transpose(0, 1)
        if self.bias is None:
            return torch.bmm(values, self.weight.transpose(1, 2))
        return torch.baddbmm(self.bias.unsqueeze(1), values, self.weight.transpose(1, 2))


class StackedConv2d(nn.Conv2d):
    """Convolutions side by side, as the groups of one convolution."""

    def __init__(self, layers: Sequence[nn.Conv2d]) -> None:
        first = layers[0]
        super().__init__(
            len(layers) * first.in_channels,
            len(layers) * first.out_channels,
            first.kernel_size,  # type: ignore[arg-type]
            stride=first.stride,  # type: ignore[arg-type]
            padding=first.padding,  # type: ignore[arg-type]
            dilation=first.dilation,  # type: ignore[arg-type]
            groups=len(layers) * first.groups,
            bias=first.bias is not None,
        )
        self._channels_of_one = first.in_channels
        self._groups_of_one = first.groups
        self._models = len(layers)
        _copy_parameters(layers, self)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Convolve; images that all models share are copied only for grouped convolutions."""
        if images.shape[1] != self._channels_of_one:
            return super().forward(images)
        if self._groups_of_one > 1:
            return super().forward(images.repeat(1, self._models, 1, 1))
        return functional.conv2d(
            images, self.weight, self.bias, self.stride, self.padding, self.dilation
        )


class StackedBatchNorm1d(nn.BatchNorm1d):
    """Batch norms of vectors side by side: (models, B, features)."""

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Normalise every feature of every model over the batch."""
        models, batch, features = values.shape
        side_by_side = values.transpose(0, 1).reshape(batch, models * features)
        return super().forward(side_by_side).view(batch, models, features).transpose(0, 1)


class StackedDropout(nn.Module):
    """Dropouts side by side, each with its own probability, from 16 random bits a value.

    PyTorch draws a float for each value, which takes a sixth of a stack's time. With 16 bits the
    real probability is within 1 / 131,072; values are scaled up by the real probability.
    """

    _threshold: torch.Tensor
    _scale: torch.Tensor

    def __init__(self, probabilities: Sequence[float]) -> None:
        super().__init__()
        of_65536 = torch.tensor([round(probability * 65536) for probability in probabilities])
        keep = 1 - of_65536 / 65536
        # int16 ends below a probability of 1, for which a scale of 0 drops all values anyway.
        self.register_buffer("_threshold", (of_65536 - 32768).clamp(max=32767).to(torch.int16))
        self.register_buffer("_scale", torch.where(keep > 0, 1 / keep, 0.0))

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Zero each value with its model's probability, and scale the others up."""
        if not self.training:
            return values
        words = torch.empty(-(-values.numel() // 4), dtype=torch.int64, device=values.device)
        bits = words.random_(-(2**63), None).view(torch.int16)
        # In the memory order of the values, so that channels-last images stay channels-last.
        bits = bits.as_strided(values.shape, torch.empty_like(values).stride())
        kept = bits >= self._along(values, self._threshold)
        return values * (kept * self._along(values, self._scale))

    def _along(self, values: torch.Tensor, of_models: torch.Tensor) -> torch.Tensor:
        if values.ndim == 3:
            return of_models.view(-1, 1, 1)
        channels_of_one = values.shape[1] // len(of_models)
        return of_models.repeat_interleave(channels_of_one).view(1, -1, 1, 1)


class StackedFlatten(nn.Module):
    """Images (B, models * C, H, W) to vectors (models, B, C * H * W); shared ones stay shared."""

    def __init__(self, models: int, shape_of_one: tuple[int, ...]) -> None:
        super().__init__()
        self._models = models
        self._shape_of_one = shape_of_one

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Flatten images; vectors are flat already."""
        if values.ndim != 4:
            return values
        if values.shape[1:] == self._shape_of_one:
            return values.flatten(1)
        return values.reshape(len(values), self._models, -1).transpose(0, 1)
