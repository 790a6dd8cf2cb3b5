"""Problem 1: warming up."""

import numpy as np
import torch
import torchvision
from torch import nn


def convolution_parameters():
    """1B (2 points): return the number of parameters of nn.Conv2d(1, 8, 3)."""
    # YOUR CODE
    raise NotImplementedError


def accuracy(scores, labels):
    """1C (4 points): return the share of rows whose largest score is at the label.

    Args:
        scores: of shape (N, classes).
        labels: N whole numbers.
    """
    # YOUR CODE
    raise NotImplementedError


def and_network():
    """1D (2 points): return an nn.Sequential of Linear and ReLU that computes AND of two bits."""
    # YOUR CODE
    raise NotImplementedError


def versions():
    """1E (1 point): return the versions of torch and torchvision."""
    # YOUR CODE
    raise NotImplementedError
