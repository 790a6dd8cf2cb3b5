"""Pieces of sample results: the real one, training runs, and one change for each way to fail.

`reference_result.json` is what `grade reference --practice --json | python -m json.tool --compact`
printed once. Rewrite it when the format of results changes.
"""

from __future__ import annotations

import math
import random
from pathlib import Path
from typing import Any

from grader.grading.items.chance import Measured, is_borderline, wilson_interval
from grader.results import (
    CapturedOutput,
    CheckResult,
    EpochResult,
    Hint,
    Metric,
    Outcome,
    RecipeReport,
    Score,
    SweepPoint,
    TrainingReport,
    TrainingRun,
)
from tests.support.result_files import read_json

TEST_EXAMPLES = 10_000
REFERENCE = read_json(Path(__file__).with_name("reference_result.json"))
REAL_TRAINING = next(item.training for item in REFERENCE.items() if item.training is not None)

RICH_ANSWER = """\
With every weight at **zero**, each hidden unit computes the same value, `relu(0) = 0`, so

$$\\frac{\\partial L}{\\partial W^{(2)}} = \\delta^{(2)} \\, h^\\top = 0
\\qquad \\text{because } h = 0.$$

1. The gradient of the *first* layer is $(W^{(2)})^\\top \\delta^{(2)} \\odot 1[z > 0]$, and both
   factors are zero.
2. The gradient of the second layer is zero, because the hidden values $h_1 * h_2$ are.

| parameter | gradient at the start | after 1,000 steps |
|:----------|:---------------------:|------------------:|
| $W^{(1)}$ | 0                     | 0                 |
| $W^{(2)}$ | 0                     | 0                 |
| $b^{(2)}$ | not 0                 | log-odds          |

> Only the output bias ever moves, so the network learns the *class frequencies* and nothing else.

I checked it with `torch.nn.init.zeros_` (see [the documentation](https://pytorch.org/docs)):

```python
for layer in model:
    if isinstance(layer, nn.Linear):
        nn.init.zeros_(layer.weight)
```

![loss stays at 0.693](loss.png)
"""
"""Every element that a written answer may have."""


def score_of(outcome: Outcome, points: float) -> Score:
    """All points in the one place where `outcome` puts them."""
    places = {
        Outcome.PASSED: "earned",
        Outcome.FAILED: "lost",
        Outcome.PENDING: "pending",
        Outcome.SKIPPED: "undecided",
        Outcome.ERROR: "undecided",
    }
    return Score(possible=points, **{places[outcome]: points})


def passed(check_id: str, title: str, observed: str, expected: str = "") -> CheckResult:
    """A check that went well."""
    return CheckResult(
        id=check_id, title=title, outcome=Outcome.PASSED, observed=observed, expected=expected
    )


def skipped(check_id: str, title: str) -> CheckResult:
    """A check that was not made, because an earlier one failed."""
    return CheckResult(
        id=check_id,
        title=title,
        outcome=Outcome.SKIPPED,
        observed="not checked: an earlier check failed",
    )


def run(seed: int, best: float, *, epochs: int = 10, stopped_early: bool = False) -> TrainingRun:
    """A learning curve that rises to about `best`."""
    generator = random.Random(seed)
    curve = []
    for epoch in range(1, epochs + 1):
        rise = math.exp(-epoch / 2.2)
        curve.append(
            EpochResult(
                train_loss=round(0.03 + 0.55 * rise + generator.uniform(0, 0.008), 5),
                test_accuracy=round(best - 0.07 * rise - generator.uniform(0, 0.0015), 4),
            )
        )
    return TrainingRun(
        seed=seed,
        epochs=tuple(curve),
        stopped_early=stopped_early,
        confusion=REAL_TRAINING.runs[0].confusion,
        misclassified=REAL_TRAINING.runs[0].misclassified,
        wall_seconds=21.4 + seed,
    )


def diverged_run(seed: int) -> TrainingRun:
    """A run whose loss became infinite in its third epoch."""
    return TrainingRun(
        seed=seed,
        epochs=(
            EpochResult(train_loss=2.41, test_accuracy=0.1135),
            EpochResult(train_loss=1.9e4, test_accuracy=0.098),
        ),
        diverged=True,
        wall_seconds=4.1,
    )


