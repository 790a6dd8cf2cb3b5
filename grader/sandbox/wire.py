"""The messages from the sandbox as they are sent: every field's type, length and range.

A record refuses fields that it does not know. What a type cannot say, `grader.sandbox.decode`
checks.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from grader.questions import FailureKind

ShortText = Annotated[str, msgspec.Meta(max_length=1000)]
LongText = Annotated[str, msgspec.Meta(max_length=20_000)]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
FewArguments = Annotated[dict[Name, Any], msgspec.Meta(max_length=20)]
Role = Literal["optimizer", "scheduler", "training"]
EndReason = Literal["done", "exited", "signalled", "timeout", "oversized", "protocol", "files"]


class _Message(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A record that refuses every field it does not know."""


class EndMessage(_Message, frozen=True):
    """How the process of a question ended, as the manager in the sandbox saw it.

    Attributes:
        reason: what ended it; "done" if it sent a whole answer.
        code: its exit code, negative for a signal.
        phase: what the student's code was doing.
        dropped_bytes: how much of its output was not kept.
        location: where it was when its time was nearly up.
        is_clean: whether the next question finds the sandbox as this one did.
    """

    reason: EndReason
    code: Annotated[int, msgspec.Meta(ge=-128, le=255)]
    phase: ShortText
    dropped_bytes: Annotated[int, msgspec.Meta(ge=0)]
    location: ShortText
    is_clean: bool


class FailureMessage(_Message, frozen=True):
    """As `grader.questions.Failure`."""

    kind: FailureKind
    phase: ShortText
    message: ShortText
    next_step: ShortText
    location: ShortText
    traceback: LongText


class NoteMessage(_Message, frozen=True):
    """As `grader.questions.ImportNote`."""

    kind: Literal["training", "dataset", "shadow"]
    location: ShortText
    detail: ShortText


Notes = Annotated[list[NoteMessage], msgspec.Meta(max_length=20)]


class LayerMessage(_Message, frozen=True):
    """One layer, as `grader.models.spec.LayerSpec`."""

    kind: Name
    path: Name
    arguments: FewArguments
    irregularity: Name | None
    detail: ShortText


class GroupMessage(_Message, frozen=True):
    """One parameter group, as `grader.models.spec.ParameterGroup`."""

    parameters: list[Name]
    settings: FewArguments


class OptimizerMessage(_Message, frozen=True):
    """As `grader.models.spec.OptimizerSpec`."""

    kind: Name
    groups: Annotated[list[GroupMessage], msgspec.Meta(min_length=1, max_length=500)]


class SchedulerMessage(_Message, frozen=True):
    """As `grader.models.spec.SchedulerSpec`."""

    kind: Name
    arguments: FewArguments


class AnswerReply(_Message, frozen=True, tag="answer"):
    """The value of a function, in the form of `grader.sandbox.worker.plain_values`."""

    value: Any
    value_type: ShortText
    location: ShortText
    notes: Notes


class ModelReply(_Message, frozen=True, tag="model"):
    """A model and what belongs to it; its weights are a safetensors file in base64."""

    layers: Annotated[list[LayerMessage], msgspec.Meta(min_length=1)]
    weights: str | None
    location: ShortText
    notes: Notes
    failures: Annotated[list[tuple[Role, FailureMessage]], msgspec.Meta(max_length=3)]
    optimizer: OptimizerMessage | None = None
    scheduler: SchedulerMessage | None = None
    training: Any = None


class FailureReply(_Message, frozen=True, tag="failure"):
    """Why there is no answer."""

    failure: FailureMessage
    notes: Notes


class MissingReply(_Message, frozen=True, tag="missing"):
    """An optional function is not defined."""

    notes: Notes


Reply = AnswerReply | ModelReply | FailureReply | MissingReply
