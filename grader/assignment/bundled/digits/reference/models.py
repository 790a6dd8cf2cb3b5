"""Problem 2: models of images of shape (1, 8, 8)."""

import torch
from torch import nn


def model_a():
    """2A (4 points): return a fully-connected network with at most 32 hidden units."""
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))


def optimizer_a(model):
    """Return the optimiser of 2A."""
    return torch.optim.Adam(model.parameters(), lr=0.005)


def training_a():
    """Return the epochs, at most 20, and the batch size."""
    return {"epochs": 20, "batch_size": 32}


def reported_accuracy_a():
    """Return the test accuracy that you saw, as a share."""
    return 0.95


def model_b():
    """2B (8 points): return a network with Conv2d and Dropout, of at most 6,000 parameters."""
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(16, 24, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Dropout(0.1),
        nn.Linear(96, 10),
    )


def optimizer_b(model):
    """Return the optimiser of 2B, which trains 10 epochs at batch size 32."""
    return torch.optim.Adam(model.parameters(), lr=0.005)


def reported_accuracy_b():
    """Return the test accuracy that you saw, as a share."""
    return 0.98


def dropout_sweep():
    """2B (2 points): return the test accuracy of model_b() after 3 epochs, by probability."""
    return {0.0: 0.95, 0.2: 0.95, 0.4: 0.95, 0.6: 0.95}


def model_c():
    """2C (4 points): return the model whose weights you hand in as model_c.pt."""
    return model_b()
