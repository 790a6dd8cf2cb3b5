"""The compiled kernels: loops over float32 arrays whose last axis is the batch.

Images are (C, H, W, N) and vectors (F, 1, 1, N), so a row of an image is one run of W * N numbers,
shifted by N for each column of a filter, and every inner loop is vectorised. Sums are reordered
(`reassoc`), but NaN and infinity keep their meaning: a training that diverges is seen.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numba import njit

ZERO = np.float32(0)
INACTIVE = np.uint8(255)  # the position of a value through which no gradient flows
ALL = 2**24
KEEP_ALL = np.uint32(ALL), np.float32(1)  # how many of ALL dropout keeps, and the scale of those


def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    return njit(fastmath={"contract", "nsz", "reassoc"}, cache=True, error_model="numpy")(function)


@_compiled
def _sum(values: Any) -> Any:
    total = ZERO  # numba's own sum is not reordered, so it is not vectorised
    for t in range(len(values)):
        total += values[t]
    return total


@_compiled
def draw_batch(inputs: Any, scale: Any, shift: Any, indices: Any, batch: Any) -> None:
    """Write the inputs (examples, F) at `indices` (N,) to `batch` (F, N), scaled and shifted."""
    for feature in range(len(batch)):
        for n in range(len(indices)):
            value = np.float32(inputs[indices[n], feature])
            batch[feature, n] = value * scale[feature] + shift[feature]


@_compiled
def cross_entropy(logits: Any, targets: Any, indices: Any) -> Any:
    """Return the mean loss of `logits` (classes, N), and replace them by its gradient."""
    size, loss = logits.shape[1], 0.0
    for n in range(size):
        column, target = logits[:, n], targets[indices[n]]
        largest = column.max()
        scores = np.exp(column - largest)
        total = scores.sum()
        loss += np.log(total) + largest - column[target]
        column[:] = scores / (total * np.float32(size))
        column[target] -= np.float32(1 / size)
    return loss / size


@cache
def convolution(height: int, width: int) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Return the kernels of a convolution and of its gradient, by the filter's size."""

    @_compiled
    def convolve(x: Any, weight: Any, bias: Any, y: Any) -> None:
        """Write the convolution of x (I, H, W, N) with weight (O, I, h, w) to y; bias is (O,)."""
        size, last = x.shape[3], len(weight) - 1
        spare = np.empty((4, y.shape[2] * size), y.dtype)  # for a last group of less than four
        for i in range(y.shape[1]):
            for o in range(0, last + 1, 4):
                o1, o2, o3 = min(o + 1, last), min(o + 2, last), min(o + 3, last)
                y0, y1 = y[o, i].ravel(), y[o1, i].ravel() if o1 > o else spare[1]
                y2 = y[o2, i].ravel() if o2 > o1 else spare[2]
                y3 = y[o3, i].ravel() if o3 > o2 else spare[3]
                y0[:], y1[:], y2[:], y3[:] = bias[o], bias[o1], bias[o2], bias[o3]
                for c in range(weight.shape[1]):
                    for p in range(height):
                        row = x[c, i + p].ravel()
                        for t in range(len(y0)):
                            a, b, d, e = y0[t], y1[t], y2[t], y3[t]
                            for q in range(width):
                                # Unsigned, since numba counts a negative index from the end.
                                value = row[np.uint64(t + q * size)]
                                a += weight[o, c, p, q] * value
                                b += weight[o1, c, p, q] * value
                                d += weight[o2, c, p, q] * value
                                e += weight[o3, c, p, q] * value
                            y0[t], y1[t], y2[t], y3[t] = a, b, d, e

    @_compiled
    def differentiate(x: Any, dy: Any, dweight: Any) -> None:
        """Write the gradient of the weight, where that of y is `dy`."""
        size, last = x.shape[3], len(dweight) - 1
        dweight[:] = 0
        for i in range(dy.shape[1]):
            for o in range(0, last + 1, 4):
                o1, o2, o3 = min(o + 1, last), min(o + 2, last), min(o + 3, last)
                g0, g1 = dy[o, i].ravel(), dy[o1, i].ravel()
                g2, g3 = dy[o2, i].ravel(), dy[o3, i].ravel()
                for c in range(dweight.shape[1]):
                    for p in range(height):
                        row = x[c, i + p].ravel()
                        for q in range(width):
                            a = b = d = e = ZERO
                            for t in range(len(g0)):
                                value = row[np.uint64(t + q * size)]
                                a, b = a + g0[t] * value, b + g1[t] * value
                                d, e = d + g2[t] * value, e + g3[t] * value
                            for k, part in enumerate((a, b, d, e)):
                                if o + k <= last:
                                    dweight[o + k, c, p, q] += part

    return convolve, differentiate


