"""Find out whether a student set weights that PyTorch had set already, and in which line."""

from __future__ import annotations

import sys
import weakref
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd
from torch.overrides import TorchFunctionMode

from grader.sandbox.worker.failures import Line, find_line

MAXIMUM_LINES = 10_000
_LAYERS: tuple[type[Any], ...] = (nn.Linear, _ConvNd, _NormBase, nn.LayerNorm)
_SETTERS = frozenset({"__setitem__", "__imul__", "__itruediv__", "__iadd__", "__isub__", "__set__"})
_KEEPS_VALUES = frozenset({"requires_grad_", "detach_", "share_memory_", "zero_grad_"})


class InitialisationWatch(TorchFunctionMode):
    """Remember the weights that PyTorch gave to each layer, and the lines that set others.

    The weights are compared when a model is described, since `parameter.data` hides most changes.
    """

    def __init__(self, submission: Path) -> None:
        super().__init__()
        self._submission = submission
        self._known: dict[int, tuple[weakref.ref[torch.Tensor], tuple[float, float]]] = {}
        self._layers: dict[int, weakref.ref[nn.Module]] = {}
        self._lines: dict[int, Line] = {}  # by address of the values, or id() of the parameter

    def start(self) -> None:
        """Watch from now on, in this thread, until the process ends."""
        for kind in _LAYERS:
            kind.reset_parameters = self._noting(kind.reset_parameters)
        self.__enter__()  # type: ignore[no-untyped-call]

    def find(self, layers: Iterable[nn.Module]) -> tuple[bool, Line | None]:
        """Return True if one of the layers has weights of the student's own, and the line."""
        lines = []
        is_own = False
        for layer in layers:
            for parameter in layer.__dict__["_parameters"].values():
                if parameter is not None and self._is_own(layer, parameter):
                    is_own = True
                    lines.append(self._lines.get(parameter.data_ptr()))
                    lines.append(self._lines.get(id(parameter)))
        return is_own, next(filter(None, lines), None)

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if _sets_values(getattr(func, "__name__", "")):
            # The functions of nn.init pass all arguments by name.
            target = args[0] if args else (kwargs or {}).get("tensor")
            if isinstance(target, torch.Tensor):
                line = find_line(sys._getframe(1), self._submission)  # noqa: SLF001 - the caller
                if line is not None and len(self._lines) < MAXIMUM_LINES:
                    self._lines.setdefault(_address(target), line)
                    self._lines.setdefault(id(target), line)
        return result

    def _noting(self, reset: Callable[[Any], None]) -> Callable[[Any], None]:
        def reset_parameters(layer: Any) -> None:
            reset(layer)
            self._layers[id(layer)] = weakref.ref(layer)
            for parameter in layer.__dict__["_parameters"].values():
                if parameter is not None:
                    self._known[id(parameter)] = weakref.ref(parameter), _fingerprint(parameter)
                    self._lines.pop(_address(parameter), None)
                    self._lines.pop(id(parameter), None)

        return reset_parameters

    def _is_own(self, layer: nn.Module, parameter: torch.Tensor) -> bool:
        reference, values = self._known.get(id(parameter), (lambda: None, (0.0, 0.0)))
        if reference() is not parameter:
            # Replaced in a layer that was watched; a copied layer was not.
            watched = self._layers.get(id(layer))
            return watched is not None and watched() is layer
        return values != _fingerprint(parameter)


def _sets_values(name: str) -> bool:
    is_in_place = name.endswith("_") and not name.endswith("__") and name not in _KEEPS_VALUES
    return is_in_place or name in _SETTERS


def _address(tensor: torch.Tensor) -> int:
    try:
        return tensor.data_ptr()
    except (RuntimeError, ValueError):
        return 0  # a tensor without values, or a parameter of a lazy layer


def _fingerprint(parameter: torch.Tensor) -> tuple[float, float]:
    with torch._C.DisableTorchFunction(), torch.no_grad():  # noqa: SLF001 - the watch itself
        values = parameter.detach()
        if values.device.type == "meta":
            return 0.0, 0.0
        return float(values.sum()), float(torch.linalg.vector_norm(values))
