"""A whole submission by the course's loop, one model after another.

Trains the four models of problems 2 and 3, then the ten of the dropout sweep, as `grade` does, one
after the other with torch's default threads. Prints one JSON object: for every part and seed the
test accuracy after each epoch.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.utils.data import DataLoader

from benchmarks.course_loop import load_mnist, train

if TYPE_CHECKING:
    from torchvision import datasets

MODELS = {
    "2C": ("problem_2", "c"),
    "2D": ("problem_2", "d"),
    "2E": ("problem_2", "e"),
    "3G": ("problem_3", "g"),
}
PROBABILITIES = [step / 9 for step in range(10)]


def main() -> None:
    """Train what is asked for and print the accuracies."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", required=True, help="the directory that holds MNIST/raw")
    parser.add_argument("--submission", required=True)
    parser.add_argument("--only", nargs="*", default=[*MODELS, "sweep"])
    parser.add_argument("--seeds", type=int, nargs="*", default=[1])
    parser.add_argument("--threads", type=int, default=0, help="torch's default if 0")
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    sys.path.insert(0, arguments.submission)
    data = load_mnist(arguments.data)

    accuracies: dict[str, list[float] | list[list[float]]] = {}
    for name in arguments.only:
        if name == "sweep":
            accuracies[name] = [
                train_one("3G", 1, data, epochs=1, dropout=dropout)[-1] for dropout in PROBABILITIES
            ]
        else:
            accuracies[name] = [train_one(name, seed, data) for seed in arguments.seeds]
    print(json.dumps(accuracies))


def train_one(
    name: str,
    seed: int,
    data: tuple[datasets.MNIST, datasets.MNIST],
    *,
    epochs: int | None = None,
    dropout: float | None = None,
) -> list[float]:
    """The test accuracies of one of the submission's models, trained as the submission says."""
    file, letter = MODELS[name]
    problem = importlib.import_module(file)
    recipe = {"epochs": 10, "batch_size": 32}
    if hasattr(problem, f"training_{letter}"):
        recipe |= getattr(problem, f"training_{letter}")()
    torch.manual_seed(seed)
    model = getattr(problem, f"model_{letter}")()
    if dropout is not None:
        for layer in model:
            if isinstance(layer, nn.Dropout):
                layer.p = dropout
    optimizer = getattr(problem, f"optimizer_{letter}")(model)
    train_set, test_set = data
    return list(
        train(
            model,
            optimizer,
            DataLoader(train_set, batch_size=recipe["batch_size"], shuffle=True),
            DataLoader(test_set, batch_size=recipe["batch_size"]),
            epochs=epochs or recipe["epochs"],
            scheduler=getattr(problem, f"scheduler_{letter}")(optimizer),
        )
    )


if __name__ == "__main__":
    main()
