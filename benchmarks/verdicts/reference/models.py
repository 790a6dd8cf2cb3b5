"""Fully-connected networks (a to d, i to k) and convolutional ones (e to h)."""

import torch
from torch import nn


def _mlp(*sizes, dropout=0.0):
    layers = [nn.Flatten()]
    for before, after in zip((784, *sizes), sizes, strict=False):
        layers += [nn.Linear(before, after), nn.ReLU()]
        layers += [nn.Dropout(dropout)] if dropout else []
    return nn.Sequential(*layers, nn.Linear(sizes[-1], 10))


def _cnn(first, second, normalised=False, dropout=0.0):
    def block(before, after):
        norm = [nn.BatchNorm2d(after)] if normalised else []
        return [nn.Conv2d(before, after, 3), *norm, nn.ReLU(), nn.MaxPool2d(2)]

    last = [nn.Dropout(dropout)] if dropout else []
    return nn.Sequential(
        *block(1, first), *block(first, second), nn.Flatten(), *last, nn.Linear(25 * second, 10)
    )


def model_a():
    return _mlp(100)


def model_b():
    return _mlp(100)


def model_c():
    return _mlp(140, 60)


def model_d():
    return _mlp(400, 200, 100, dropout=0.2)


def model_e():
    return _cnn(8, 16)


def model_f():
    return _cnn(8, 16)


def model_g():
    return _cnn(8, 8, normalised=True, dropout=0.2)


def model_h():
    return _cnn(8, 16)


def model_i():
    return _mlp(100)


def model_j():
    return _mlp(140, 60)


def model_k():
    return _mlp(400, 200, 100, dropout=0.2)


def optimizer_a(model):
    return torch.optim.Adam(model.parameters(), lr=0.001)


optimizer_b = optimizer_c = optimizer_d = optimizer_e = optimizer_f = optimizer_g = optimizer_a
optimizer_i = optimizer_j = optimizer_k = optimizer_a


def optimizer_h(model):
    return torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
