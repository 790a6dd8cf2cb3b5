"""Live optimisers and learning-rate schedulers from validated specs."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from grader.errors import ModelError
from grader.models.build import first_line, refuse_mistakes
from grader.models.kinds import OPTIMIZER_KINDS, SCHEDULER_KINDS
from grader.models.spec import OptimizerSpec, SchedulerSpec

FUSED_OPTIMIZERS = frozenset({"SGD", "Adam", "AdamW", "Adagrad"})
"""Those with `fused=True` on the CPU in every torch from 2.6 on; it measures faster for each."""

FUSED_ON_CPU_ONLY = frozenset({"Adagrad"})


def _leave_compiler_unloaded() -> None:
    """Keep PyTorch from importing torch.compile's machinery (900 modules, as long as torch itself).

    `Optimizer.add_param_group` is marked as not to be compiled, and the mark imports the compiler
    at the first call, unless the function carries its answer already, under this name.
    """
    original = inspect.unwrap(torch.optim.Optimizer.add_param_group)
    if not hasattr(original, "__dynamo_disable"):
        setattr(original, "__dynamo_disable", original)


_leave_compiler_unloaded()


def build_optimizer(spec: OptimizerSpec, model: nn.Module) -> torch.optim.Optimizer:
    """The optimiser over `model`'s parameters, fused where PyTorch has a fused one for the device.

    Raises:
        ModelError: it is not one that can be rebuilt, or its groups do not fit the model.
    """
    kind = OPTIMIZER_KINDS.get(spec.kind)
    if kind is None:
        raise ModelError(
            f"the optimiser {spec.kind} is not one that the grader knows",
            next_step=f"Use one of {', '.join(OPTIMIZER_KINDS)}.",
        )
    parameters = dict(model.named_parameters())
    groups: list[dict[str, Any]] = []
    used: set[str] = set()
    for number, group in enumerate(spec.groups):
        where = f"parameter group {number} of {spec.kind}"
        refuse_mistakes(kind, group.settings, where)
        if group.settings.get("maximize"):
            raise ModelError(
                f"{where} has maximize=True, which climbs the loss instead of descending it",
                next_step="Leave maximize out.",
            )
        for name in group.parameters:
            if name not in parameters or name in used:
                reason = "twice" if name in used else "but the model has no such parameter"
                raise ModelError(f"{where} names {name} {reason}")
            used.add(name)
        groups.append({"params": [parameters[name] for name in group.parameters], **group.settings})
    if not used:
        raise ModelError(
            f"{spec.kind} has no parameters to train",
            next_step="Hand model.parameters() to the optimiser, of a model with a Linear layer.",
        )
    optimizer_class = getattr(torch.optim, kind.name)
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
        # Its count of steps then lies on the GPU too, so that a CUDA graph can hold its step.
        for settings in built.param_groups:
            if "capturable" in settings:
                settings["capturable"] = True
    return built


def _check_settings(optimizer_class: type, settings: Mapping[str, Any]) -> None:
    """Have PyTorch check a group's settings, as it does where they are the constructor's too.

    Raises:
        ValueError, TypeError, RuntimeError: PyTorch refuses them.
    """
    if not settings.get("momentum", True):
        # Without momentum this has no effect, and a group's own is not looked at.
        settings = {name: value for name, value in settings.items() if name != "nesterov"}
    optimizer_class([nn.Parameter(torch.zeros(1))], **settings)


def build_scheduler(
    spec: SchedulerSpec, optimizer: torch.optim.Optimizer
) -> torch.optim.lr_scheduler.LRScheduler:
    """The scheduler, to be stepped once at the end of each epoch.

    Raises:
        ModelError: it is not one that can be rebuilt.
    """
    kind = SCHEDULER_KINDS.get(spec.kind)
    if kind is None:
        raise ModelError(
            f"the scheduler {spec.kind} is not one that the grader knows",
            next_step=f"Use one of {', '.join(SCHEDULER_KINDS)}.",
        )
    refuse_mistakes(kind, spec.arguments, "the scheduler")
    try:
        built: torch.optim.lr_scheduler.LRScheduler = getattr(torch.optim.lr_scheduler, kind.name)(
            optimizer, **spec.arguments
        )
    except (ValueError, TypeError, RuntimeError) as error:
        raise ModelError(f"{spec.kind} cannot be built: {first_line(error)}") from error
    return built
