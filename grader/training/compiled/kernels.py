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


_FASTMATH = {"contract", "nsz", "reassoc"}
_compiled: Callable[[Any], Any] = njit(fastmath=_FASTMATH, cache=True, error_model="numpy")


@_compiled
def draw_batch(inputs: Any, scale: Any, shift: Any, indices: Any, batch: Any) -> None:
    """Write the inputs (examples, F) at `indices` (N,) to `batch` (F, N), scaled and shifted."""
    for feature in range(len(batch)):
        for n in range(len(indices)):
            batch[feature, n] = inputs[indices[n], feature] * scale[feature] + shift[feature]


@_compiled
def cross_entropy(logits: Any, targets: Any, indices: Any) -> Any:
    """Return the mean loss of `logits` (classes, N), and replace them by its gradient."""
    size, loss = logits.shape[1], 0.0
    for n in range(size):
        column, target, total = logits[:, n], targets[indices[n]], ZERO
        largest = column.max()
        distance = largest - column[target]
        for c in range(len(column)):
            column[c] = np.exp(column[c] - largest)
            total += column[c]
        loss += np.log(total) + distance
        column /= total * np.float32(size)
        column[target] -= np.float32(1 / size)
    return loss / size


@cache
def convolution(height: int, width: int, down: int, across: int) -> Any:
    """Return the kernels of a convolution and of its gradient, by the filter's size and strides."""

    @_compiled
    def convolve(x: Any, weight: Any, bias: Any, size: int, y: Any) -> None:
        """Write the convolution of x (I, H, W * N) to y (O, H', W' * N).

        The columns of x are sorted by their remainder modulo the stride `across`.
        """
        remainder = x.shape[2] // across
        for i in range(y.shape[1]):
            for start in range(0, len(weight), 4):
                o = min(start, len(weight) - 4)  # without a multiple of 4, some are done twice
                y0, y1, y2, y3 = y[o, i], y[o + 1, i], y[o + 2, i], y[o + 3, i]
                y0[:], y1[:], y2[:], y3[:] = bias[o], bias[o + 1], bias[o + 2], bias[o + 3]
                for c in range(weight.shape[1]):
                    for p in range(height):
                        row = x[c, i * down + p]
                        for t in range(len(y0)):
                            a, b, d, e = y0[t], y1[t], y2[t], y3[t]
                            for q in range(width):
                                # Unsigned, since numba counts a negative index from the end.
                                at = t + q % across * remainder + q // across * size
                                value = row[np.uint64(at)]
                                a += weight[o, c, p, q] * value
                                b += weight[o + 1, c, p, q] * value
                                d += weight[o + 2, c, p, q] * value
                                e += weight[o + 3, c, p, q] * value
                            y0[t], y1[t], y2[t], y3[t] = a, b, d, e

    @_compiled
    def differentiate(x: Any, dy: Any, size: int, dweight: Any) -> None:
        """Write the gradient of the weight, where that of y is `dy`."""
        remainder = x.shape[2] // across
        for start in range(0, len(dweight), 4):
            o = min(start, len(dweight) - 4)
            dweight[o : o + 4] = 0
            for i in range(dy.shape[1]):
                g0, g1, g2, g3 = dy[o, i], dy[o + 1, i], dy[o + 2, i], dy[o + 3, i]
                for c in range(dweight.shape[1]):
                    for p in range(height):
                        row = x[c, i * down + p]
                        for q in range(width):
                            a = b = d = e = ZERO
                            first = q % across * remainder + q // across * size
                            for t in range(len(g0)):
                                value = row[np.uint64(t + first)]
                                a, b = a + g0[t] * value, b + g1[t] * value
                                d, e = d + g2[t] * value, e + g3[t] * value
                            for k, part in enumerate((a, b, d, e)):
                                dweight[o + k, c, p, q] += part

    return convolve, differentiate


@_compiled
def add_copies(copies: Any, stride: tuple[int, int], x: Any) -> None:
    """Write to each number of x, (C, H, W, N), the sum of its `copies`, (C, h, w, H', W', N)."""
    x[:] = 0
    for c, p, q, i, j in np.ndindex(copies.shape[:5]):
        own, copy = x[c, i * stride[0] + p, j * stride[1] + q], copies[c, p, q, i, j]
        for n in range(len(own)):
            own[n] += copy[n]


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
            total = squares = ZERO  # numba's own sum is not reordered, so it is not vectorised
            for t in range(len(values)):
                total += values[t]
            mean = total / count
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
def activation(relu: bool, pool: int, drops: bool, norms: bool) -> Any:
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
