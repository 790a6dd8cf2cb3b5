"""Trace a student's own model class into a chain of layers, if its forward() is one.

The forward pass is run once on an example, and every operation on the way from the input to the
output is written down. torch.fx, the runner-up, traces without an example and so refuses sizes in
Python: `size = 1; for n in x.shape[1:]: size *= n`, from PyTorch's own tutorial; decision 026.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from grader.sandbox.worker.failures import (
    StudentError,
    display_path,
    find_line,
    locate,
    safe_text,
    type_name,
)
from grader.sandbox.worker.irregularities import LAYER_CLASSES, find_override, find_own_hook

MAXIMUM_OPERATIONS = 2000
MAXIMUM_NESTING = 16
EXAMPLES = ((3, 1, 28, 28), (3, 784), (3, 28, 28), (3, 3, 32, 32), (3, 1, 32, 32))
"""Shapes of a batch that are tried where the true one is not known; 3 is like no other size."""

_ASKED = "the assignment asks for one chain of layers"
_ADVICE = "Write forward() as one chain of layers: x = self.fc1(x); x = F.relu(x); …"


@dataclass(frozen=True, kw_only=True)
class Chain:
    """A model as a plain `nn.Sequential` of the student's own layers.

    Attributes:
        class_name: of the student's class, or "" if the model was a Sequential already.
        unused: parameters of the model that forward() never reaches.
        flattened: the input was flat; the `Flatten` in front stands for that.
    """

    sequential: nn.Sequential
    class_name: str = ""
    unused: frozenset[int] = frozenset()
    flattened: bool = False


def as_chain(
    model: Any, subject: str, submission: Path, example: torch.Tensor | None = None
) -> Chain:
    """Return a module as a chain of layers.

    Args:
        model: any `nn.Module`.
        subject: "model_c() returned", the beginning of messages.
        submission: the student's directory, for the lines in messages.
        example: a batch that the model was given; without one, batches of `EXAMPLES` are tried.

    Raises:
        StudentError: forward() is more than one chain of known operations.
    """
    if type(model) is not nn.Sequential and _is_layer(model):
        chain = as_chain(nn.Sequential(model), subject, submission, example)
        return replace(chain, class_name=type_name(type(model)))
    if type(model) is nn.Sequential:
        own = _find_own_class(model)
        if own:
            # A small class for one step, such as Flatten before torch 1.2.
            with contextlib.suppress(StudentError):
                return replace(_trace_any(model, subject, submission, example), class_name=own)
        is_flat = example is not None and example.dim() == 2
        return _flattened(model) if is_flat and not _begins_flat(model) else Chain(sequential=model)
    return _trace_any(model, subject, submission, example)


def _trace_any(model: Any, subject: str, submission: Path, example: torch.Tensor | None) -> Chain:
    """Trace a model on an example, or on the first of `EXAMPLES` that it takes."""
    if example is not None:
        return _trace(model, subject, submission, example)
    failure: StudentError | None = None
    for shape in (*EXAMPLES, *_shapes_for(model)):
        try:
            return _trace(model, subject, submission, torch.zeros(shape), is_guess=True)
        except _ExampleError as error:
            failure = failure or error.explained
    raise failure or AssertionError


def _find_own_class(model: nn.Sequential, depth: int = 0) -> str:
    """Return the name of a class of the student's in a Sequential, if it is no kind of layer."""
    if depth == MAXIMUM_NESTING:
        return ""
    for module in model.__dict__["_modules"].values():
        if type(module) is nn.Sequential:
            if found := _find_own_class(module, depth + 1):
                return found
        elif isinstance(module, nn.Module) and not _is_layer(module):
            return type_name(type(module))
    return ""


class _ExampleError(StudentError):
    """The forward pass raised on an example, which may be of the wrong shape."""

    def __init__(self, explained: StudentError) -> None:
        super().__init__(explained.kind, explained.message, explained.next_step)
        self.explained = explained
        self.location = explained.location


