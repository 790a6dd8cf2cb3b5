"""Clothes: models of images of shape (1, 28, 28)."""

import torch
from torch import nn


def mlp_parameters():
    """1A (3 points): return the number of parameters of a network 784-64-10 with biases."""
    return 784 * 64 + 64 + 64 * 10 + 10


def model_mlp():
    """1B (8 points): return a fully-connected network with at most 64 hidden units."""
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 64), nn.ReLU(), nn.Linear(64, 10))


def optimizer_mlp(model):
    """Return the optimiser of 1B."""
    return torch.optim.Adam(model.parameters(), lr=0.001)


def training_mlp():
    """Return the epochs, at most 15, and the batch size."""
    return {"epochs": 12, "batch_size": 64}


def reported_accuracy_mlp():
    """Return the test accuracy that you saw, as a share."""
    return 0.881


def model_cnn():
    """2B (15 points): return a network of fewer than 50,000 parameters with Conv2d."""
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1),
        nn.BatchNorm2d(32),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Dropout(0.2),
        nn.Linear(32 * 7 * 7, 24),
        nn.ReLU(),
        nn.Linear(24, 10),
    )


def optimizer_cnn(model):
    """Return the optimiser of 2B, which trains 8 epochs at batch size 64."""
    return torch.optim.Adam(model.parameters(), lr=0.002)


def scheduler_cnn(optimizer):
    """Return the scheduler of 2B, stepped once after each epoch."""
    return torch.optim.lr_scheduler.StepLR(optimizer, step_size=5, gamma=0.2)


def reported_accuracy_cnn():
    """Return the test accuracy that you saw, as a share."""
    return 0.912
