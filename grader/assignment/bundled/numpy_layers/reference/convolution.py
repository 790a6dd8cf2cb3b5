"""Problem 2: convolution and pooling."""

import numpy as np


def output_size(size, kernel, stride=1, padding=0):
    return (size + 2 * padding - kernel) // stride + 1


def _windows(x, kernel, stride, padding, fill):
    """All windows, of shape (N, C, H', W', K, K)."""
    sides = ((0, 0), (0, 0), (padding, padding), (padding, padding))
    padded = np.pad(x.astype(float), sides, constant_values=fill)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (kernel, kernel), axis=(2, 3))
    return windows[:, :, ::stride, ::stride]


def conv2d(x, weight, bias, stride=1, padding=0):
    windows = _windows(x, weight.shape[2], stride, padding, 0.0)
    return np.einsum("nchwij,fcij->nfhw", windows, weight) + bias[:, None, None]


def max_pool2d(x, kernel, stride, padding=0):
    return _windows(x, kernel, stride, padding, -np.inf).max(axis=(4, 5))


def avg_pool2d(x, kernel, stride, padding=0):
    return np.nanmean(_windows(x, kernel, stride, padding, np.nan), axis=(4, 5))
