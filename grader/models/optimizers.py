"""Build optimisers and learning-rate schedulers from validated specs."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from grader.errors import ModelError
from grader.models.build import first_line
from grader.models.kinds import OPTIMIZER_KINDS, SCHEDULER_KINDS
from grader.models.spec import OptimizerSpec, SchedulerSpec, require_known

FUSED_OPTIMIZERS = frozenset({"SGD", "Adam", "AdamW", "Adagrad"})
"""Optimisers with `fused=True` on the CPU in every torch from 2.6 on, each measured faster."""

FUSED_ON_CPU_ONLY = frozenset({"Adagrad"})


def _leave_compiler_unloaded() -> None:
    """Keep PyTorch from importing torch.compile's machinery (900 modules, as long as torch itself).

    The first call of `Optimizer.add_param_group` imports the compiler, only to mark the function
    as not compiled, unless the function already carries the mark under this name.
    """
    original = inspect.unwrap(torch.optim.Optimizer.add_param_group)
    if not hasattr(original, "__dynamo_disable"):
        setattr(original, "__dynamo_disable", original)


_leave_compiler_unloaded()


def build_optimizer(spec: OptimizerSpec, model: nn.Module) -> torch.optim.Optimizer:
    """Return the optimiser over `model`'s parameters, fused where PyTorch can fuse it.

    Args:
        spec: over the parameters of `model`, each once.
        model: any.

    Raises:
        ModelError: the kind is unknown, PyTorch refuses the settings, or there is no parameter.
    """
    parameters = dict(model.named_parameters())
    if not any(group.parameters for group in spec.groups):
        raise ModelError(
            f"{spec.kind} has no parameters to train",
            next_step="Pass model.parameters() to the optimiser, of a model with a Linear layer.",
        )
    groups: list[dict[str, Any]] = [
        {"params": [parameters[name] for name in group.parameters], **group.settings}
        for group in spec.groups
    ]
    for group in spec.groups:
        require_known(OPTIMIZER_KINDS, spec.kind, group.settings)
    optimizer_class = getattr(torch.optim, spec.kind)
    on_gpu = any(parameter.is_cuda for parameter in parameters.values())
    can_fuse = FUSED_OPTIMIZERS - FUSED_ON_CPU_ONLY if on_gpu else FUSED_OPTIMIZERS
    fused = {"fused": True} if spec.kind in can_fuse else {}
    try:
        for group in spec.groups:
            _check_settings(optimizer_class, group.settings)
        built: torch.optim.Optimizer = optimizer_class(groups, **fused)
    except (ValueError, TypeError, RuntimeError) as error:
        raise ModelError(f"{spec.kind} cannot be built: {first_line(error)}") from error
    if on_gpu:
        # The step count then lies on the GPU too, so that a CUDA graph can hold the step.
        for settings in built.param_groups:
            if "capturable" in settings:
                settings["capturable"] = True
    return built


def _check_settings(optimizer_class: type, settings: Mapping[str, Any]) -> None:
    """Have PyTorch check a group's settings, which it checks only in its constructor's arguments.

    Raises:
        ValueError, TypeError, RuntimeError: PyTorch refuses the settings.
    """
    if not settings.get("momentum", True):
        # Nesterov without momentum has no effect, and PyTorch does not look at a group's own.
        settings = {name: value for name, value in settings.items() if name != "nesterov"}
    optimizer_class([nn.Parameter(torch.zeros(1))], **settings)


def join_parameters(optimizer: torch.optim.Optimizer) -> None:
    """Lay the parameters of each group into one tensor, and their gradients, which begin at zero.

    A step then costs PyTorch the bookkeeping of one tensor. Only optimisers of `FUSED_OPTIMIZERS`,
    which treat every number alike, that have no state yet; others stay as they are.
    """
    if type(optimizer).__name__ not in FUSED_OPTIMIZERS or optimizer.state:
        return
    for group in optimizer.param_groups:
        parameters: list[nn.Parameter] = group["params"]
        joined = nn.Parameter(torch.cat([each.detach().flatten() for each in parameters]))
        joined.grad = torch.zeros_like(joined)
        first = 0
        for parameter in parameters:
            place = slice(first, first := first + parameter.numel())
            parameter.data = joined.detach()[place].view_as(parameter)
            parameter.grad = joined.grad[place].view_as(parameter)
        group["params"] = [joined]


def build_scheduler(
    spec: SchedulerSpec, optimizer: torch.optim.Optimizer
) -> torch.optim.lr_scheduler.LRScheduler:
    """Return the scheduler, to be stepped once at the end of each epoch.

    Raises:
        ModelError: the kind is unknown, or PyTorch refuses the arguments.
    """
    name = require_known(SCHEDULER_KINDS, spec.kind, spec.arguments)
    scheduler_class = getattr(torch.optim.lr_scheduler, name)
    try:
        built: torch.optim.lr_scheduler.LRScheduler = scheduler_class(optimizer, **spec.arguments)
    except (ValueError, TypeError, RuntimeError) as error:
        raise ModelError(f"{spec.kind} cannot be built: {first_line(error)}") from error
    return built
