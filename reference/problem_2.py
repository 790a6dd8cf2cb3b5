"""Problem 2: fully-connected networks on MNIST (parts 2A to 2E).

All three models take images of shape (N, 1, 28, 28) with pixels from 0 to 1 and end in 10 logits,
because the cross entropy contains the softmax. All three learning rates start high and fall to 0
along a cosine over the whole training, which reaches in about ten epochs what a constant rate does
not reach in thirty.
"""

from importlib.metadata import version

import torch
from torch import nn
from torch.optim.lr_scheduler import CosineAnnealingLR


def versions():
    """The installed versions, torchvision's from its metadata: its import takes seconds."""
    return torch.__version__, version("torchvision")


def image_size():
    """Height and width."""
    return 28, 28


def dataset_sizes():
    """Training images and test images."""
    return 60_000, 10_000


# 2C: at most 100 hidden units ----------------------------------------------------------------


def model_c():
    """One hidden layer of 100 units.

    Dropout on the pixels hides a tenth of each image, so that no unit can rely on one pixel.
    """
    return nn.Sequential(
        nn.Flatten(),
        nn.Dropout(0.1),
        nn.Linear(784, 100),
        nn.ReLU(),
        nn.Linear(100, 10),
    )


def optimizer_c(model):
    """Adam, faster than its default at first; the schedule slows it down."""
    return torch.optim.Adam(model.parameters(), lr=3e-3)


def scheduler_c(optimizer):
    """A cosine over all epochs."""
    return CosineAnnealingLR(optimizer, T_max=training_c()["epochs"])


def training_c():
    """Batches of 128 take a quarter of the steps that batches of 32 take."""
    return {"epochs": 10, "batch_size": 128}


# 2D: at most 200 hidden units in two or more hidden layers -----------------------------------


def model_d():
    """Two hidden layers of 140 and 60 units, each followed by a little Dropout."""
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(784, 140),
        nn.ReLU(),
        nn.Dropout(0.1),
        nn.Linear(140, 60),
        nn.ReLU(),
        nn.Dropout(0.1),
        nn.Linear(60, 10),
    )


def optimizer_d(model):
    """AdamW, whose decay of the weights does not depend on the size of their gradients."""
    return torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.1)


def scheduler_d(optimizer):
    """A cosine over all epochs."""
    return CosineAnnealingLR(optimizer, T_max=training_d()["epochs"])


def training_d():
    """Two epochs more than for 2C, because Dropout in both hidden layers slows learning."""
    return {"epochs": 12, "batch_size": 128}


# 2E: at most 1000 hidden units in three or more hidden layers --------------------------------


def model_e():
    """Three hidden layers of 400, 200 and 100 units, with Dropout on the pixels too.

    More units raise the accuracy only with more Dropout: without it the network learns the
    training set by heart. 700 of the 1000 units are enough, and they train faster.
    """
    return nn.Sequential(
        nn.Flatten(),
        nn.Dropout(0.1),
        nn.Linear(784, 400),
        nn.ReLU(),
        nn.Dropout(0.2),
        nn.Linear(400, 200),
        nn.ReLU(),
        nn.Dropout(0.2),
        nn.Linear(200, 100),
        nn.ReLU(),
        nn.Dropout(0.2),
        nn.Linear(100, 10),
    )


def optimizer_e(model):
    """AdamW, as for 2D."""
    return torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.1)


def scheduler_e(optimizer):
    """A cosine over all epochs."""
    return CosineAnnealingLR(optimizer, T_max=training_e()["epochs"])


def training_e():
    """Larger batches than for 2C, because each step costs more here."""
    return {"epochs": 12, "batch_size": 256}