def _shapes_for(model: nn.Module) -> Iterator[tuple[int, ...]]:
    """Yield the shape of a batch that the first layer with weights would take."""
    for layer in model.modules():
        if isinstance(layer, nn.Linear):
            yield 3, layer.in_features
            return
        if isinstance(layer, nn.Conv2d):
            yield 3, layer.in_channels, 28, 28
            return


def _begins_flat(model: nn.Sequential) -> bool:
    """Return True if a Sequential flattens its input itself."""
    first: Any = model
    while type(first) is nn.Sequential:
        first = next(iter(first.__dict__["_modules"].values()), None)
    return isinstance(first, nn.Flatten)


def _flattened(model: nn.Sequential) -> Chain:
    outer = nn.Sequential(nn.Flatten(), *model.__dict__["_modules"].values())
    return Chain(sequential=outer, flattened=True)


@dataclass(kw_only=True)
class _Step:
    """One operation on the way from the input: its inputs and what stands for it.

    Attributes:
        layer: a layer, or None if the operation changes nothing.
        shape: of the result.
        name: of the operation: "add".
    """

    inputs: list[_Step]
    shape: tuple[int, ...]
    layer: nn.Module | None = None
    path: str = ""
    name: str = ""
    location: str = ""
    is_known: bool = True
    is_reshape: bool = False


@dataclass(kw_only=True)
class _Trace:
    """All operations of one forward pass; tensors are kept so that no `id()` is reused."""

    submission: Path
    paths: dict[int, str]
    owners: dict[int, nn.Module]
    steps: dict[int, _Step] = field(default_factory=dict)
    kept: list[torch.Tensor] = field(default_factory=list)
    inside: int = 0  # the depth of calls whose operations belong to one layer

    def inputs_of(self, values: Any) -> list[_Step]:
        """Return the steps that made the tensors among the arguments."""
        found: list[_Step] = []
        for tensor in _tensors(values):
            step = self.steps.get(id(tensor))
            if step is not None and step not in found:
                found.append(step)
        return found

    def add(self, results: Any, step: _Step) -> None:
        """Record that an operation made these tensors."""
        for tensor in _tensors(results):
            if len(self.kept) >= MAXIMUM_OPERATIONS:
                raise StudentError("limit", "forward() has too many operations.", _ADVICE)
            self.kept.append(tensor)
            self.steps[id(tensor)] = step

    def location(self) -> str:
        """Return the student's line that runs now."""
        return str(find_line(sys._getframe(1), self.submission) or "")  # noqa: SLF001 - the caller


class _Watch(TorchFunctionMode):
    """Write every operation on the way from the input into a trace."""

    def __init__(self, trace: _Trace) -> None:
        super().__init__()
        self.trace = trace

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        trace = self.trace
        if trace.inside:
            return func(*args, **kwargs)
        inputs = trace.inputs_of((args, kwargs))
        result = func(*args, **kwargs)
        if not inputs:
            return result
        name = _name_of(func)
        if name in _ENDS_TRACE:
            location = trace.location()
            what = "branches on" if name == "__bool__" else "computes in Python with"
            raise StudentError(
                "wrong-value",
                f"forward() {what} the images' values {_in_line(location)}; {_ASKED}.",
                _ADVICE,
                location=location,
            )
        if any(True for _ in _tensors(result)):
            step = _describe(name, inputs, result, args, kwargs, trace)
            trace.add(result, step)
        return result


