"""Find layers that differ from what their class and arguments say.

The codes are those of `grader.models.kinds.IRREGULARITIES`.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from grader.models.kinds import LAYER_KINDS

LAYER_CLASSES = {getattr(nn, name): kind for name, kind in LAYER_KINDS.items()}
# Constructor arguments that change a layer and that a description does not hold.
_UNSUPPORTED = {"return_indices": False, "divisor_override": None}


def find_irregularity(
    layer: nn.Module, same_as: int | None, names: dict[int, str]
) -> tuple[str | None, str]:
    """Return the most serious irregularity of a layer, and its detail."""
    kind = type(layer)
    if kind not in LAYER_CLASSES:
        return _foreign_class(layer, kind)
    stateful = bool(layer.__dict__["_parameters"] or layer.__dict__["_buffers"])
    if same_as is not None and stateful:
        return "shared", f"the same object as layer {same_as}"
    own = dict(named_parameters(layer))
    for name, parameter in own.items():
        if id(parameter) in names:
            return "shared", f"its {name} is {names[id(parameter)]}"
    found = find_override(layer) or find_own_hook(layer) or _find_parameter_hook(layer)
    if found is not None:
        return found
    for name, usual in _UNSUPPORTED.items():
        if layer.__dict__.get(name, usual) != usual:
            return "unknown", f"{name} is not supported"
    return _find_odd_parameters(layer, own)


def _foreign_class(layer: nn.Module, kind: type) -> tuple[str, str]:
    if "parametrizations" in layer.__dict__["_modules"]:
        return "parametrization", ", ".join(layer.__dict__["_modules"]["parametrizations"].keys())
    if kind.__module__.startswith("torch.nn.") and getattr(nn, kind.__name__, None) is kind:
        lazy = kind.__name__.startswith("Lazy")
        return ("lazy", "") if lazy else ("unknown", "")
    bases = [base.__name__ for base in kind.__mro__ if base in LAYER_CLASSES]
    return "subclass", f"derived from {bases[0]}" if bases else ""


def find_override(module: nn.Module) -> tuple[str, str] | None:
    """Return an attribute of the instance that replaces a method of its class, or None."""
    kind = type(module)
    for name, value in module.__dict__.items():
        if name == "_compiled_call_impl":
            if value is not None:
                return "override", "compile()"
        elif callable(getattr(kind, name, None)):
            return "override", name
    return None


def find_own_hook(module: nn.Module) -> tuple[str, str] | None:
    """Return a hook on the module itself, not on its parameters, or None."""
    for name, value in module.__dict__.items():
        if name.endswith("_hooks") and isinstance(value, dict) and value:
            return "hook", name.strip("_").removesuffix("s").replace("_", " ")
    return None


def _find_parameter_hook(module: nn.Module) -> tuple[str, str] | None:
    for name, parameter in named_parameters(module):
        hooks = parameter._backward_hooks or parameter._post_accumulate_grad_hooks  # noqa: SLF001
        if hooks:
            return "hook", f"on {name}"
    return None


def _find_odd_parameters(layer: nn.Module, own: dict[str, nn.Parameter]) -> tuple[str | None, str]:
    if any(isinstance(p, nn.parameter.UninitializedParameter) for p in own.values()):
        return "lazy", ""
    detail = _unexpected_state(layer, own)
    if detail:
        return "parameters", detail
    for name, parameter in own.items():
        if parameter.dtype != torch.float32:
            return "dtype", f"{name} is {parameter.dtype}"
    for name, parameter in own.items():
        if parameter.device.type != "cpu":
            return "device", f"{name} is on {parameter.device}"
    for name, parameter in own.items():
        if not parameter.requires_grad:
            return "frozen", name
    return (None, "") if layer.training else ("evaluation", "")


def _unexpected_state(layer: nn.Module, own: dict[str, nn.Parameter]) -> str:
    """Return in a few words what a layer holds that its class and arguments do not declare."""
    if layer.__dict__["_modules"]:
        return f"a layer inside it: {next(iter(layer.__dict__['_modules']))}"
    expected = _expected_shapes(layer)
    for name, parameter in own.items():
        if name not in expected:
            return name
        if tuple(parameter.shape) != expected[name]:
            return f"{name} has shape {tuple(parameter.shape)}, not {expected[name]}"
    absent = [name for name in expected if name not in own and name != "bias"]
    if absent:
        return f"its {absent[0]} is missing"
    buffers = {"running_mean", "running_var", "num_batches_tracked"}
    usual = buffers if isinstance(layer, (nn.BatchNorm1d, nn.BatchNorm2d)) else set()
    extra = [name for name in layer.__dict__["_buffers"] if name not in usual]
    return extra[0] if extra else ""


def _expected_shapes(layer: Any) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the parameters that a layer's own attributes imply."""
    if isinstance(layer, nn.Linear):
        return {
            "weight": (layer.out_features, layer.in_features),
            "bias": (layer.out_features,),
        }
    if isinstance(layer, (nn.Conv1d, nn.Conv2d)):
        inputs = layer.in_channels // layer.groups
        return {
            "weight": (layer.out_channels, inputs, *layer.kernel_size),
            "bias": (layer.out_channels,),
        }
    if isinstance(layer, (nn.BatchNorm1d, nn.BatchNorm2d)) and layer.affine:
        return {"weight": (layer.num_features,), "bias": (layer.num_features,)}
    if isinstance(layer, nn.LayerNorm) and layer.elementwise_affine:
        shape = tuple(layer.normalized_shape)
        return {"weight": shape, "bias": shape}
    return {}


def named_parameters(layer: nn.Module) -> list[tuple[str, nn.Parameter]]:
    """Return every parameter of a layer, those of layers inside it included."""
    return [
        *((n, p) for n, p in layer.__dict__["_parameters"].items() if p is not None),
        *(
            (f"{child_name}.{name}", parameter)
            for child_name, child in layer.__dict__["_modules"].items()
            if child is not None
            for name, parameter in child.named_parameters()
        ),
    ]
