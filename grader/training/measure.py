"""The cost of a training before it begins: some steps and blocks of evaluation, timed.

They are taken by the real loop on a cut of the data. On a CPU a second is one of processor time, so
that other programs on the machine change no verdict.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise
from math import ceil

import torch

from grader.errors import ModelError
from grader.models.shapes import find_dearest_layer
from grader.models.spec import ArgumentValue, LayerSpec, ModelSpec, default_optimizer
from grader.results import EpochResult
from grader.training.budget import Budget
from grader.training.data_sources.interface import DataFacts
from grader.training.datasets import Dataset
from grader.training.job import TrainingJob
from grader.training.loop import EVALUATION_BLOCK
from grader.training.stacked import train_stacked

ENOUGH_SECONDS = 0.1
"""A measurement ends after this time; the first step, which is slower, does not count then."""
MOST_STEPS = 6

START_SECONDS = 10.0
"""Processor time to build a model, beyond that of its steps."""
DOUBT = 3.0
"""A step may take this many times the share of the budget before the process is ended."""

Begin = Callable[[float, ModelError], None]
"""Begins a stage: its processor time in seconds, and the error if it takes longer."""


def _layer(kind: str, **arguments: ArgumentValue) -> LayerSpec:
    return LayerSpec(kind=kind, path=kind, arguments=arguments)


def _block(channels: int) -> tuple[LayerSpec, ...]:
    """Return a convolution to 8 channels, normalised, halved and with dropout."""
    convolution = _layer(
        "Conv2d",
        in_channels=channels,
        out_channels=8,
        kernel_size=3,
        stride=1,
        padding=0,
        dilation=1,
        groups=1,
        bias=True,
        padding_mode="zeros",
    )
    norm = _layer(
        "BatchNorm2d",
        num_features=8,
        eps=1e-5,
        momentum=0.1,
        affine=True,
        track_running_stats=True,
        bias=True,
    )
    pool = _layer("MaxPool2d", kernel_size=2, stride=2, padding=0, dilation=1, ceil_mode=False)
    dropout = _layer("Dropout", p=0.2, inplace=False)
    return convolution, norm, _layer("ReLU", inplace=False), pool, dropout


_REFERENCE_MODEL = ModelSpec(
    layers=(
        *_block(1),
        *_block(8),
        _layer("Flatten", start_dim=1, end_dim=-1),
        _layer("Linear", in_features=200, out_features=64, bias=True),
        _layer("ReLU", inplace=False),
        _layer("Linear", in_features=64, out_features=10, bias=True),
    )
)

_NOISE = DataFacts(
    input_shape=(1, 28, 28),
    classes=10,
    train_examples=EVALUATION_BLOCK,
    test_examples=EVALUATION_BLOCK,
)

REFERENCE = TrainingJob(
    model=_REFERENCE_MODEL,
    optimizer=default_optimizer(_REFERENCE_MODEL),
    scheduler=None,
    epochs=1,
    batch_size=32,
    seed=0,
    dataset="noise",
    dataset_sha256="",
    input_shape=_NOISE.input_shape,
    stop_at_accuracy=None,
    counted_epoch="final",
)
"""The network whose epoch is the unit of budgets: the course's sample of a convolutional one."""


@dataclass(frozen=True, kw_only=True)
class _Cost:
    """Seconds of one training step, and of one block of evaluation."""

    step: float
    evaluation: float

    def of_epoch(self, job: TrainingJob, dataset: Dataset) -> float:
        """Return the seconds of one epoch on the whole data set."""
        return self.step * count_steps(job, dataset) + self.evaluation * count_blocks(dataset)


def count_steps(job: TrainingJob, dataset: Dataset) -> int:
    """Return the number of training steps of an epoch."""
    return ceil(len(dataset.train_targets) / job.batch_size)


def count_blocks(dataset: Dataset) -> int:
    """Return the number of blocks in which the test set is evaluated."""
    return ceil(len(dataset.test_targets) / EVALUATION_BLOCK)


