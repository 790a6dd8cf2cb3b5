"""A network whose training step is a fixed list of kernels and matrix products, without autograd.

A part writes its output `y`, (C, H, W, N) float32; its backward pass finds the output's gradient
there, and replaces its input by the input's gradient, so that a step's memory stays in the cache.
Parameters and running statistics are the PyTorch model's own.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import nn

from grader.training.compiled import kernels

LARGEST_SIDE = 7  # of a filter, and of a pooled square
LARGEST = 5_000_000  # numbers in the copies of a gradient: 20 MB
MOST_WEIGHTS = 20_000  # of a convolution: with more, PyTorch's is faster


class CompiledNetwork:
    """Trains and evaluates a PyTorch model by cross entropy."""

    def __init__(self, model: nn.Sequential, train: Any, batch_size: int, seed: int) -> None:
        """Plan the steps on `Examples`; raise NotImplementedError if a layer has no kernel."""
        self._train, self._targets = _arrays(train), train.targets.numpy()
        self._model, self._shape, self._batch_size = model, train.inputs.shape[1:], batch_size
        self._masks = random.Random(seed)  # noqa: S311 - dropout, no secret
        for parameter in model.parameters():
            parameter.grad = torch.zeros_like(parameter)
        self._plan = cache(self._plan_steps)
        self._plan(batch_size)
        self._plan.cache_clear()  # the parameters may move before the first step

    def step(self, indices: torch.Tensor) -> torch.Tensor:
        """Return the mean loss of the training examples at `indices`, (B,); set the gradients."""
        chosen = indices.numpy()
        parts = self._run(self._train, chosen, trains=True)
        loss = kernels.cross_entropy(parts[-1].y[:, 0, 0], self._targets, chosen)
        for part in reversed(parts):
            part.backward()
        return torch.tensor(loss)

    def evaluate(self, examples: Any) -> torch.Tensor:
        """Return the outputs for all examples: (N, outputs) float32."""
        arrays, outputs = _arrays(examples), []
        for indices in torch.split(torch.arange(len(examples.targets)), self._batch_size):
            *_, last = self._run(arrays, indices.numpy(), trains=False)
            outputs.append(torch.from_numpy(last.y[:, 0, 0].T.copy()))
        return torch.cat(outputs)

    def _run(self, examples: tuple[Any, ...], indices: Any, *, trains: bool) -> list[Any]:
        x, parts = self._plan(len(indices))
        kernels.draw_batch(*examples, indices, x.reshape(-1, len(indices)))
        for part in parts:
            part.forward(trains=trains)
        return parts

    def _plan_steps(self, size: int) -> tuple[Any, list[Any]]:
        x = np.empty((*(*self._shape, 1, 1)[:3], size), np.float32)
        parts = list(_plan(self._model, x, self._masks, is_flat=len(self._shape) == 1))
        if type(parts[-1]) is not _Product:
            raise NotImplementedError
        return x, parts


def _plan(model: nn.Sequential, x: Any, masks: random.Random, *, is_flat: bool) -> Iterator[Any]:
    """Yield the parts of the model; several layers of an activation become one part."""
    layers, needs_gradient = list(model), False
    while layers:
        layer = layers.pop(0)
        match layer:
            case nn.Flatten(start_dim=1, end_dim=-1):
                x, is_flat = x.reshape(-1, 1, 1, x.shape[-1]), True
                continue
            case nn.Linear() if is_flat:
                shape = layer.out_features, *x.shape[1:]
                part: Any = _Product(layer, x, shape, needs_gradient=needs_gradient)
            case nn.Conv2d(dilation=(1, 1), groups=1, padding=tuple(), padding_mode="zeros"):
                part = _Convolution(layer, x, needs_gradient=needs_gradient)
            case _:
                fused = {_kind(layer): layer}
                while layers and fused.keys() <= _FOLLOWS.get(kind := _kind(layers[0]), set()):
                    fused[kind] = layers.pop(0)
                if "" in fused:
                    raise NotImplementedError
                part = _Activation(fused, x, masks, needs_gradient=needs_gradient)
        yield part
        x, needs_gradient = part.y, needs_gradient or bool(list(layer.parameters()))


# ReLU and max pooling are monotone: their order changes neither outputs nor gradients.
_FOLLOWS = {"relu": {"norm", "pool"}, "pool": {"norm", "relu"}, "drop": {"norm", "pool", "relu"}}


def _kind(layer: nn.Module) -> str:
    """Return what an activation's layer does, or "" if there is no kernel for it."""
    match layer:
        case nn.ReLU():
            return "relu"
        case nn.Dropout() if layer.p == 1 or layer.p < 1 - 1 / kernels.ALL:
            return "drop"
        case nn.MaxPool2d(padding=0, dilation=1, ceil_mode=False, kernel_size=int() as side):
            return "pool" if layer.stride == side <= LARGEST_SIDE else ""
        case nn.BatchNorm1d() | nn.BatchNorm2d() if layer.affine and layer.track_running_stats:
            return "" if layer.bias is None or layer.momentum is None else "norm"
    return ""


class _Product:
    """The product of the weights, (outputs, F), with x, of F rows."""

    def __init__(self, layer: Any, x: Any, shape: Any, *, needs_gradient: bool) -> None:
        self.y, self._needs_gradient = np.empty(shape, np.float32), needs_gradient
        self._outputs = self.y.reshape(shape[0], -1)
        self._x = x.reshape(-1, self._outputs.shape[1])
        weights = [each.reshape(shape[0], -1) for each in _numbers(layer.weight)]
        self._weight, self._dweight = weights
        self._bias, self._dbias = _numbers(layer.bias, shape[0])

    def forward(self, *, trains: bool) -> None:  # noqa: ARG002
        # NumPy's BLAS: PyTorch's is MKL, which on AMD's processors leaves AVX-512 unused.
        np.matmul(self._weight, self._x, out=self._outputs)
        self._outputs += self._bias[:, np.newaxis]

    def backward(self) -> None:
        np.matmul(self._outputs, self._x.T, out=self._dweight)
        self._outputs.sum(1, out=self._dbias)
        if self._needs_gradient:
            np.matmul(self._weight.T, self._outputs, out=self._x)