@_compiled
def normalize(x: Any, norm: Any, scales: Any, trains: bool) -> None:
    """Write each channel's scale, shift, mean and 1 / standard deviation to `scales`, (4, C).

    `norm` are weight, bias, running mean and running variance, (C,) each, momentum and epsilon.
    """
    weight, bias, running_mean, running_variance, momentum, epsilon = norm
    for c in range(len(x)):
        if trains:
            values = x[c].ravel()
            count = np.float32(len(values))
            mean = _sum(values) / count
            squares = ZERO
            for t in range(len(values)):
                squares += (values[t] - mean) ** 2
            running_mean[c] += momentum * (mean - running_mean[c])
            running_variance[c] += momentum * (squares / (count - 1) - running_variance[c])
            variance = squares / count
        else:
            mean, variance = running_mean[c], running_variance[c]
        inverse = 1 / np.sqrt(variance + epsilon)
        scale = weight[c] * inverse
        scales[0, c], scales[1, c] = scale, bias[c] - mean * scale
        scales[2, c], scales[3, c] = mean, inverse


@cache
def activation(
    relu: bool, pool: int, drops: bool, norms: bool
) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Return the kernels of scaling, max pooling, ReLU and dropout, each of them or not."""

    @_compiled
    def forward(x: Any, scales: Any, seed: Any, kept: Any, y: Any, chosen: Any) -> None:
        """Write the outputs for x (C, H, W, N) to y, and to `chosen` where each comes from."""
        threshold, keep_scale = kept
        channels, height, width, size = y.shape
        for c in range(channels):
            scale, shift = scales[0, c], scales[1, c]
            for i in range(height):
                for j in range(width):
                    out, source = y[c, i, j], chosen[c, i, j]
                    first = ((c * height + i) * width + j) * size
                    for n in range(size):
                        best, at = scale * x[c, i * pool, j * pool, n] + shift, np.uint8(0)
                        for k in range(1, pool * pool):
                            one = x[c, i * pool + k // pool, j * pool + k % pool, n]
                            value = scale * one + shift
                            if value > best:
                                best, at = value, np.uint8(k)
                        best, at = (ZERO, INACTIVE) if relu and best <= 0 else (best, at)
                        if drops:
                            # Chris Wellons' hash lowbias32 (nullprogram.com/blog/2018/07/31).
                            bits = np.uint32(first + n) ^ seed
                            bits = np.uint32((bits ^ (bits >> 16)) * 0x7FEB352D)
                            bits = np.uint32((bits ^ (bits >> 15)) * 0x846CA68B)
                            keeps = np.uint32((bits ^ (bits >> 16)) >> 8) < threshold
                            best, at = (best * keep_scale, at) if keeps else (ZERO, INACTIVE)
                        out[n], source[n] = best, at

    @_compiled
    def backward(x: Any, scales: Any, keep_scale: Any, dy: Any, chosen: Any, dnorm: Any) -> None:
        """Replace x by its gradient, and write the gradients of weight and bias to `dnorm`."""
        channels, height, width, size = dy.shape
        count = np.float32(x.shape[1] * x.shape[2] * size)
        for c in range(channels):
            scale, mean, inverse = scales[0, c], scales[2, c], scales[3, c]
            slope = shift = ZERO
            if norms:
                total = product = ZERO
                for i in range(height):
                    for j in range(width):
                        gradient, source = dy[c, i, j], chosen[c, i, j]
                        for n in range(size):
                            value = mean
                            for k in range(pool * pool):
                                one = x[c, i * pool + k // pool, j * pool + k % pool, n]
                                value = one if source[n] == k else value
                            one = ZERO if source[n] == INACTIVE else gradient[n] * keep_scale
                            total += one
                            product += one * (value - mean) * inverse
                dnorm[0][c], dnorm[1][c] = product, total
                slope = -scale * inverse * product / count
                shift = -scale * total / count - slope * mean
            for i in range(x.shape[1]):
                for j in range(x.shape[2]):
                    values = x[c, i, j]
                    p, q = min(i // pool, height - 1), min(j // pool, width - 1)
                    gradient, source = dy[c, p, q], chosen[c, p, q]
                    fills_square = i < height * pool and j < width * pool
                    own = np.uint8(i % pool * pool + j % pool if fills_square else 254)
                    for n in range(size):
                        one = gradient[n] if source[n] == own else ZERO
                        values[n] = scale * keep_scale * one + slope * values[n] + shift

    return forward, backward