def predict_seconds(
    jobs: Sequence[TrainingJob],
    dataset: Dataset,
    budget: Budget,
    *,
    device: str,
    begin: Begin,
) -> float:
    """Return the seconds that jobs will take, which are trained as one network if they can be.

    Raises:
        ModelError: the jobs do not fit their data, or take more than the budget.
    """
    # A model that is handed in trained has no epoch, but is evaluated.
    job, epochs = jobs[0], max(1, jobs[0].epochs) * budget.repetitions
    most = budget.reference_epochs * _measure_reference(device).of_epoch(REFERENCE, dataset)

    def begin_part(times: int) -> None:
        """Begin with what every epoch does so many times."""
        overrun = _refusal(job, f"more than {_shown(most)}", most)
        begin(START_SECONDS + DOUBT * most / (epochs * times), overrun)

    def require(cost: _Cost) -> None:
        seconds = cost.of_epoch(job, dataset) * epochs
        if seconds > most:
            raise _refusal(job, f"about {_shown(seconds)}", most)

    begin_part(count_steps(job, dataset))
    step = _time_epoch(jobs, _cut(dataset, job.batch_size, 1), device)
    require(_Cost(step=step, evaluation=0.0))

    begin_part(count_blocks(dataset))
    both = _time_epoch(jobs, _cut(dataset, job.batch_size, EVALUATION_BLOCK), device)
    cost = _Cost(step=step, evaluation=max(0.0, both - step))
    require(cost)
    return cost.of_epoch(job, dataset) * job.epochs


def _refusal(job: TrainingJob, seconds: str, most: float) -> ModelError:
    """Return the error of a training that costs more than its budget of seconds."""
    layer = find_dearest_layer(job.model, job.input_shape)
    return ModelError(
        f"its training would take {seconds} on one core of this machine, over all seeds, but the "
        f"budget is {_shown(most)}; most of the work is in layer {layer.path}, {layer.describe()}",
        next_step="Make that layer smaller (fewer channels, a smaller window, an earlier pooling), "
        "or train for fewer epochs.",
    )


def _shown(seconds: float) -> str:
    return f"{seconds:,.0f} s" if seconds >= 10 else f"{seconds:.1f} s"


@cache
def _measure_reference(device: str) -> _Cost:
    """Time the reference network, once in a process, on noise."""
    noise = torch.Generator().manual_seed(0)
    shape = (EVALUATION_BLOCK, *_NOISE.input_shape)
    inputs = torch.randint(0, 256, shape, generator=noise, dtype=torch.uint8)
    targets = torch.arange(EVALUATION_BLOCK) % _NOISE.outputs
    dataset = Dataset(
        name="noise",
        sha256="",
        facts=_NOISE,
        train_inputs=inputs,
        train_targets=targets,
        test_inputs=inputs,
        test_targets=targets,
    )
    step = _time_epoch([REFERENCE], _cut(dataset, REFERENCE.batch_size, 1), device)
    both = _time_epoch([REFERENCE], _cut(dataset, REFERENCE.batch_size, EVALUATION_BLOCK), device)
    return _Cost(step=step, evaluation=max(0.0, both - step))


def _cut(dataset: Dataset, train: int, test: int) -> Dataset:
    """Return the first examples of a data set."""
    return replace(
        dataset,
        train_inputs=dataset.train_inputs[:train],
        train_targets=dataset.train_targets[:train],
        test_inputs=dataset.test_inputs[:test],
        test_targets=dataset.test_targets[:test],
    )


class _EnoughError(Exception):
    """The measurement is long enough."""


def _time_epoch(jobs: Sequence[TrainingJob], dataset: Dataset, device: str) -> float:
    """Return the shortest time of an epoch on this data; the first includes building the model."""
    clock = time.process_time if torch.device(device).type == "cpu" else time.perf_counter
    times = [clock()]

    def ended(index: int, _epoch: int, _result: EpochResult) -> None:
        if index > 0:
            return
        times.append(clock())
        if len(times) > 2 and times[-1] - times[0] > ENOUGH_SECONDS:
            raise _EnoughError

    cut = [
        replace(
            job,
            epochs=MOST_STEPS,
            scheduler=None,
            stop_at_accuracy=None,
            counted_epoch="final",
        )
        for job in jobs
    ]
    with suppress(_EnoughError):
        # By PyTorch's layers, so that a budget holds alike for models with and without kernels.
        train_stacked(cut, dataset, device=device, on_epoch=ended)
    if len(times) == 1:  # it diverged in its first step
        times.append(clock())
    return min(after - before for before, after in pairwise(times))