def training(
    runs: tuple[TrainingRun, ...],
    threshold: float,
    *,
    counted_epoch: str = "best",
    reported: float | None = None,
    reported_differs: bool = False,
    examples: int = TEST_EXAMPLES,
) -> TrainingReport:
    """The report on `runs`, with the interval that belongs to their accuracy."""
    accuracies = [one.counted(counted_epoch, Metric.ACCURACY) for one in runs]
    accuracy = max(accuracies)
    return TrainingReport(
        recipe=RecipeReport(
            epochs=10,
            batch_size=32,
            optimizer=(
                "Adam(lr=0.001, betas=(0.9, 0.999), weight_decay=0.0001)  0.weight, 2.weight",
                "Adam(lr=0.001, betas=(0.9, 0.999), weight_decay=0.0)  0.bias, 2.bias",
            ),
            scheduler="StepLR(step_size=4, gamma=0.5)",
        ),
        runs=runs,
        threshold=threshold,
        counted_epoch=counted_epoch,
        accuracy=accuracy,
        interval=wilson_interval(accuracy, examples),
        borderline=is_borderline(
            [Measured.of_accuracy(accuracy, examples) for accuracy in accuracies], threshold
        ),
        test_examples=examples,
        reported_accuracy=reported,
        reported_differs=reported_differs,
    )


def sweep(*, disagreeing: tuple[int, ...] = (), judged: bool = True) -> tuple[SweepPoint, ...]:
    """Ten dropout probabilities; those numbered in `disagreeing` were reported too high."""
    points = []
    for index in range(10):
        probability = index / 9
        reproduced = 0.0980 if index == 9 else 0.984 - 0.09 * probability**4
        off = -0.06 if index in disagreeing else 0.0012 * (-1) ** index
        points.append(
            SweepPoint(
                probability=probability,
                reported=None if index == 7 and disagreeing else round(reproduced + off, 4),
                reproduced=(round(reproduced, 4), round(reproduced - 0.003, 4)),
                tolerance=0.008 + 0.03 * probability**2 if judged else 0.0,
                agrees=None
                if not judged
                else index not in disagreeing and index != 7
                if disagreeing
                else True,
            )
        )
    return tuple(points)


TRACEBACK = """\
Traceback (most recent call last):
  File "problem_2.py", line 31, in dataset_sizes
    train = torchvision.datasets.MNIST("./data", train=True, download=True)
  File "problem_2.py", line 12, in guarded
    raise RuntimeError(f"cannot reach the network: {error}")
RuntimeError: cannot reach the network: [Errno 101] Network is unreachable
"""

POOLED = """\
matrix 2, row 1, column 2: got 0.25, expected 0.5
matrix 3, row 2, column 2: got 1.0,  expected 0.25

got                      expected
[[0.50, 0.25],           [[0.50, 0.50],
 [0.25, 0.25]]            [0.25, 0.25]]
"""

