"""Describe a student's `nn.Sequential` as plain data: kinds, arguments, irregularities."""

from __future__ import annotations

import base64
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from torch import nn

from grader.models.kinds import LAYER_KINDS, Argument
from grader.sandbox.protocol import WorkerLimits
from grader.sandbox.worker.chain import MAXIMUM_NESTING, as_chain
from grader.sandbox.worker.failures import StudentError, derives, safe_text, type_name
from grader.sandbox.worker.irregularities import (
    LAYER_CLASSES,
    find_irregularity,
    find_override,
    find_own_hook,
    named_parameters,
)

MAXIMUM_NAME = 200

_SEQUENTIAL = nn.Sequential
_ADVICE = "Return the model itself: nn.Sequential(nn.Linear(…), nn.ReLU(), …)."


@dataclass(frozen=True, kw_only=True)
class DescribedModel:
    """A described model, and the parameters that its optimiser is compared with.

    Attributes:
        modules: the layers with their paths.
        layers: the fields of `models.spec.LayerSpec`, one for each layer.
        names: the parameters' names in the flattened model, by `id()`.
        parameters: the same parameters, kept alive so that no `id()` is reused.
        unused: the ids of parameters that the model's forward() never reaches.
        class_name: of a class of the student's whose forward() was traced, or "".
        flattened: the images were flattened before the model, which has a `Flatten` for that now.
    """

    modules: list[tuple[str, nn.Module]]
    layers: list[dict[str, Any]]
    names: dict[int, str]
    parameters: list[nn.Parameter]
    unused: frozenset[int] = frozenset()
    class_name: str = ""
    flattened: bool = False


def describe_model(
    model: object,
    subject: str,
    limits: WorkerLimits,
    submission: Path,
    example: torch.Tensor | None = None,
) -> DescribedModel:
    """Flatten and describe a model.

    Args:
        model: the student's.
        subject: the beginning of messages: "model_c() returned", or "model_c is" for a variable.
        limits: on layers and parameters.
        submission: the student's directory.
        example: a batch that the model was given, if it is known.

    Raises:
        StudentError: it is neither an ordinary `nn.Sequential` nor a chain of layers, or exceeds
            a limit.
    """
    _refuse_other_types(model, subject)
    chain = as_chain(model, subject, submission, example)
    model = chain.sequential
    layers: list[dict[str, Any]] = []
    names: dict[int, str] = {}
    parameters: list[nn.Parameter] = []
    seen_layers: dict[int, int] = {}
    modules: list[tuple[str, nn.Module]] = []
    for path, layer in _flatten(model, subject, "", ()):
        index = len(layers)
        modules.append((path, layer))
        if index == limits.layers:
            raise StudentError(
                "limit",
                f"{subject} a model of more than {index} layers.",
                "Use a smaller model.",
            )
        irregularity, detail = find_irregularity(layer, seen_layers.get(id(layer)), names)
        kind = LAYER_CLASSES.get(type(layer))
        layers.append(
            {
                "kind": kind.name if kind else _kind_name(type(layer)),
                "path": path[:MAXIMUM_NAME],
                "arguments": {a.name: _read(layer, a, path) for a in kind.arguments}
                if kind
                else {},
                "irregularity": irregularity,
                "irregularity_detail": detail[:MAXIMUM_NAME],
            }
        )
        seen_layers.setdefault(id(layer), index)
        for name, parameter in named_parameters(layer):
            if id(parameter) not in names:
                names[id(parameter)] = f"{index}.{name}"
                parameters.append(parameter)
    if not layers:
        raise StudentError("wrong-value", f"{subject} a model without layers.", _ADVICE)
    lazy = nn.parameter.UninitializedParameter
    count = sum(parameter.numel() for parameter in parameters if not isinstance(parameter, lazy))
    if count > limits.parameters:
        raise StudentError(
            "limit",
            f"{subject} a model of {count:,} parameters; at most "
            f"{limits.parameters:,} can be graded.",
            "Use a smaller model.",
        )
    return DescribedModel(
        modules=modules,
        layers=layers,
        names=names,
        parameters=parameters,
        unused=chain.unused,
        class_name=chain.class_name,
        flattened=chain.flattened,
    )


