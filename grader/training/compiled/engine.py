"""Chooses the compiled network for a job, where there is one."""

from __future__ import annotations

import math
import os
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from grader.models.build import build_model
from grader.models.shapes import find_shapes
from grader.training.data_places import default_cache_directory
from grader.training.job import TrainingJob

if TYPE_CHECKING:
    from grader.training.compiled.network import CompiledNetwork

LEAST_BATCH = 16  # smaller ones leave the vectors of the innermost loops half empty
LARGEST_LAYER = 2**23  # numbers in a layer's outputs for one batch: above, only memory counts


def compile_network(
    job: TrainingJob, model: nn.Sequential, train: Any, device: str
) -> CompiledNetwork | None:
    """Return the network on `grader.training.loop.Examples`, or None if PyTorch is to train it."""
    shapes = (job.input_shape, *find_shapes(job.model, job.input_shape))
    is_small = job.batch_size * max(map(math.prod, shapes)) <= LARGEST_LAYER
    is_usual = device == "cpu" and job.loss == "CrossEntropyLoss" and job.epochs > 0
    if not is_small or not is_usual or job.batch_size < LEAST_BATCH:
        return None
    # numba reads the variable on import.
    os.environ.setdefault("NUMBA_CACHE_DIR", str(default_cache_directory() / "kernels"))
    try:
        from grader.training.compiled import network  # noqa: PLC0415 - numba takes half a second
    except ImportError:  # numba is missing, or does not fit this numpy
        return None
    try:
        return network.CompiledNetwork(model, train, job.batch_size, job.seed)
    except network.UncoveredError:
        return None


def can_compile(job: TrainingJob, device: str) -> bool:
    """Return True if kernels train the job's model, and compile them, for about a second each.

    Raises:
        ModelError: the model cannot be built, or does not fit its input.
    """
    inputs = torch.zeros(job.batch_size, *job.input_shape, dtype=torch.uint8)
    targets = torch.zeros(job.batch_size, dtype=torch.int64)
    zeros = SimpleNamespace(inputs=inputs, targets=targets, mean_and_std=None)
    with torch.random.fork_rng(devices=[]):
        network = compile_network(job, build_model(job.model), zeros, device)
    if network is not None:
        network.step(torch.arange(job.batch_size))
        network.evaluate(zeros)
    return network is not None
