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
MOST_WEIGHTS = 10_000  # of a convolution: with more, PyTorch's is faster


class CompiledNetwork:
    """Trains and evaluates a PyTorch model by cross entropy."""

    def __init__(self, model: nn.Sequential, train: Any, batch_size: int, seed: int) -> None:
        """Plan the steps on the examples `train`, `grader.training.loop.Examples`.

        Raises:
            NotImplementedError: the model has a layer without a kernel.
        """
        self._train, self._targets = _arrays(train), train.targets.numpy()
        self._batch_size = batch_size
        masks = random.Random(seed)  # noqa: S311 - dropout, no secret
        for parameter in model.parameters():
            parameter.grad = torch.zeros_like(parameter)
        self._steps = cache(lambda size: _Steps(model, train.inputs.shape[1:], size, masks))
        self._steps(batch_size)

    def step(self, indices: torch.Tensor) -> torch.Tensor:
        """Return the mean loss of the training examples at `indices`, (B,); set the gradients."""
        chosen = indices.numpy()
        steps = self._steps(len(chosen))
        outputs = steps.run(self._train, chosen, trains=True)
        loss = kernels.cross_entropy(outputs, self._targets, chosen)
        for part in reversed(steps.parts):
            part.backward()
        return torch.tensor(loss)

    def evaluate(self, examples: Any) -> torch.Tensor:
        """Return the outputs for all examples: (N, outputs) float32."""
        arrays, outputs = _arrays(examples), []
        for indices in torch.split(torch.arange(len(examples.targets)), self._batch_size):
            of_block = self._steps(len(indices)).run(arrays, indices.numpy(), trains=False)
            outputs.append(torch.from_numpy(of_block.T.copy()))
        return torch.cat(outputs)


class _Steps:
    """The steps for batches of one size."""

    def __init__(self, model: nn.Sequential, shape: Any, size: int, masks: random.Random) -> None:
        x = np.empty((*(*shape, 1, 1)[:3], size), np.float32)
        self._batch = x.reshape(-1, size)
        self.parts = list(_plan(model, x, masks, is_flat=len(shape) == 1))
        if not isinstance(self.parts[-1], _Product):
            raise NotImplementedError

    def run(self, examples: tuple[Any, ...], indices: Any, *, trains: bool) -> Any:
        """Return the outputs for the examples at `indices`, (N,): (outputs, N)."""
        kernels.draw_batch(*examples, indices, self._batch)
        for part in self.parts:
            part.forward(trains=trains)
        return self.parts[-1].y[:, 0, 0]


def _plan(model: nn.Sequential, x: Any, masks: random.Random, *, is_flat: bool) -> Iterator[Any]:
    """Yield the parts of the model; several layers of an activation become one part."""
    layers, needs_gradient = list(model), False
    while layers:
        layer = layers.pop(0)
        match layer:
            case nn.Flatten(start_dim=1, end_dim=-1):
                x, is_flat = x.reshape(-1, 1, 1, x.shape[-1]), True
                continue
            case nn.Linear() if is_flat and layer.bias is not None:
                part: Any = _Product(layer, x, needs_gradient=needs_gradient)
            case nn.Conv2d(
                stride=(1, 1), dilation=(1, 1), groups=1, padding=tuple(), padding_mode="zeros"
            ) if not is_flat:
                part = _Convolution(layer, x, needs_gradient=needs_gradient)
            case _:
                fused = {_kind(layer): layer}
                while layers and fused.keys() <= _FOLLOWS.get(kind := _kind(layers[0]), set()):
                    fused[kind] = layers.pop(0)
                if "" in fused:
                    raise NotImplementedError
                part = _Activation(fused, x, masks)
        yield part
        x, needs_gradient = part.y, True


# ReLU and max pooling are monotone: their order changes neither outputs nor gradients.
_FOLLOWS = {"relu": {"norm", "pool"}, "pool": {"norm", "relu"}, "drop": {"norm", "pool", "relu"}}


def _kind(layer: nn.Module) -> str:
    """Return what an activation's layer does, or "" if there is no kernel for it."""
    match layer:
        case nn.ReLU():
            return "relu"
        case nn.Dropout() if layer.p < 1 - 1 / kernels.ALL:
            return "drop"
        case nn.MaxPool2d(padding=0, dilation=1, ceil_mode=False, kernel_size=int() as side):
            return "pool" if layer.stride == side <= LARGEST_SIDE else ""
        case nn.BatchNorm1d() | nn.BatchNorm2d() if layer.affine and layer.track_running_stats:
            return "" if layer.bias is None or layer.momentum is None else "norm"
    return ""