def _trace(
    model: Any, subject: str, submission: Path, example: torch.Tensor, *, is_guess: bool = False
) -> Chain:
    name = type_name(type(model))
    paths: dict[int, str] = {}
    owners: dict[int, nn.Module] = {}
    for path, module in model.named_modules():
        paths.setdefault(id(module), path)
        for parameter in module.__dict__["_parameters"].values():
            owners.setdefault(id(parameter), module)
    trace = _Trace(submission=submission, paths=paths, owners=owners)
    given = example.detach().clone()
    start = _Step(inputs=[], shape=tuple(given.shape), name="input")
    trace.add(given, start)
    _refuse_changed(model, subject, name)
    try:
        # The class's own forward(): its __call__ counts the student's calls.
        with (
            _calls_watched(trace, model, subject),
            _training(model),
            torch.no_grad(),
            _Watch(trace),
        ):
            result = type(model).forward(model, given)
    except StudentError:
        raise
    except Exception as error:  # noqa: BLE001 - student code raises anything
        shape = " x ".join(map(str, given.shape[1:]))
        explained = StudentError(
            "exception",
            f"{subject} a {name} whose forward() raised {type_name(type(error))} on images of "
            f"{shape}: {safe_text(error)}",
            _ADVICE,
            location=_last_line(error, submission),
        )
        raise _ExampleError(explained) from None
    if isinstance(result, tuple) and result:
        result = result[0]  # the scores, before something to look at
    last = trace.steps.get(id(result)) if isinstance(result, torch.Tensor) else None
    if last is None:
        raise StudentError(
            "wrong-type",
            f"{subject} a {name} whose forward() returns {type_name(type(result))}, not the "
            "tensor that its layers made.",
            "Return the scores alone.",
        )
    return _to_chain(last, model, name, subject, is_guess=is_guess)


def _to_chain(last: _Step, model: Any, name: str, subject: str, *, is_guess: bool) -> Chain:
    """Return the steps that lead to the last one, which must form a line.

    That the images are flattened before the model is known from a true example only.
    """
    line: list[_Step] = []
    step = last
    while step.inputs:
        if len(step.inputs) > 1:
            verb = "adds" if "add" in step.name else "joins"
            raise StudentError(
                "wrong-value",
                f"{subject} a {name} whose forward() {verb} {_count(len(step.inputs))} paths "
                f"{_in_line(step.location)}; {_ASKED}.",
                _ADVICE,
                location=step.location,
            )
        if not step.is_known:
            raise StudentError(
                "wrong-value",
                f"{subject} a {name} whose forward() uses {step.name} {_in_line(step.location)}, "
                "which is no layer that the grader knows.",
                _ADVICE,
                location=step.location,
            )
        line.append(step)
        step = step.inputs[0]
    line.reverse()
    # Reshapes in front only bring the images into the form that the first layer takes.
    shape = () if is_guess else step.shape
    while line and (line[0].is_reshape or line[0].layer is None):
        shape = line.pop(0).shape
    flattened = len(shape) == 2 and not (line and isinstance(line[0].layer, nn.Flatten))
    sequential = nn.Sequential()
    # Not add_module(), which refuses dots, as in the paths of nested layers.
    modules = sequential.__dict__["_modules"]
    if flattened:
        modules["flatten"] = nn.Flatten()
    for index, each in enumerate(line):
        if each.layer is not None:
            key = each.path if each.path not in modules else f"{each.path} ({index})"
            modules[key] = each.layer
    reached = {id(p) for layer in modules.values() for p in layer.parameters()}
    unused = frozenset(id(p) for p in model.parameters()) - reached
    return Chain(
        sequential=sequential,
        class_name=name,
        unused=unused,
        flattened=flattened and len(step.shape) == 2,
    )


def _in_line(location: str) -> str:
    """Return "at line 14" for a location."""
    return f"at line {location.rpartition(':')[2].rpartition(' ')[2]}"


def _count(number: int) -> str:
    return {2: "two", 3: "three"}.get(number, str(number))


def _refuse_changed(module: nn.Module, subject: str, name: str) -> None:
    """Refuse a module of the student's whose call does more than its class says."""
    if found := find_override(module) or find_own_hook(module):
        raise StudentError(
            "wrong-value",
            f"{subject} a {name} with "
            f"{'a hook' if found[0] == 'hook' else 'an attribute that replaces a method'}: "
            f"{found[1]}.",
            "Use a plain class; only its layers are graded.",
        )


