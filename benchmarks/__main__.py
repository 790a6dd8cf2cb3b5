"""`python -m benchmarks`: measure, print a Markdown table, and keep the numbers as JSON."""

from __future__ import annotations

import argparse
import json
import os
import platform
from collections import defaultdict
from pathlib import Path
from statistics import median

import torch

from benchmarks.accuracies import compare_accuracies
from benchmarks.epochs import QUICK, WHOLE, measure_epochs
from grader.training_pool import LARGEST_STACK, count_cores

ROWS = {
    "course/1": "course loop, one thread",
    "course/0": "course loop, torch's default threads",
    "grader": "grader, one thread",
    "stacked": f"grader, one thread, {LARGEST_STACK} models stacked, per model",
}
NAMES = {"mlp": "784-100-10", "cnn": "8-8 filter CNN with batch norm and dropout"}


def main() -> None:
    """Run what the options ask for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--data", type=Path, default=Path(os.environ.get("GRADER_DATA", "../shared/data"))
    )
    parser.add_argument("--quick", action="store_true", help="a tenth of an epoch, 3 repetitions")
    parser.add_argument("--repetitions", type=int, help="of every measurement; 7 unless quick")
    parser.add_argument(
        "--one-thread",
        action="store_true",
        help="leave out the course loop with torch's default threads: on a machine that is busy "
        "with something else they wait for each other, and the time says nothing",
    )
    parser.add_argument(
        "--accuracies", type=int, metavar="SEEDS", help="compare accuracies instead"
    )
    parser.add_argument("--output", type=Path, default=Path("reports/benchmarks.json"))
    arguments = parser.parse_args()
    size = QUICK if arguments.quick else WHOLE
    print(f"{describe_machine()}\n", flush=True)
    if arguments.accuracies:
        comparison = compare_accuracies(arguments.data, size, arguments.accuracies)
        print(comparison.describe())
        return
    repetitions = arguments.repetitions or (3 if arguments.quick else 7)
    seconds: dict[str, list[float]] = defaultdict(list)
    threads = (1,) if arguments.one_thread else (1, 0)
    for name, value in measure_epochs(arguments.data, size, repetitions, threads):
        seconds[name].append(value)
    print(as_table(seconds, steps=size.train_examples / 32))
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    record = {"machine": describe_machine(), "train_examples": size.train_examples}
    arguments.output.write_text(json.dumps({**record, "seconds": seconds}, indent=2) + "\n")
    print(f"\nEvery single time is in {arguments.output}.")


def describe_machine() -> str:
    """What the numbers were measured on."""
    capability = torch.backends.cpu.get_cpu_capability()
    return (
        f"{platform.machine()}, {count_cores()} cores, {capability}, "
        f"torch {torch.__version__}, Python {platform.python_version()}"
    )


def as_table(seconds: dict[str, list[float]], steps: float) -> str:
    """Medians (least to most) of an epoch with its evaluation, as Markdown.

    "Times faster" is against the course's loop with one thread.
    """
    head = ("model", "loop", "seconds an epoch", "n", "microseconds a step", "times faster")
    rows = [head, ("---",) * len(head)]
    for model, model_name in NAMES.items():
        baseline = median(seconds[f"{model}/course/1"])
        for row, row_name in ROWS.items():
            values = seconds.get(f"{model}/{row}")
            if values is None:
                continue
            middle = median(values)
            rows.append(
                (
                    model_name,
                    row_name,
                    f"{middle:.2f} ({min(values):.2f} to {max(values):.2f})",
                    str(len(values)),
                    f"{middle / steps * 1e6:,.0f}",
                    f"{baseline / middle:.2f}",
                )
            )
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


if __name__ == "__main__":
    main()