BROKEN: dict[str, dict[str, Any]] = {
    "1C": {
        "outcome": Outcome.FAILED,
        "checks": (
            CheckResult(
                id="file",
                title="The file is there",
                outcome=Outcome.FAILED,
                observed="There is no file written/1C.md.",
                expected="A Markdown file with your answer.",
                next_step="Write your answer to written/1C.md and hand it in with the rest.",
            ),
        ),
        "written_text": None,
    },
    "1D": {
        "outcome": Outcome.FAILED,
        "checks": (
            passed("allowed-layers", "Allowed layers", "Linear, ReLU", "Linear and ReLU only"),
            CheckResult(
                id="max-hidden-units",
                title="Hidden units",
                outcome=Outcome.FAILED,
                observed="2 hidden units: layer 0, Linear(in_features=2, out_features=2).",
                expected="At most 1 hidden unit.",
                next_step="Find weights with which one ReLU unit computes OR: it may add both "
                "inputs.",
                location="problem_1.py:9",
            ),
            skipped("truth-table", "Truth table"),
        ),
    },
    "1E.network": {
        "outcome": Outcome.FAILED,
        "checks": (
            passed("allowed-layers", "Allowed layers", "Linear, ReLU", "Linear and ReLU only"),
            CheckResult(
                id="truth-table",
                title="Truth table",
                outcome=Outcome.FAILED,
                observed="XOR(1, 1) gives 1.0.",
                expected="0 on equal inputs, within 1e-6, and at least 1 otherwise.",
                next_step="Follow (1, 1) through your two hidden units by hand: the second must "
                "subtract what the first counts twice.",
                location="problem_1.py:22",
                details="input     output  expected\n(0, 0)      0.0   0\n(0, 1)      1.0   ≥ 1\n"
                "(1, 0)      1.0   ≥ 1\n(1, 1)      1.0   0        ← differs\n",
            ),
        ),
    },
    "2B.dataset_sizes": {
        "outcome": Outcome.FAILED,
        "checks": (
            passed("called", "dataset_sizes() can be called", "it returned"),
            CheckResult(
                id="dataset-sizes",
                title="Data set sizes",
                outcome=Outcome.FAILED,
                observed="dataset_sizes() raised RuntimeError: cannot reach the network: "
                "[Errno 101] Network is unreachable",
                expected="A pair: the number of training and of test images.",
                next_step="Return the two numbers themselves: the grader runs your file without a "
                "network.",
                location="problem_2.py:31",
                details=TRACEBACK,
            ),
        ),
        "answer": "(28, 28)",
        "hints": (
            Hint(
                id="dataset-at-import",
                message="problem_2.py loads MNIST when it is imported.",
                reason="Whoever imports the file waits for the data. Put it under "
                'if __name__ == "__main__":.',
                location="problem_2.py:12",
            ),
        ),
        "output": (
            CapturedOutput(
                source="problem_2.py: dataset_sizes",
                text="Downloading http://yann.lecun.com/exdb/mnist/train-images-idx3-ubyte.gz\n"
                + "retrying …\n" * 12,
                dropped_bytes=18_422,
            ),
        ),
    },
    "2C": {
        "outcome": Outcome.FAILED,
        "checks": (
            passed("allowed-layers", "Allowed layers", "Flatten, Linear, ReLU", "Linear, ReLU, …"),
            passed("max-hidden-units", "Hidden units", "100", "at most 100"),
            CheckResult(
                id="threshold",
                title="Best test accuracy",
                outcome=Outcome.FAILED,
                observed="97.34% in the best epoch of the best of 3 seeded runs.",
                expected="At least 97.5%.",
                next_step="Train longer or tune the learning rate: the accuracy was still rising "
                "in the last epoch of every run.",
                location="problem_2.py:40",
            ),
        ),
        "hints": (
            Hint(
                id="softmax-before-loss",
                message="The model ends in Softmax, and is then trained with cross entropy.",
                reason="CrossEntropyLoss applies log-softmax itself; applying softmax twice makes "
                "the gradients small and learning slow.",
                location="problem_2.py:46",
            ),
        ),
        "training": training(
            (run(0, 0.9731), run(1, 0.9742), run(2, 0.9722, epochs=7, stopped_early=True)),
            0.975,
            reported=0.9871,
            reported_differs=True,
        ),
    },
    "2D": {
        "outcome": Outcome.FAILED,
        "checks": (
            CheckResult(
                id="allowed-layers",
                title="Allowed layers",
                outcome=Outcome.FAILED,
                observed="Layer 2 is GatedUnit, a class of your own that derives from nn.ReLU.",
                expected="Only Linear, ReLU, Softmax and Dropout, exactly as torch.nn has them.",
                next_step="Use nn.ReLU() itself.",
                location="problem_2.py:71",
            ),
            skipped("max-hidden-units", "Hidden units"),
            skipped("min-hidden-layers", "Hidden layers"),
            skipped("threshold", "Best test accuracy"),
        ),
        "training": None,
    },
    "2E": {
        "outcome": Outcome.FAILED,
        "checks": (
            passed("max-hidden-units", "Hidden units", "1,000", "at most 1,000"),
            CheckResult(
                id="threshold",
                title="Best test accuracy",
                outcome=Outcome.FAILED,
                observed="The loss became infinite in epoch 3 of every run.",
                expected="At least 98.3%.",
                next_step="Lower the learning rate of 5.0: SGD(lr=5.0) takes steps that are too "
                "long.",
                location="problem_2.py:95",
            ),
        ),
        "training": training((diverged_run(0), diverged_run(1), diverged_run(2)), 0.983),
    },
    "3B": {
        "outcome": Outcome.FAILED,
        "checks": (
            CheckResult(
                id="value",
                title="Value",
                outcome=Outcome.FAILED,
                observed="600",
                expected="The number of weights and biases.",
                next_step="Count the biases too: there is one for each filter.",
                location="problem_3.py:8",
            ),
        ),
        "answer": "600",
    },
    "3D": {
        "outcome": Outcome.FAILED,
        "checks": (
            CheckResult(
                id="value",
                title="Value",
                outcome=Outcome.FAILED,
                observed="2 of 16 entries differ; the first is matrix 2, row 1, column 2.",
                expected="Four 2x2 matrices, each entry within 1e-6.",
                next_step="Average all four entries of each 2x2 window, zeros included.",
                location="problem_3.py:17",
                details=POOLED,
            ),
        ),
        "answer": "[[[1.0, 0.5], [0.5, 0.25]], [[0.5, 0.25], …",
    },
    "3G.sweep": {
        "outcome": Outcome.FAILED,
        "checks": (
            CheckResult(
                id="agreement",
                title="Agreeing points",
                outcome=Outcome.FAILED,
                observed="5 of 10 reported accuracies agree with a reproduced one.",
                expected="At least 8 of 10.",
                next_step="Measure after exactly 1 epoch, with every Dropout set to p and "
                "model.eval() while testing.",
                location="problem_3.py:88",
            ),
        ),
        "sweep": sweep(disagreeing=(1, 3, 5, 8)),
    },
}
