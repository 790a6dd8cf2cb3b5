"""Let a program believe in a GPU, and run everything on the CPU.

Courses assert that a GPU is there, and many programs ask for one without checking.
"""

from __future__ import annotations

import contextlib
import sys
import types
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode
from torch.utils import _device

from grader.sandbox.worker.recording.inert import Inert

_FOREIGN = frozenset({"cuda", "mps", "xpu", "xla", "hpu", "privateuseone"})
_TYPES = {
    "FloatTensor": torch.float32,
    "DoubleTensor": torch.float64,
    "HalfTensor": torch.float16,
    "BFloat16Tensor": torch.bfloat16,
    "LongTensor": torch.int64,
    "IntTensor": torch.int32,
    "ShortTensor": torch.int16,
    "ByteTensor": torch.uint8,
    "CharTensor": torch.int8,
    "BoolTensor": torch.bool,
}


class CpuOnly(TorchFunctionMode):
    """Replace every foreign device among the arguments of PyTorch's functions by the CPU."""

    def __torch_function__(
        self, func: Any, _types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        name = getattr(func, "__name__", "")
        if name == "cuda":
            return args[0]
        if name == "__get__" and getattr(func.__self__, "__name__", "") == "is_cuda":
            return _is_outside_torch(sys._getframe(1)) or func(*args)  # noqa: SLF001 - the caller
        if name == "__getitem__" and args[0].dim() == 0 and args[1] == 0:
            return args[0]  # loss.data[0], as before PyTorch 0.4
        if name == "type":
            args = (args[0], *(_on_cpu(value, is_device=False) for value in args[1:]))
        if kwargs and "device" in kwargs:
            kwargs = {**kwargs, "device": _on_cpu(kwargs["device"], is_device=True)}
        return func(*args, **(kwargs or {}))


def _is_outside_torch(frame: types.FrameType) -> bool:
    """Return True if a program asks, not PyTorch itself."""
    return not str(frame.f_globals.get("__name__")).startswith("torch")


def _on_cpu(value: Any, *, is_device: bool) -> Any:
    if isinstance(value, torch.device):
        return torch.device("cpu") if value.type in _FOREIGN else value
    if isinstance(value, str):
        if value.partition(":")[0] in _FOREIGN:
            return "cpu"
        return value.replace("torch.cuda.", "torch.")
    if is_device and isinstance(value, Inert):
        return "cpu"  # d2l.try_gpu()
    # .to(0) and device=0 mean the first GPU.
    is_number = is_device and isinstance(value, int) and not isinstance(value, bool)
    return "cpu" if is_number else value


def _staying_on_cpu(move: Callable[..., Any]) -> Callable[..., Any]:
    """Return a `to()` whose devices are replaced before PyTorch refuses one that is inert."""

    def to(self: Any, *args: Any, **kwargs: Any) -> Any:
        args = tuple(_on_cpu(value, is_device=True) for value in args)
        return move(self, *args, **{n: _on_cpu(v, is_device=True) for n, v in kwargs.items()})

    return to


class SameModule(nn.Module):
    """A wrapper that only calls the model inside: a stand-in for DataParallel and its like."""

    def __init__(self, module: nn.Module, *args: Any, **kwargs: Any) -> None:
        super().__init__()
        self.module = module

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Call the model."""
        return self.module(*args, **kwargs)


def unwrap(model: Any) -> Any:
    """Return the model inside such wrappers."""
    while type(model) is SameModule:
        model = model.module
    return model


class _Nothing(contextlib.ContextDecorator):
    """A context or decorator without effect: a stand-in for autocast."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *error: object) -> None:
        """Let exceptions through."""


class _CpuGenerator(torch.Generator):
    """A random generator on the CPU, whatever device is asked for."""

    def __new__(cls, device: object = "cpu") -> Any:  # noqa: ARG004 - the device is ignored
        return super().__new__(cls)


class _Scaler:
    """A gradient scaler that scales nothing."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass

    def scale(self, outputs: Any) -> Any:
        """Return the outputs as they are."""
        return outputs

    def step(self, optimizer: Any, *args: Any, **kwargs: Any) -> Any:
        """Step the optimiser."""
        return optimizer.step(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda *args, **kwargs: 1.0


def _same_model(model: Any = None, *args: Any, **kwargs: Any) -> Any:
    """Return the model or function; without one, a decorator that does so."""
    return model if model is not None else _same_model


def believe_in_gpu() -> None:
    """Change PyTorch in this process, for good."""
    torch_: Any = torch  # what is replaced has other types
    cuda = torch_.cuda
    values = {
        "is_available": True,
        "is_initialized": True,
        "device_count": 1,
        "current_device": 0,
        "get_device_name": "GPU",
        "get_device_capability": (8, 0),
        "is_bf16_supported": True,
        "mem_get_info": (16 * 10**9, 16 * 10**9),
    }
    for name, value in values.items():
        setattr(cuda, name, _returning(value))
    for name in ("synchronize", "empty_cache", "set_device", "manual_seed", "manual_seed_all"):
        setattr(cuda, name, _returning(None))
    for name in ("init", "ipc_collect", "seed", "seed_all", "reset_peak_memory_stats"):
        setattr(cuda, name, _returning(None))
    for name in dir(cuda):
        if "memory" in name and callable(getattr(cuda, name)):
            setattr(cuda, name, _returning(0))
    for name in ("get_device_properties", "Event", "Stream", "stream", "device", "memory_summary"):
        setattr(cuda, name, Inert(f"torch.cuda.{name}"))
    for name in _TYPES:
        if hasattr(torch, name):
            setattr(cuda, name, getattr(torch, name))
    cuda.amp.autocast = torch_.amp.autocast = torch_.autocast = _Nothing
    cuda.amp.GradScaler = torch_.amp.GradScaler = torch_.GradScaler = _Scaler
    torch_.compile = torch_.jit.script = torch_.jit.trace = _same_model
    # torchvision's second transforms ask for it, and importing the compiler takes seconds.
    torch_.compiler.disable = torch_.compiler.compile = _same_model
    nn_: Any = nn
    nn_.Module.compile = _returning(None)
    nn_.DataParallel = nn_.parallel.DataParallel = SameModule
    nn_.parallel.DistributedDataParallel = SameModule
    # `nn.Module.cuda` moves each parameter, which only costs time.
    nn_.Module.cuda = lambda self, *args, **kwargs: self
    for kind in (nn_.Module, torch_.Tensor):
        kind.to = _staying_on_cpu(kind.to)
    # A parameter of a lazy layer refuses every function but those of a list.
    nn_.parameter.UninitializedTensorMixin._allowed_methods.append(torch_.Tensor.to)  # noqa: SLF001
    torch_.set_default_device = torch_.set_num_threads = _returning(None)
    set_type = torch_.set_default_tensor_type
    torch_.set_default_tensor_type = lambda kind: set_type(_on_cpu(kind, is_device=False))
    # `with torch.device("cuda")` enters this context.
    device_: Any = _device
    device_.DeviceContext.__init__ = _enter_cpu
    load = torch_.load

    def load_on_cpu(*args: Any, **kwargs: Any) -> Any:
        """Load a checkpoint; whole models too, as before PyTorch 2.6."""
        return load(*args[:1], **{"weights_only": False, **kwargs, "map_location": "cpu"})

    torch_.load = load_on_cpu
    torch_.Generator = _CpuGenerator
    CpuOnly().__enter__()  # type: ignore[no-untyped-call]


def _enter_cpu(context: Any, _device: object) -> None:
    context.device = torch.device("cpu")
    context.prev_mode = None


def _returning(value: Any) -> Callable[..., Any]:
    return lambda *args, **kwargs: value
