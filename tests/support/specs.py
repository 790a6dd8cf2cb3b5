"""Short ways to write model specifications and extractions in tests."""

import dataclasses
from typing import TypeVar

import msgspec

from grader.models.failures import Failure
from grader.models.questions import ExtractedModel, Extraction, PlainValue, Question
from grader.models.spec import ArgumentValue, LayerSpec, ModelSpec, OptimizerSpec, default_optimizer

LOCATION = "problem_2.py:7"
AnyRecord = TypeVar("AnyRecord")


def replace(record: AnyRecord, **changes: object) -> AnyRecord:
    """A changed copy of a dataclass or of a msgspec record, as Python 3.13's `copy.replace`."""
    if isinstance(record, msgspec.Struct):
        return msgspec.structs.replace(record, **changes)
    return dataclasses.replace(record, **changes)


def layer(kind: str, index: int, **arguments: ArgumentValue) -> LayerSpec:
    """One layer with its arguments."""
    return LayerSpec(kind=kind, path=str(index), arguments=arguments)


def linear(inputs: int, outputs: int) -> tuple[str, dict[str, ArgumentValue]]:
    """A Linear with a bias."""
    return "Linear", {"in_features": inputs, "out_features": outputs, "bias": True}


RELU: tuple[str, dict[str, ArgumentValue]] = ("ReLU", {"inplace": False})
FLATTEN: tuple[str, dict[str, ArgumentValue]] = ("Flatten", {"start_dim": 1, "end_dim": -1})


def model(*layers: tuple[str, dict[str, ArgumentValue]], weights: bytes | None = None) -> ModelSpec:
    """A model of the layers given."""
    return ModelSpec(
        layers=tuple(
            layer(kind, index, **arguments) for index, (kind, arguments) in enumerate(layers)
        ),
        weights=weights,
    )


def mlp(hidden: int = 100, outputs: int = 10) -> ModelSpec:
    """Flatten, one hidden layer, and the output."""
    return model(FLATTEN, linear(784, hidden), RELU, linear(hidden, outputs))


def model_extraction(
    spec: ModelSpec,
    *,
    optimizer: OptimizerSpec | None = None,
    training: PlainValue = None,
    failures: tuple[tuple[str, Failure], ...] = (),
) -> Extraction:
    """The sandbox's answer to a model question."""
    return Extraction(
        question=Question(id="2C", kind="model", file="problem_2.py", function="model_c"),
        location=LOCATION,
        model=ExtractedModel(
            model=spec,
            location=LOCATION,
            optimizer=optimizer or default_optimizer(spec),
            training=training,
            failures=failures,
        ),
    )


def answer_extraction(value: PlainValue, function: str = "conv_parameters") -> Extraction:
    """The sandbox's answer to an answer question."""
    return Extraction(
        question=Question(id="3B", kind="answer", file="problem_3.py", function=function),
        answered=True,
        value=value,
        location="problem_3.py:3",
    )


def failed_extraction(failure: Failure, function: str = "conv_parameters") -> Extraction:
    """The sandbox's reply if there is no answer."""
    question = Question(id="3B", kind="answer", file="problem_3.py", function=function)
    return Extraction(question=question, failure=failure)


FAILURE = Failure(
    kind="exception",
    phase="call of conv_parameters()",
    message="it raised ValueError: no",
    next_step="read the traceback",
    location="problem_3.py:4",
)