class _Convolution(_Product):
    """A convolution; each number of x gets its gradient in copies, by its place in the filter."""

    def __init__(self, layer: Any, x: Any, *, needs_gradient: bool) -> None:
        (outputs, inputs, *sides), stride, size = layer.weight.shape, layer.stride, x.shape[3]
        lengths = 1 + (np.array(x.shape[1:3]) + 2 * np.array(layer.padding) - sides) // stride
        copies = np.empty((inputs, *sides, *lengths, size), np.float32)
        is_small = max(sides) <= LARGEST_SIDE and layer.weight.numel() <= MOST_WEIGHTS
        if outputs < 4 or not is_small or needs_gradient * copies.size > LARGEST:
            raise NotImplementedError
        super().__init__(layer, copies, (outputs, *lengths, size), needs_gradient=needs_gradient)
        self._convolve, self._differentiate = kernels.convolution(*sides, *stride)
        (self._filters, self._dfilters), self._size = _numbers(layer.weight), size
        self._y = self.y.reshape(outputs, lengths[0], -1)
        self._input, self._copies, self._stride = x, copies, stride
        padded, self._inside = _pad(x, layer.padding, stride[1])
        self._sorted = padded.reshape(inputs, len(padded[0]), -1, stride[1], size).swapaxes(2, 3)
        self._gradient = _pad(x, layer.padding)

    def forward(self, *, trains: bool) -> None:  # noqa: ARG002
        self._inside[:] = self._input
        self._rows = self._sorted.reshape(*self._sorted.shape[:2], -1)  # a copy, if strided
        self._convolve(self._rows, self._filters, self._bias, self._size, self._y)

    def backward(self) -> None:
        self._differentiate(self._rows, self._y, self._size, self._dfilters)
        self._outputs.sum(1, out=self._dbias)
        if self._needs_gradient:
            np.matmul(self._weight.T, self._outputs, out=self._x)
            padded, inside = self._gradient
            kernels.add_copies(self._copies, self._stride, padded)
            self._input[:] = inside


class _Activation:
    """Batch norm, max pooling, ReLU and dropout, each of them or not."""

    def __init__(self, layers: Any, x: Any, masks: Any, *, needs_gradient: bool) -> None:
        norm, pool = layers.get("norm"), layers["pool"].kernel_size if "pool" in layers else 1
        channels, height, width, size = x.shape
        self._x, self._masks, self._is_needed = x, masks, needs_gradient or norm is not None
        self.y = np.empty((channels, height // pool, width // pool, size), np.float32)
        self._chosen = np.empty(self.y.shape, np.uint8)
        self._scales = np.eye(4, 1, dtype=np.float32).repeat(channels, 1)
        kept = round((1 - layers["drop"].p if "drop" in layers else 1) * kernels.ALL)
        self._kept = np.uint32(kept), np.float32(kernels.ALL / max(kept, 1))
        self._norm: tuple[Any, ...] = ()
        self._dnorm: Any = self._scales  # not used
        if norm is not None:
            (weight, dweight), (bias, dbias) = _numbers(norm.weight), _numbers(norm.bias)
            running = norm.running_mean.numpy(), norm.running_var.numpy()
            self._norm = weight, bias, *running, np.float32(norm.momentum), np.float32(norm.eps)
            self._dnorm = dweight, dbias
        kinds = "relu" in layers, pool, "drop" in layers, norm is not None
        self._forward, self._backward = kernels.activation(*kinds)

    def forward(self, *, trains: bool) -> None:
        if self._norm:
            kernels.normalize(self._x, self._norm, self._scales, trains)
        seed = np.uint32(self._masks.getrandbits(32) if trains else 0)
        kept = self._kept if trains else kernels.KEEP_ALL
        self._forward(self._x, self._scales, seed, kept, self.y, self._chosen)

    def backward(self) -> None:
        if self._is_needed:
            self._backward(self._x, self._scales, self._kept[1], self.y, self._chosen, self._dnorm)


def _numbers(parameter: Any, outputs: int = 0) -> Any:
    """Return a parameter and its gradient; zeros for a bias that the layer does not have."""
    if parameter is None:
        return np.zeros((2, outputs), np.float32)
    return parameter.detach().numpy(), parameter.grad.numpy()


def _arrays(examples: Any) -> tuple[Any, ...]:
    """Return the first arguments of `draw_batch`."""
    inputs = examples.inputs.flatten(1)
    mean, std = examples.mean_and_std or (torch.zeros(inputs.shape[1]), torch.ones(inputs.shape[1]))
    scale = 1 / (std.flatten() * (255 if inputs.dtype == torch.uint8 else 1))
    return inputs.numpy(), scale.numpy(), (-mean / std).flatten().numpy()


def _pad(x: Any, padding: tuple[int, int], multiple: int = 1) -> tuple[Any, Any]:
    """Return zeros around an array like x, a multiple of columns, and the part in its place."""
    (rows, columns), (channels, height, width, size) = padding, x.shape
    wide = -(-(width + 2 * columns) // multiple) * multiple
    padded = np.zeros((channels, height + 2 * rows, wide, size), np.float32)
    return padded, padded[:, rows : rows + height, columns : columns + width]