def load_weights(model: nn.Module, path: Path, file: str) -> None:
    """Load a file of weights into a student's model.

    Args:
        model: the student's.
        path: of the file.
        file: its name, for messages.

    Raises:
        StudentError: there is no such file, it cannot be read, or it does not fit the model.
    """
    save = f"torch.save(model.state_dict(), {path.name!r})"
    if path.suffix == ".safetensors":
        save = f"safetensors.torch.save_file(model.state_dict(), {path.name!r})"
    if not path.is_file():
        raise StudentError(
            "missing-file",
            f"{file} was not handed in, or is too large.",
            f"Hand in the weights: {save}.",
        )
    try:
        if path.suffix == ".safetensors":
            state = safetensors.torch.load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # noqa: BLE001 - a damaged or hostile file raises anything
        raise StudentError(
            "wrong-value",
            f"{file} cannot be read as weights: {safe_text(error).partition(chr(10))[0][:200]}",
            f"Save the weights alone, not the whole model: {save}.",
        ) from None
    found = _find_state(state)
    if found is None:
        raise StudentError("wrong-value", f"{file} holds no state dict.", f"Save it by {save}.")
    mismatch = _find_mismatch(found, model.state_dict())
    if mismatch:
        raise StudentError(
            "wrong-value",
            f"{file} does not fit the model: {mismatch}.",
            "Save the weights of the very model that the function returns.",
        )
    model.load_state_dict(found)


def _find_state(saved: object) -> dict[str, torch.Tensor] | None:
    """Return the state dict of a file, which may be an entry of a checkpoint."""
    if not isinstance(saved, dict):
        return None
    if saved and all(isinstance(tensor, torch.Tensor) for tensor in saved.values()):
        # nn.DataParallel puts "module." before each name.
        return {str(name).removeprefix("module."): tensor for name, tensor in saved.items()}
    for name in _CHECKPOINT_ENTRIES:
        if (state := _find_state(saved.get(name))) is not None:
            return state
    return None


_CHECKPOINT_ENTRIES = ("model_state_dict", "state_dict", "model_state", "model", "net", "weights")