@contextlib.contextmanager
def _calls_watched(trace: _Trace, root: nn.Module, subject: str) -> Iterator[None]:
    """Make every call of a layer one step of the trace."""
    usual = nn.Module.__call__

    def call(self: nn.Module, *args: Any, **kwargs: Any) -> Any:
        if trace.inside or self is root:
            return usual(self, *args, **kwargs)
        if not _is_layer(self):
            _refuse_changed(self, subject, type_name(type(self)))
            return usual(self, *args, **kwargs)
        inputs = trace.inputs_of((args, kwargs))
        trace.inside += 1
        try:
            result = usual(self, *args, **kwargs)
        finally:
            trace.inside -= 1
        if inputs:
            shape = next((tuple(tensor.shape) for tensor in _tensors(result)), ())
            step = _Step(
                inputs=inputs,
                shape=shape,
                layer=self,
                path=trace.paths.get(id(self), "") or type_name(type(self)),
                name=type_name(type(self)),
                location=trace.location(),
            )
            trace.add(result, step)
        return result

    nn.Module.__call__ = call  # type: ignore[method-assign]
    try:
        yield
    finally:
        nn.Module.__call__ = usual  # type: ignore[method-assign]


def _is_layer(module: nn.Module) -> bool:
    """Return True for a layer of torch.nn, or a class derived from one that the grader knows."""
    kind = type(module)
    if kind is nn.Sequential:
        return False
    return kind.__module__.startswith("torch.nn.") or isinstance(module, tuple(LAYER_CLASSES))


@contextlib.contextmanager
def _training(model: nn.Module) -> Iterator[None]:
    """Put the model into training mode, in which dropout shows, and keep its buffers."""
    modes = [(module, module.training) for module in model.modules()]
    buffers = [(buffer, buffer.detach().clone()) for buffer in model.buffers()]
    state = torch.get_rng_state()
    try:
        for module, _ in modes:
            module.training = True
        yield
    finally:
        for module, mode in modes:
            module.training = mode
        with torch.no_grad():
            for buffer, values in buffers:
                buffer.copy_(values)
        torch.set_rng_state(state)


def _last_line(error: BaseException, submission: Path) -> str:
    location = ""
    traceback = error.__traceback__
    while traceback is not None:
        shown = display_path(traceback.tb_frame.f_code.co_filename, submission)
        if shown is not None:
            location = locate(shown, traceback.tb_lineno)
        traceback = traceback.tb_next
    return location


def _tensors(values: Any, depth: int = 0) -> Iterator[torch.Tensor]:
    """Yield the tensors among arguments or results."""
    if isinstance(values, torch.Tensor):
        yield values
    elif depth < 4 and isinstance(values, (list, tuple)):
        for value in values:
            yield from _tensors(value, depth + 1)
    elif depth < 4 and isinstance(values, dict):
        for value in values.values():
            yield from _tensors(value, depth + 1)


# Functions that PyTorch makes at run time, so that their own names say nothing.
_DISPATCHED = {
    functional.max_pool1d: "max_pool1d",
    functional.max_pool2d: "max_pool2d",
    functional.adaptive_max_pool2d: "adaptive_max_pool2d",
}
_ENDS_TRACE = frozenset(
    {"__bool__", "__int__", "__float__", "__index__", "item", "tolist", "numpy", "__array__"}
)
_CHANGES_NOTHING = frozenset(
    {"float", "to", "type", "type_as", "contiguous", "clone", "cuda", "cpu", "requires_grad_"}
    | {"identity", "as_tensor"}
)
_RESHAPES = frozenset(
    {"view", "reshape", "flatten", "squeeze", "unsqueeze", "view_as", "reshape_as", "squeeze_"}
    | {"unsqueeze_"}
)


def _name_of(func: Any) -> str:
    """Return the name of a function of PyTorch: "relu" for F.relu, torch.relu and x.relu."""
    try:
        dispatched = _DISPATCHED.get(func)
    except TypeError:
        dispatched = None
    name = str(dispatched or getattr(func, "__name__", ""))
    if name in {"__get__", "__set__"}:
        return str(getattr(getattr(func, "__self__", None), "__name__", name))
    return name


