"""What a user has today: the loop that courses hand out, on torchvision's DataLoader.

Nothing of the grader is imported but the networks to train. Prints one JSON object:
the seconds of each epoch with its evaluation, and the test accuracies.
"""

from __future__ import annotations

import argparse
import json
import time

import torch
from torch import nn
from torch.utils.data import DataLoader, Subset
from torchvision import datasets, transforms

from benchmarks.models import MODELS


def main() -> None:
    """Train for some epochs and print the times and accuracies."""
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

    to_tensor = transforms.ToTensor()
    train_set = datasets.MNIST(arguments.data, train=True, transform=to_tensor)
    test_set = datasets.MNIST(arguments.data, train=False, transform=to_tensor)
    train_loader = DataLoader(
        first(train_set, arguments.train_examples), batch_size=32, shuffle=True
    )
    test_loader = DataLoader(first(test_set, arguments.test_examples), batch_size=32)

    model = MODELS[arguments.model]()
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    seconds, accuracies = [], []
    for _ in range(arguments.epochs):
        started = time.perf_counter()
        model.train()
        for images, labels in train_loader:
            optimizer.zero_grad()
            loss = criterion(model(images), labels)
            loss.backward()
            optimizer.step()
        model.eval()
        correct = 0
        with torch.no_grad():
            for images, labels in test_loader:
                correct += (model(images).argmax(dim=1) == labels).sum().item()
        seconds.append(time.perf_counter() - started)
        accuracies.append(correct / arguments.test_examples)
    print(json.dumps({"seconds": seconds, "accuracies": accuracies}))


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
