"""Describe a student's optimiser and scheduler as plain data."""

from __future__ import annotations

from typing import Any

import torch
from torch.optim import lr_scheduler

from grader.models.kinds import (
    DEFAULT_LEARNING_RATE,
    OPTIMIZER_KINDS,
    SCHEDULER_KINDS,
    Kind,
)
from grader.sandbox.worker.describe_model import DescribedModel, plain_argument
from grader.sandbox.worker.failures import StudentError, type_name, type_name_with_article

_OPTIMIZERS = {getattr(torch.optim, name): kind for name, kind in OPTIMIZER_KINDS.items()}
_SCHEDULERS = {getattr(lr_scheduler, name): kind for name, kind in SCHEDULER_KINDS.items()}
_STEPPED_OTHERWISE = {
    "ReduceLROnPlateau": "which needs a validation loss at every step",
    "OneCycleLR": "which is meant to step after every batch",
    "CyclicLR": "which is meant to step after every batch",
}
"""Schedulers that cannot be stepped once after each epoch, with the reason."""
MAXIMUM_NAMED = 4


def spare_compiler_import() -> None:
    """Keep the first optimiser from importing PyTorch's compiler, which takes about two seconds.

    `torch._compile._disable_dynamo` wraps methods of `Optimizer` and imports the compiler at the
    first call, unless the function already carries the result under this name.
    """
    for method in vars(torch.optim.Optimizer).values():
        wrapped = getattr(method, "__wrapped__", None)
        if wrapped is not None:
            setattr(wrapped, "__dynamo_disable", wrapped)


def default_optimizer(model: torch.nn.Module) -> torch.optim.Optimizer | None:
    """Return the optimiser of a student who declares none, or None if nothing can be trained."""
    parameters = list(model.parameters())
    return torch.optim.Adam(parameters, lr=DEFAULT_LEARNING_RATE) if parameters else None


def describe_optimizer(
    optimizer: object, subject: str, described: DescribedModel
) -> dict[str, Any]:
    """Return the fields of `models.spec.OptimizerSpec`.

    `subject` begins the messages: "optimizer_c(model) returned", or "optimizer_c is".

    Raises:
        StudentError: its class cannot be rebuilt, or it is not over the model's parameters.
    """
    kind = _OPTIMIZERS.get(type(optimizer))
    if kind is None:
        raise StudentError(
            "wrong-type",
            f"{subject} {_name_type(optimizer)}, with which the grader does not train.",
            f"Use one of these: {', '.join(OPTIMIZER_KINDS)}.",
        )
    groups = []
    taken: set[str] = set()
    for group in optimizer.param_groups:  # type: ignore[attr-defined]
        # Without a gradient, an unused parameter is never changed.
        trained = [each for each in group["params"] if id(each) not in described.unused]
        if group["params"] and not trained:
            continue
        names = [described.names.get(id(parameter), "") for parameter in trained]
        if "" in names:
            raise StudentError(
                "wrong-value",
                f"{subject} an optimiser that holds {names.count('')} parameters of another model.",
                "Pass model.parameters() of the model that is asked for, and build no second "
                "model.",
            )
        twice = [name for name in names if name in taken or names.count(name) > 1]
        if twice:
            raise StudentError(
                "wrong-value",
                f"{subject} an optimiser that holds {twice[0]} twice.",
                "Put every parameter into one group only.",
            )
        taken.update(names)
        groups.append({"parameters": names, "settings": _settings(kind, group, subject)})
    missing = [name for name in described.names.values() if name not in taken]
    if missing:
        listed = ", ".join(missing[:MAXIMUM_NAMED]) + (", …" if missing[MAXIMUM_NAMED:] else "")
        raise StudentError(
            "wrong-value",
            f"{subject} an optimiser that leaves out {len(missing)} of the "
            f"model's parameters, which would never be trained: {listed}.",
            "Pass model.parameters(), or groups that hold all of them together.",
        )
    decoupled = kind.name == "Adam" and any(
        group.get("decoupled_weight_decay")
        for group in optimizer.param_groups  # type: ignore[attr-defined]
    )
    # Since torch 2.8 an Adam with decoupled weight decay is what AdamW is.
    return {"kind": "AdamW" if decoupled else kind.name, "groups": groups}


def describe_scheduler(scheduler: object, subject: str, optimizer: object) -> dict[str, Any]:
    """Return the fields of `models.spec.SchedulerSpec`; `subject` as for the optimiser.

    Raises:
        StudentError: its class cannot be rebuilt, or it belongs to another optimiser.
    """
    kind = _SCHEDULERS.get(type(scheduler))
    if kind is None:
        reason = "expected a scheduler of torch.optim.lr_scheduler"
        name = type_name(type(scheduler))
        if getattr(lr_scheduler, name, None) is type(scheduler):
            reason = _STEPPED_OTHERWISE.get(name, "which the grader does not rebuild")
        raise StudentError(
            "wrong-type",
            f"{subject} {_name_type(scheduler)}, {reason}. The grader steps "
            "a scheduler once after each epoch.",
            f"Return one of these: {', '.join(SCHEDULER_KINDS)}.",
        )
    if getattr(scheduler, "optimizer", None) is not optimizer:
        raise StudentError(
            "wrong-value",
            f"{subject} a scheduler of another optimiser.",
            "Build it on the optimiser that is asked for.",
        )
    arguments = {}
    for argument in kind.arguments:
        value = getattr(scheduler, argument.name, None)
        if argument.name == "milestones" and isinstance(value, dict):
            # MultiStepLR keeps a Counter of its milestones.
            value = [step for step, count in sorted(value.items()) for _ in range(count)]
        arguments[argument.name] = plain_argument(value)
    return {"kind": kind.name, "arguments": arguments}


def _settings(kind: Kind, group: dict[str, Any], subject: str) -> dict[str, Any]:
    settings = {}
    for argument in kind.arguments:
        value = group.get(argument.name)
        if argument.type == "boolean":
            settings[argument.name] = bool(value)
            continue
        plain = plain_argument(value)
        if plain is None:
            raise StudentError(
                "wrong-value",
                f"{subject} a {kind.name} whose {argument.name} is {_name_type(value)}.",
                f"Set {argument.name} to a number.",
            )
        settings[argument.name] = plain
    return settings


def _name_type(value: object) -> str:
    return "None" if value is None else type_name_with_article(type(value))
