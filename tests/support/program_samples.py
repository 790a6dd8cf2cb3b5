"""Programs of students as they are recorded: cells and trainings, without a sandbox."""

from typing import Any

from grader.grading.attribution import Program
from grader.intake.notebooks import Cell
from grader.models.recording import Place, RecordedTraining, Recording
from grader.models.spec import ModelSpec, default_optimizer
from tests.support.specs import FLATTEN, RELU, linear, mlp, model

C = mlp(100)
D = model(FLATTEN, linear(784, 160), RELU, linear(160, 40), RELU, linear(40, 10))
E = model(
    FLATTEN,
    *(linear(784, 500), RELU),
    *(linear(500, 300), RELU),
    *(linear(300, 200), RELU),
    linear(200, 10),
)
SMALL = model(FLATTEN, linear(784, 50), RELU, linear(50, 50), RELU, linear(50, 10))
"""It meets the rules of 2C and of 2D."""


def convolutional(probability: float = 0.1) -> ModelSpec:
    """A model for 3G, with one Dropout."""
    convolution = {
        "in_channels": 1,
        "out_channels": 8,
        "kernel_size": (3, 3),
        "stride": (1, 1),
        "padding": (0, 0),
        "dilation": (1, 1),
        "groups": 1,
        "bias": True,
        "padding_mode": "zeros",
    }
    norm = {
        "num_features": 8,
        "eps": 1e-5,
        "momentum": 0.1,
        "affine": True,
        "track_running_stats": True,
        "bias": True,
    }
    return model(
        ("Conv2d", convolution),
        ("BatchNorm2d", norm),
        RELU,
        ("Dropout", {"p": probability, "inplace": False}),
        FLATTEN,
        linear(8 * 26 * 26, 10),
    )


def trained(spec: ModelSpec, cell: int, line: int = 1, **changes: Any) -> RecordedTraining:
    """A training of ten epochs whose loop is the statement at a cell and line."""
    place = Place(file="problem_2.ipynb", cell=cell, line=line)
    usual: dict[str, Any] = {
        "place": place,
        "statement": place,
        "names": ("model",),
        "layers": spec.layers,
        "optimizer": default_optimizer(spec),
        "loss": "CrossEntropyLoss",
        "epochs": 10,
        "loops": (10,),
        "batch_size": 32,
    }
    return RecordedTraining(**usual | changes)


def program(
    *trainings: RecordedTraining, cells: dict[int, str] | None = None, **changes: Any
) -> Program:
    """A notebook; a cell whose text begins with "%%markdown" is one of Markdown."""
    records = tuple(
        Cell(
            number=number,
            kind="markdown" if source.startswith("%%markdown") else "code",
            source=source.removeprefix("%%markdown\n"),
        )
        for number, source in (cells or {}).items()
    )
    file = changes.pop("file", "problem_2.ipynb")
    return Program(file=file, cells=records, recording=Recording(trainings=trainings, **changes))