def _describe(
    name: str,
    inputs: list[_Step],
    result: Any,
    args: Sequence[Any],
    kwargs: dict[str, Any],
    trace: _Trace,
) -> _Step:
    """Return the step that an operation is."""
    shape = next((tuple(tensor.shape) for tensor in _tensors(result)), ())
    step = _Step(inputs=inputs, shape=shape, name=name, location=trace.location())
    step.path = f"{name} {_in_line(step.location)}"
    given = inputs[0].shape
    if len(inputs) > 1:
        return step
    if name in _CHANGES_NOTHING or (name in _RESHAPES and shape == given):
        return step
    if name in _RESHAPES:
        step.is_reshape = True
        if len(shape) == 2 and shape[:1] == given[:1]:
            step.layer = nn.Flatten()
        else:
            # Fine in front of the first layer; in between, no layer does it.
            step.is_known = shape[:1] == given[:1] and not _reaches_layer(inputs[0])
        return step
    owner = trace.owners.get(id(args[1])) if len(args) > 1 else None
    if owner is not None and name in _CALLS_OF_LAYERS and _is_layer(owner):
        # self.fc1.forward(x) instead of self.fc1(x)
        step.layer, step.path = owner, trace.paths.get(id(owner), step.path)
        return step
    maker = _LAYERS.get(name.removesuffix("_"))
    try:
        step.layer = maker(*args[1:], **_without(kwargs, "input", "inplace")) if maker else None
    except (TypeError, ValueError):
        maker = None
    step.is_known = maker is not None
    return step


_CALLS_OF_LAYERS = frozenset({"linear", "conv1d", "conv2d"})


def _reaches_layer(step: _Step) -> bool:
    """Return True if a layer lies before this step."""
    while step.inputs:
        if step.layer is not None and not step.is_reshape:
            return True
        step = step.inputs[0]
    return False


def _without(kwargs: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in kwargs.items() if name not in names}


def _dropout(kind: Callable[[float], nn.Module]) -> Callable[..., nn.Module | None]:
    def make(p: float = 0.5, training: bool = True, inplace: bool = False) -> nn.Module | None:  # noqa: ARG001, FBT001, FBT002 - the signature of F.dropout
        return kind(p) if training else None

    return make


def _pool(kind: type[nn.Module]) -> Callable[..., nn.Module]:
    def make(*args: Any, return_indices: bool = False, **kwargs: Any) -> nn.Module:
        if return_indices:
            raise ValueError
        return kind(*args, **kwargs)

    return make


def _softmax(kind: type[nn.Module]) -> Callable[..., nn.Module]:
    # The other arguments of F.softmax are a stack level and a dtype.
    return lambda dim=None, *_, **__: kind(dim=dim)


def _mean(dim: Any = None, keepdim: bool = False, **_: Any) -> nn.Module:  # noqa: FBT001, FBT002 - the signature of Tensor.mean
    if sorted(d % 4 for d in (dim or ())) != [2, 3]:
        raise ValueError
    pool = nn.AdaptiveAvgPool2d(1)
    return pool if keepdim else nn.Sequential(pool, nn.Flatten())


# Functional twins of layers, by name; each takes the arguments that follow the input.
_LAYERS: dict[str, Callable[..., nn.Module | None]] = {
    "relu": nn.ReLU,
    "relu6": nn.ReLU6,
    "leaky_relu": lambda negative_slope=0.01, *_: nn.LeakyReLU(negative_slope),
    "elu": lambda alpha=1.0, *_: nn.ELU(alpha),
    "selu": lambda *_: nn.SELU(),
    "silu": lambda *_: nn.SiLU(),
    "gelu": lambda approximate="none": nn.GELU(approximate),
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "softplus": nn.Softplus,
    "softmax": _softmax(nn.Softmax),
    "log_softmax": _softmax(nn.LogSoftmax),
    "dropout": _dropout(nn.Dropout),
    "dropout1d": _dropout(nn.Dropout1d),
    "dropout2d": _dropout(nn.Dropout2d),
    "max_pool1d": _pool(nn.MaxPool1d),
    "max_pool2d": _pool(nn.MaxPool2d),
    "avg_pool1d": _pool(nn.AvgPool1d),
    "avg_pool2d": _pool(nn.AvgPool2d),
    "adaptive_avg_pool2d": nn.AdaptiveAvgPool2d,
    "mean": _mean,
}
