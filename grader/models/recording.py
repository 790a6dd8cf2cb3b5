"""The trainings that a student's program would have run, as the sandbox wrote them down."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import msgspec

from grader.models.failures import Failure
from grader.models.spec import LayerSpec, Name, OptimizerSpec, Record, SchedulerSpec, ShortText

Count = Annotated[int, msgspec.Meta(ge=0, le=1_000_000_000)]
PerChannel = Annotated[tuple[float, ...], msgspec.Meta(max_length=4)]
Role = Literal["optimizer", "scheduler"]


class Place(Record, frozen=True):
    """A line of a student's program.

    Attributes:
        cell: of a notebook, counted from 1 over its code and Markdown cells; 0 in a plain file.
        line: counted from 1, in the cell or the file.
    """

    file: ShortText
    cell: Count = 0
    line: Count = 1

    def __str__(self) -> str:
        """Return the place for a person to read."""
        if self.cell:
            return f"{self.file}, cell {self.cell}, line {self.line}"
        return f"{self.file}:{self.line}"


class RecordedTraining(Record, frozen=True):
    """One training of a program: what its optimiser stepped, with what, and how often.

    Attributes:
        place: the student's line of the first step.
        statement: the top-level statement that was running then; headings are looked for above it.
        names: the names that were bound to the model at top level when that statement ended.
        class_name: of a model whose class the student wrote, or empty for an `nn.Sequential`.
        layers: the model as it was when the training began; empty if `failure` says why not.
        failure: the reason why the model cannot be described.
        own_initialisation: where the student set weights or biases, or None.
        optimizer, scheduler: None if `failures` says why not, or if there is none.
        scheduler_steps: how often the scheduler was stepped.
        failures: by role; the model itself stays usable.
        loss: the loss's class or function: "CrossEntropyLoss", or empty if none was recognised.
        epochs: passes over the training data in which the optimiser stepped, all loops together.
        loops: the epochs of each of the student's loops; more than one if training went on later.
        batch_size: of the training data's loader; 0 if there was none.
        mean, std: of the transform's `Normalize`; empty if there is none.
        scaled_twice: pixels were divided once more after `ToTensor`.
        flattened: the images were flattened before the model; `layers` begins with the `Flatten`
            that stands for it.
        input_shape: of one example at the first step, as the program gave it to the model.
    """

    place: Place
    statement: Place
    names: Annotated[tuple[Name, ...], msgspec.Meta(max_length=50)] = ()
    class_name: ShortText = ""
    layers: tuple[LayerSpec, ...] = ()
    failure: Failure | None = None
    own_initialisation: Place | None = None
    optimizer: OptimizerSpec | None = None
    scheduler: SchedulerSpec | None = None
    scheduler_steps: Literal["never", "epoch", "batch"] = "never"
    failures: Annotated[tuple[tuple[Role, Failure], ...], msgspec.Meta(max_length=2)] = ()
    loss: ShortText = ""
    epochs: Count = 0
    loops: Annotated[tuple[Count, ...], msgspec.Meta(max_length=100)] = ()
    batch_size: Count = 0
    mean: PerChannel = ()
    std: PerChannel = ()
    scaled_twice: bool = False
    flattened: bool = False
    input_shape: Annotated[tuple[Count, ...], msgspec.Meta(max_length=6)] = ()


class Recording(Record, frozen=True):
    """The trainings, names and failures of one program, run with stand-ins for data and training.

    Attributes:
        trainings: in the order in which they began.
        names: of the functions, classes and values at top level when the program had ended; a
            question about any other name needs no run.
        failures: of the statements that raised or are not valid Python; the rest ran.
        library: the other library that the program trains with ("Keras"), or empty.
    """

    trainings: Annotated[tuple[RecordedTraining, ...], msgspec.Meta(max_length=100)] = ()
    names: Annotated[tuple[Name, ...], msgspec.Meta(max_length=1000)] = ()
    failures: Annotated[tuple[Failure, ...], msgspec.Meta(max_length=30)] = ()
    library: ShortText = ""


@dataclass(frozen=True, kw_only=True)
class Attribution:
    """A part's training among those of a program.

    Attributes:
        reason: why the training is the part's, for a person to read.
        others: trainings that could have been meant instead, in the program's order.
    """

    training: RecordedTraining
    reason: str
    others: tuple[RecordedTraining, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Doubt:
    """The reason why a person must decide: what was found, and what a student can do."""

    observed: str
    next_step: str
    location: str = ""
