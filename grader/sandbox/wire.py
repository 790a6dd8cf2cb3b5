"""The messages from the sandbox: the type, length and range of every field.

`grader.sandbox.decode` checks what a type cannot express.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from grader.models.failures import Failure
from grader.models.questions import ImportNote
from grader.models.recording import Place, Recording
from grader.models.spec import LayerSpec, OptimizerSpec, Record, SchedulerSpec, ShortText

Role = Literal["optimizer", "scheduler", "training"]
Notes = Annotated[tuple[ImportNote, ...], msgspec.Meta(max_length=20)]


class EndMessage(Record, frozen=True):
    """The end of a question's process, as the manager in the sandbox saw it.

    Attributes:
        reason: "done" if the process sent a whole answer.
        code: its exit code, negative for a signal.
        phase: the step in which the process ended.
        dropped_bytes: size of the output that was not kept.
        location: the running line shortly before a timeout.
        is_clean: the next question finds the sandbox as this one did.
    """

    reason: Literal["done", "exited", "signalled", "timeout", "oversized", "protocol", "files"]
    code: Annotated[int, msgspec.Meta(ge=-128, le=255)]
    phase: ShortText
    dropped_bytes: Annotated[int, msgspec.Meta(ge=0)]
    location: ShortText
    is_clean: bool


class AnswerReply(Record, frozen=True, tag="answer"):
    """A function's value, in the form of `grader.sandbox.worker.plain_values`."""

    value: Any
    location: ShortText
    notes: Notes


class ModelReply(Record, frozen=True, tag="model"):
    """A model and what belongs to it; its weights are a safetensors file in base64."""

    layers: Annotated[tuple[LayerSpec, ...], msgspec.Meta(min_length=1)]
    weights: str | None
    location: ShortText
    notes: Notes
    failures: Annotated[tuple[tuple[Role, Failure], ...], msgspec.Meta(max_length=3)]
    optimizer: OptimizerSpec | None = None
    scheduler: SchedulerSpec | None = None
    training: Any = None
    class_name: ShortText = ""
    own_initialisation: Place | None = None


class RecordingReply(Record, frozen=True, tag="recording"):
    """The trainings that a program would have run."""

    recording: Recording
    notes: Notes


class FailureReply(Record, frozen=True, tag="failure"):
    """The reason for a missing answer."""

    failure: Failure
    notes: Notes


class MissingReply(Record, frozen=True, tag="missing"):
    """An optional function is not defined."""

    notes: Notes


Reply = AnswerReply | ModelReply | RecordingReply | FailureReply | MissingReply
