"""Problem 2: fully-connected networks on MNIST (parts 2A to 2E).

The grader imports this file, calls the functions below, trains the models that they return and
measures their test accuracy itself. So the file only describes models: it loads no data and
trains nothing. To train a model and look at its curve, run `python train.py c`.

For all three models:

- Return an `nn.Sequential` of Linear, ReLU, Softmax, Dropout and Flatten layers of `torch.nn`.
- The input is a batch of images of shape (N, 1, 28, 28), float32, with pixels from 0 to 1, so
  the first layer is Flatten. The output has shape (N, 10): one number for each digit.
- Training minimises `nn.CrossEntropyLoss`, which contains the softmax: end in a Linear layer.
- Hidden units are the `out_features` of every Linear but the last, added up.
- A new model starts from PyTorch's own random weights every time, and the grader uses seeds of
  its own: what counts is the description, not the weights of a lucky run.

Three functions beside each model choose how it is trained. Each may be left out:

- `optimizer_x(model)` returns an optimiser of `torch.optim` over `model.parameters()`: Adam,
  AdamW, SGD, RMSprop, NAdam, RAdam, Adamax, Adagrad or Adadelta. Parameter groups are allowed.
  Without it: Adam with a learning rate of 1e-3.
- `scheduler_x(optimizer)` returns a StepLR, MultiStepLR, ExponentialLR or CosineAnnealingLR of
  `torch.optim.lr_scheduler`; it steps once after each epoch. Without it: a constant rate.
- `training_x()` returns the number of epochs (at most 30) and the batch size (16 to 1024).
  Without it: 10 epochs with batches of 32.

`reported_accuracy_x()` is the best test accuracy that you saw. The report shows it beside the
grader's; a gap wider than chance explains is marked for a person to look at.
"""

import torch
from torch import nn


def versions():
    """2A (2 points): the versions of torch and torchvision that are installed where you work.

    Returns:
        A tuple of two strings, torch's version first, such as ("2.x.y", "0.x.y").
    """
    return None  # (torch's version, torchvision's version)


def image_size():
    """2B (1 point): the height and width of an MNIST image.

    Returns:
        A tuple of two ints, (height, width).
    """
    return None  # (height, width)


def dataset_sizes():
    """2B (1 point): how many images there are; what a pixel means goes into `written/2B.md`.

    Returns:
        A tuple of two ints, (training images, test images).
    """
    return None  # (training images, test images)


# 2C: one small network -----------------------------------------------------------------------


def model_c():
    """2C (8 points): at most 100 hidden units; test accuracy of at least 0.975.

    The best epoch counts. Returns an `nn.Sequential`; the rules are at the top of this file.
    """
    # The sample is too small to reach the accuracy.
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(28 * 28, 10),
        nn.ReLU(),
        nn.Linear(10, 10),
    )


def optimizer_c(model):
    """The optimiser for `model_c()`."""
    return torch.optim.Adam(model.parameters(), lr=1e-3)


def scheduler_c(optimizer):
    """The learning rate's schedule for `model_c()`: after each epoch, the rate times gamma."""
    return torch.optim.lr_scheduler.ExponentialLR(optimizer, gamma=1.0)  # 1.0: a constant rate


def training_c():
    """How long and in which batches `model_c()` is trained."""
    return {"epochs": 10, "batch_size": 32}


def reported_accuracy_c():
    """The best test accuracy of `model_c()` that you saw, such as 0.95 for 95%."""
    return None  # your accuracy, a float from 0 to 1


# 2D: two or more hidden layers ---------------------------------------------------------------


def model_d():
    """2D (6 points): at most 200 hidden units in at least 2 hidden layers; accuracy 0.98.

    The best epoch counts. A hidden layer is any Linear but the last. Returns an `nn.Sequential`.
    """
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(28 * 28, 10),
        nn.ReLU(),
        nn.Linear(10, 10),
        nn.ReLU(),
        nn.Linear(10, 10),
    )


def optimizer_d(model):
    """The optimiser for `model_d()`."""
    return torch.optim.Adam(model.parameters(), lr=1e-3)


def scheduler_d(optimizer):
    """The learning rate's schedule for `model_d()`: after each epoch, the rate times gamma."""
    return torch.optim.lr_scheduler.ExponentialLR(optimizer, gamma=1.0)  # 1.0: a constant rate


def training_d():
    """How long and in which batches `model_d()` is trained."""
    return {"epochs": 10, "batch_size": 32}


def reported_accuracy_d():
    """The best test accuracy of `model_d()` that you saw."""
    return None  # your accuracy, a float from 0 to 1


# 2E: three or more hidden layers -------------------------------------------------------------


def model_e():
    """2E (6 points): at most 1000 hidden units in at least 3 hidden layers; accuracy 0.983.

    The best epoch counts. Returns an `nn.Sequential`.
    """
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(28 * 28, 10),
        nn.ReLU(),
        nn.Linear(10, 10),
        nn.ReLU(),
        nn.Linear(10, 10),
        nn.ReLU(),
        nn.Linear(10, 10),
    )


def optimizer_e(model):
    """The optimiser for `model_e()`."""
    return torch.optim.Adam(model.parameters(), lr=1e-3)


def scheduler_e(optimizer):
    """The learning rate's schedule for `model_e()`: after each epoch, the rate times gamma."""
    return torch.optim.lr_scheduler.ExponentialLR(optimizer, gamma=1.0)  # 1.0: a constant rate


def training_e():
    """How long and in which batches `model_e()` is trained."""
    return {"epochs": 10, "batch_size": 32}


def reported_accuracy_e():
    """The best test accuracy of `model_e()` that you saw."""
    return None  # your accuracy, a float from 0 to 1