def _find_mismatch(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> str:
    """Return how a state dict differs from the model's in names and shapes, or ""."""
    for name, tensor in expected.items():
        if name not in found:
            return f"it has no {name}"
        if found[name].shape != tensor.shape:
            shapes = tuple(found[name].shape), tuple(tensor.shape)
            return f"{name} has the shape {shapes[0]}, but the model's has {shapes[1]}"
    surplus = next((name for name in found if name not in expected), None)
    return "" if surplus is None else f"it has {surplus[:100]}, which the model lacks"


def encode_weights(described: DescribedModel, subject: str, limits: WorkerLimits) -> str:
    """Return the model's parameters and buffers as a safetensors file in base64.

    Raises:
        StudentError: they do not fit into a message, or have no values.
    """
    if any(layer["irregularity"] == "lazy" for layer in described.layers):
        raise StudentError(
            "wrong-value",
            f"{subject} a model whose weights are not initialised.",
            "Use nn.Linear with both sizes instead of a lazy layer, and set its weights.",
        )
    tensors = {
        f"{index}.{name}": tensor
        for index, (_, layer) in enumerate(described.modules)
        for name, tensor in layer.state_dict().items()
    }
    size = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
    if size * 4 // 3 > limits.message_bytes // 2:
        raise StudentError(
            "limit",
            f"{subject} a model whose weights take {size:,} bytes, more than an answer may.",
            "Use the small model that is asked for.",
        )
    # safetensors refuses tensors that share memory.
    cloned = {name: tensor.cpu().contiguous().clone() for name, tensor in tensors.items()}
    return base64.b64encode(safetensors.torch.save(cloned)).decode()


def _refuse_other_types(model: object, subject: str) -> None:
    kind = type(model)
    if derives(kind, nn.Module):
        return
    name = type_name(kind)
    if model is None:
        message = f"{subject} None: did you forget `return`?"
    elif isinstance(model, type) and issubclass(model, nn.Module):
        message = f"{subject} the class {type_name(model)}, not a model."
    else:
        message = f"{subject} a value of type {name}; expected an nn.Sequential."
    raise StudentError("wrong-type", message, _ADVICE)


def _flatten(
    module: Any, subject: str, prefix: str, containers: tuple[int, ...]
) -> Iterator[tuple[str, nn.Module]]:
    """Yield the layers with their paths, in the order of the forward pass."""
    if id(module) in containers:
        raise StudentError(
            "wrong-value",
            f"{subject} a Sequential that contains itself.",
            "Build every Sequential of its own layers.",
        )
    if len(containers) == MAXIMUM_NESTING:
        raise StudentError(
            "limit",
            f"{subject} Sequentials nested more than {MAXIMUM_NESTING} deep.",
            "Use fewer levels.",
        )
    _refuse_irregular_container(module, subject, prefix)
    for name, child in module.__dict__["_modules"].items():
        path = f"{prefix}{name}"
        if type(child) is _SEQUENTIAL:
            yield from _flatten(child, subject, f"{path}.", (*containers, id(module)))
        elif isinstance(child, nn.Module):
            yield path, child
        else:
            raise StudentError(
                "wrong-value",
                f"{subject} a model whose layer {path} is {type_name(type(child))}, not a layer.",
                "Put only layers of torch.nn into the Sequential.",
            )


def _refuse_irregular_container(module: nn.Sequential, subject: str, prefix: str) -> None:
    where = f"the Sequential {prefix.removesuffix('.')}" if prefix else "the Sequential itself"
    found = find_override(module) or find_own_hook(module)
    own = [*module.__dict__["_parameters"], *module.__dict__["_buffers"]]
    if found is None and own:
        found = ("parameters", own[0])
    if found is not None:
        words = {
            "override": "an attribute that replaces a method",
            "hook": "a hook",
            "parameters": "a parameter or buffer of its own",
        }
        raise StudentError(
            "wrong-value",
            f"{subject} a model with {words[found[0]]} on {where}: {found[1]}.",
            "Use a plain nn.Sequential; only its layers are graded.",
        )


def _kind_name(kind: type) -> str:
    """Return the name of a class that cannot be described, never that of a layer kind."""
    name = type_name(kind)
    ours = name in LAYER_KINDS or getattr(nn, name, kind) is not kind
    return f"{kind.__module__}.{name}"[-MAXIMUM_NAME:] if ours else name


def _read(layer: nn.Module, argument: Argument, path: str) -> Any:
    """Return a constructor argument; `StudentError` if the attribute has a type it never has."""
    value = getattr(layer, argument.name, None)
    if argument.name == "bias":
        return value is not None
    plain = plain_argument(value)
    if plain is None and value is not None:
        raise StudentError(
            "wrong-value",
            f"Layer {path} is a {type_name(type(layer))} whose {argument.name} is "
            f"a {type_name(type(value))}.",
            f"Set {argument.name} to a number.",
        )
    return plain


def _is_single(value: Any) -> bool:
    count = value.numel() if isinstance(value, torch.Tensor) else value.size
    return bool(count == 1)


def plain_argument(value: Any) -> Any:
    """Return an argument's value as JSON holds it, or None if it is not of a plain type."""
    kind = type(value)
    plain: Any = None
    if kind is bool:
        plain = value
    elif issubclass(kind, int):
        plain = int.__int__(value)
    elif issubclass(kind, float):
        number = float.__float__(value)
        plain = number if math.isfinite(number) else str(number)  # JSON has no inf and nan
    elif issubclass(kind, str):
        plain = str.__str__(value)
    elif issubclass(kind, (torch.Tensor, np.ndarray, np.generic)) and _is_single(value):
        plain = plain_argument(value.item())
    elif issubclass(kind, (list, tuple)):
        items = [plain_argument(item) for item in value]
        plain = None if any(item is None for item in items) else items
    return plain
