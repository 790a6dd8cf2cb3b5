"""Problem 2: models of images of shape (1, 8, 8)."""

import torch
from torch import nn


def model_a():
    """2A (4 points): return a fully-connected network with at most 32 hidden units."""
    # YOUR CODE
    raise NotImplementedError


def optimizer_a(model):
    """Return the optimiser of 2A."""
    # YOUR CODE
    raise NotImplementedError


def training_a():
    """Return the epochs, at most 20, and the batch size."""
    # YOUR CODE
    raise NotImplementedError


def reported_accuracy_a():
    """Return the test accuracy that you saw, as a share."""
    # YOUR CODE
    raise NotImplementedError


def model_b():
    """2B (8 points): return a network with Conv2d and Dropout, of at most 6,000 parameters."""
    # YOUR CODE
    raise NotImplementedError


def optimizer_b(model):
    """Return the optimiser of 2B, which trains 10 epochs at batch size 32."""
    # YOUR CODE
    raise NotImplementedError


def reported_accuracy_b():
    """Return the test accuracy that you saw, as a share."""
    # YOUR CODE
    raise NotImplementedError


def dropout_sweep():
    """2B (2 points): return the test accuracy of model_b() after 3 epochs, by probability."""
    # YOUR CODE
    raise NotImplementedError


def model_c():
    """2C (4 points): return the model whose weights you hand in as model_c.pt."""
    # YOUR CODE
    raise NotImplementedError
