"""Chooses the compiled network for a job, where there is one."""

from __future__ import annotations

import math
import os
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from grader.models.build import build_model
from grader.models.shapes import count_state, find_shapes
from grader.training.data_places import default_cache_directory
from grader.training.job import TrainingJob

if TYPE_CHECKING:
    from grader.training.compiled.network import CompiledNetwork

LARGEST = 2**23  # numbers in a layer's outputs for one batch, or in the model: 32 MB


def compile_network(
    job: TrainingJob, model: nn.Sequential, train: Any, device: str
) -> CompiledNetwork | None:
    """Return the network on `grader.training.loop.Examples`, or None if PyTorch is to train it."""
    if not _suits(job, device):
        return None
    os.environ.setdefault("NUMBA_CACHE_DIR", str(default_cache_directory() / "kernels"))
    try:
        from grader.training.compiled import network  # noqa: PLC0415 - numba takes half a second

        return network.CompiledNetwork(model, train, job.batch_size, job.seed)
    except (ImportError, RuntimeError):  # no numba, no directory for its code, or no kernel
        return None


def can_compile(job: TrainingJob, device: str) -> bool:
    """Return True if kernels train the job, compiled now; raise `ModelError` if it does not fit."""
    if not _suits(job, device):  # a model may be too large to build
        return False
    inputs, targets = torch.zeros(job.batch_size, *job.input_shape), torch.zeros(job.batch_size)
    zeros = SimpleNamespace(inputs=inputs.byte(), targets=targets.long(), mean_and_std=None)
    with torch.random.fork_rng(devices=[]):
        network = compile_network(job, build_model(job.model), zeros, device)
    if network is not None:
        network.step(torch.arange(job.batch_size))
    return network is not None


def _suits(job: TrainingJob, device: str) -> bool:
    shapes = (job.input_shape, *find_shapes(job.model, job.input_shape))
    outputs = job.batch_size * max(map(math.prod, shapes))
    is_small = max(outputs, sum(map(count_state, job.model.layers))) <= LARGEST
    # Batches of less than 16 leave the vectors of the innermost loops half empty.
    is_usual = job.loss == "CrossEntropyLoss" and job.epochs > 0 and job.batch_size >= 16
    return device == "cpu" and is_small and is_usual
