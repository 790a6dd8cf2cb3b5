import torch
from torch import nn


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(784, 50)
        self.second = nn.Linear(50, 50)
        self.last = nn.Linear(50, 10)

    def forward(self, x):
        x = torch.flatten(x, 1)
        h = torch.relu(self.first(x))
        h = h + torch.relu(self.second(h))
        return self.last(h)


def model_c():
    return Residual()
