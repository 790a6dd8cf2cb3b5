"""Clothes: models of images of shape (1, 28, 28)."""

import torch
from torch import nn


def mlp_parameters():
    """1A (3 points): return the number of parameters of a network 784-64-10 with biases."""
    # YOUR CODE
    raise NotImplementedError


def model_mlp():
    """1B (8 points): return a fully-connected network with at most 64 hidden units."""
    # YOUR CODE
    raise NotImplementedError


def optimizer_mlp(model):
    """Return the optimiser of 1B."""
    # YOUR CODE
    raise NotImplementedError


def training_mlp():
    """Return the epochs, at most 15, and the batch size."""
    # YOUR CODE
    raise NotImplementedError


def reported_accuracy_mlp():
    """Return the test accuracy that you saw, as a share."""
    # YOUR CODE
    raise NotImplementedError


def model_cnn():
    """2B (15 points): return a network of fewer than 50,000 parameters with Conv2d."""
    # YOUR CODE
    raise NotImplementedError


def optimizer_cnn(model):
    """Return the optimiser of 2B, which trains 8 epochs at batch size 64."""
    # YOUR CODE
    raise NotImplementedError


def scheduler_cnn(optimizer):
    """Return the scheduler of 2B, stepped once after each epoch."""
    # YOUR CODE
    raise NotImplementedError


def reported_accuracy_cnn():
    """Return the test accuracy that you saw, as a share."""
    # YOUR CODE
    raise NotImplementedError
