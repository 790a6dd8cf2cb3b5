"""Build models from validated specs, and set their weights."""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import nn

from grader.errors import ModelError, memory_shortage
from grader.models.kinds import IRREGULARITIES, LAYER_KINDS
from grader.models.spec import CHANNEL_NORMS, LayerSpec, ModelSpec, require_known

if TYPE_CHECKING:
    from collections.abc import Iterator

_LATE_BIAS = CHANNEL_NORMS | {"GroupNorm"}
"""Layers whose constructor takes `bias` only in recent versions of PyTorch.

Every version can run one without a bias, so the bias is removed after construction.
"""


@contextmanager
def torch_warnings_ignored() -> Iterator[None]:
    """Run a student's model without PyTorch's warnings, which no user would see.

    Softmax without `dim` and an even kernel with padding="same" warn, for example.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def build_model(spec: ModelSpec) -> nn.Sequential:
    """Return the model as an ordinary `nn.Sequential`, freshly initialised by PyTorch.

    No layer is built `inplace`: it could overwrite the data set, or values that another layer's
    gradient needs. Outputs do not change.

    Raises:
        ModelError: layer `layer_index` cannot be rebuilt.
    """
    return nn.Sequential(*(_build_layer(index, layer) for index, layer in enumerate(spec.layers)))


def _build_layer(index: int, layer: LayerSpec) -> nn.Module:
    if layer.irregularity is not None:
        reason = IRREGULARITIES.get(layer.irregularity, "is not an ordinary layer of torch.nn")
        raise ModelError(
            f"layer {layer.path} ({layer.kind}) {reason}",
            layer_index=index,
            next_step="Use the layer of torch.nn as it is.",
        )
    name = require_known(LAYER_KINDS, layer.kind, layer.arguments, layer_index=index)
    arguments: dict[str, Any] = dict(layer.arguments)
    if "inplace" in arguments:
        arguments["inplace"] = False
    has_bias = True
    if name in _LATE_BIAS:
        has_bias = arguments.pop("bias")
    try:
        with torch_warnings_ignored():
            built: nn.Module = getattr(nn, name)(**arguments)
    except (ValueError, TypeError, RuntimeError, AssertionError) as error:
        if shortage := memory_shortage(error):
            raise shortage from error
        raise ModelError(
            f"layer {layer.path}, {layer.describe()}, cannot be built: {first_line(error)}",
            layer_index=index,
            next_step="Correct the layer's arguments.",
        ) from error
    if not has_bias:
        built.register_parameter("bias", None)
    return built


def first_line(error: Exception) -> str:
    """Return PyTorch's message without the stack of C++ calls that may follow."""
    return str(error).strip().partition("\n")[0]


def load_weights(model: nn.Module, encoded: bytes) -> None:
    """Set every parameter and buffer of `model` from a safetensors file.

    Raises:
        ModelError: names, shapes or types differ from the model's, or a value is not finite.
    """
    try:
        weights = safetensors.torch.load(encoded)
    except (SafetensorError, ValueError, KeyError) as error:
        raise ModelError(f"the weights cannot be read: {first_line(error)}") from error
    expected = model.state_dict()
    if weights.keys() != expected.keys():
        missing = ", ".join(sorted(expected.keys() - weights.keys())) or "none"
        surplus = ", ".join(sorted(weights.keys() - expected.keys())) or "none"
        raise ModelError(
            "the weights do not belong to this model: "
            f"missing are {missing}; not in the model are {surplus}"
        )
    for name, tensor in weights.items():
        if tensor.shape != expected[name].shape or tensor.dtype != expected[name].dtype:
            raise ModelError(
                f"{name} is {_shown_tensor(tensor)}, "
                f"but the model has {_shown_tensor(expected[name])}"
            )
        if not torch.isfinite(tensor).all():
            raise ModelError(
                f"{name} has values that are not finite (NaN or infinite)",
                next_step="Set every weight to an ordinary number.",
            )
    model.load_state_dict(weights)


def _shown_tensor(tensor: torch.Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} of shape {tuple(tensor.shape)}"