class _Convolution:
    def __init__(self, layer: Any, x: Any, *, needs_gradient: bool) -> None:
        (outputs, inputs, *filters), padding = layer.weight.shape, layer.padding
        around = [side - 1 - pad for side, pad in zip(filters, padding, strict=True)]
        if layer.weight.numel() > MOST_WEIGHTS or max(filters) > LARGEST_SIDE or min(around) < 0:
            raise NotImplementedError
        self._weight, self._dweight = _numbers(layer.weight)
        self._zeros = np.zeros(max(inputs, outputs), np.float32)
        none: Any = self._zeros, self._zeros[:outputs].copy()
        self._bias, self._dbias = none if layer.bias is None else _numbers(layer.bias)
        self._convolve, self._differentiate = kernels.convolution(*filters)
        self._x, (self._padded, self._inside) = x, _pad(x, *padding) if any(padding) else (x, x)
        sides = np.array(self._padded.shape[1:3]) - filters + 1
        self.y = np.empty((outputs, *sides, x.shape[3]), np.float32)
        self._gradient = _pad(self.y, *around) if needs_gradient else None

    def forward(self, *, trains: bool) -> None:  # noqa: ARG002
        if self._padded is not self._x:
            self._inside[:] = self._x
        self._convolve(self._padded, self._weight, self._bias, self.y)

    def backward(self) -> None:
        self._differentiate(self._padded, self.y, self._dweight)
        self.y.reshape(len(self.y), -1).sum(1, out=self._dbias)
        if self._gradient is not None:
            # The gradient of a convolution's input is a convolution with the filters turned round.
            turned = np.ascontiguousarray(self._weight.transpose(1, 0, 2, 3)[:, :, ::-1, ::-1])
            gradient, inside = self._gradient
            inside[:] = self.y
            self._convolve(gradient, turned, self._zeros, self._x)


class _Product:
    def __init__(self, layer: nn.Linear, x: Any, *, needs_gradient: bool) -> None:
        self.y = np.empty((layer.out_features, *x.shape[1:]), np.float32)
        self._outputs, self._x = (torch.from_numpy(each).flatten(1) for each in (self.y, x))
        self._weight, self._dweight = layer.weight.detach(), layer.weight.grad
        self._bias, self._dbias = layer.bias.detach().unsqueeze(1), layer.bias.grad
        self._needs_gradient = needs_gradient

    def forward(self, *, trains: bool) -> None:  # noqa: ARG002
        torch.addmm(self._bias, self._weight, self._x, out=self._outputs)

    def backward(self) -> None:
        torch.mm(self._outputs, self._x.t(), out=self._dweight)
        torch.sum(self._outputs, 1, out=self._dbias)
        if self._needs_gradient:
            torch.mm(self._weight.t(), self._outputs, out=self._x)


class _Activation:
    """Batch norm, max pooling, ReLU and dropout, each of them or not."""

    def __init__(self, layers: dict[str, Any], x: Any, masks: random.Random) -> None:
        norm, pool = layers.get("norm"), layers["pool"].kernel_size if "pool" in layers else 1
        channels, height, width, size = x.shape
        self._x, self._masks = x, masks
        self.y = np.empty((channels, height // pool, width // pool, size), np.float32)
        self._chosen = np.empty(self.y.shape, np.uint8)
        self._scales = np.zeros((4, channels), np.float32)
        self._scales[0] = 1
        kept = round((1 - layers["drop"].p if "drop" in layers else 1) * kernels.ALL)
        self._kept = np.uint32(kept), np.float32(kernels.ALL / kept)
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
        self._backward(self._x, self._scales, self._kept[1], self.y, self._chosen, self._dnorm)


def _numbers(parameter: Any) -> tuple[Any, Any]:
    return parameter.detach().numpy(), parameter.grad.numpy()


def _arrays(examples: Any) -> tuple[Any, ...]:
    """Return the first arguments of `draw_batch`."""
    inputs = examples.inputs.flatten(1)
    mean, std = examples.mean_and_std or (torch.zeros(inputs.shape[1]), torch.ones(inputs.shape[1]))
    scale = 1 / (std.flatten() * (255 if inputs.dtype == torch.uint8 else 1))
    return inputs.numpy(), scale.numpy(), (-mean / std).flatten().numpy()


def _pad(x: Any, rows: int, columns: int) -> tuple[Any, Any]:
    """Return zeros around an array like x, and the part of them in its place."""
    channels, height, width, size = x.shape
    padded = np.zeros((channels, height + 2 * rows, width + 2 * columns, size), np.float32)
    return padded, padded[:, rows : rows + height, columns : columns + width]
