"""The course's own loop, on torchvision's DataLoader.

Nothing of the grader is imported but the networks to train. Prints one JSON object:
the seconds of each epoch with its evaluation, and the test accuracies.
"""

from __future__ import annotations

import argparse
import json
import time
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.utils.data import DataLoader, Subset
from torchvision import datasets, transforms

from benchmarks.models import MODELS

if TYPE_CHECKING:
    from collections.abc import Iterator


def main() -> None:
    """Train one network with Adam and print the times and accuracies."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", required=True, help="the directory that holds MNIST/raw")
    parser.add_argument("--model", choices=MODELS, required=True)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=0, help="torch's default if 0")
    parser.add_argument("--train-examples", type=int, default=60_000)
    parser.add_argument("--test-examples", type=int, default=10_000)
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    warm_up()
    torch.manual_seed(arguments.seed)

    train_set, test_set = load_mnist(arguments.data)
    model = MODELS[arguments.model]()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    seconds, accuracies = [], []
    started = time.perf_counter()
    for accuracy in train(
        model,
        optimizer,
        DataLoader(first(train_set, arguments.train_examples), batch_size=32, shuffle=True),
        DataLoader(first(test_set, arguments.test_examples), batch_size=32),
        epochs=arguments.epochs,
    ):
        seconds.append(time.perf_counter() - started)
        accuracies.append(accuracy)
        started = time.perf_counter()
    print(json.dumps({"seconds": seconds, "accuracies": accuracies}))


def load_mnist(directory: str) -> tuple[datasets.MNIST, datasets.MNIST]:
    """The training and the test set."""
    to_tensor = transforms.ToTensor()
    return (
        datasets.MNIST(directory, train=True, transform=to_tensor),
        datasets.MNIST(directory, train=False, transform=to_tensor),
    )


def train(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    train_loader: DataLoader[object],
    test_loader: DataLoader[object],
    *,
    epochs: int,
    scheduler: torch.optim.lr_scheduler.LRScheduler | None = None,
) -> Iterator[float]:
    """The test accuracy after each epoch."""
    criterion = nn.CrossEntropyLoss()
    for _ in range(epochs):
        model.train()
        for images, labels in train_loader:
            optimizer.zero_grad()
            loss = criterion(model(images), labels)
            loss.backward()
            optimizer.step()
        if scheduler is not None:
            scheduler.step()
        model.eval()
        correct = total = 0
        with torch.no_grad():
            for images, labels in test_loader:
                correct += (model(images).argmax(dim=1) == labels).sum().item()
                total += len(labels)
        yield correct / total


def first(examples: datasets.MNIST, count: int) -> datasets.MNIST | Subset[object]:
    """The first examples of a data set; the data set itself if that is all of them."""
    return examples if count == len(examples) else Subset(examples, range(count))


def warm_up() -> None:
    """Take one step of a tiny network: PyTorch imports more of itself then, which is not timed."""
    model = nn.Linear(1, 1)
    optimizer = torch.optim.Adam(model.parameters())
    optimizer.zero_grad()
    model(torch.zeros(1, 1)).sum().backward()
    optimizer.step()


if __name__ == "__main__":
    main()
