"""The questions to the sandbox and the validated answers: plain records.

`PlainValue` is the form in which a student's answer leaves the sandbox: numbers, strings, None,
lists (also for tuples, tensors and arrays) and mappings.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from grader.models.spec import (
    LongText,
    ModelSpec,
    OptimizerSpec,
    Record,
    SchedulerSpec,
    ShortText,
)
from grader.results import CapturedOutput


@dataclass(frozen=True, kw_only=True)
class PlainMapping:
    """A dict, as its pairs in the order of the student's dict."""

    pairs: tuple[tuple[PlainValue, PlainValue], ...]


PlainValue = None | bool | int | float | str | tuple["PlainValue", ...] | PlainMapping


@dataclass(frozen=True, kw_only=True)
class Question:
    """One call, or one group of calls that belong together, to a student's file.

    Attributes:
        id: unique within a submission.
        kind: "answer" calls `function` for its value; "model" calls `function` for a model, and
            then those of `optimizer`, `scheduler` and `training` that are defined.
        optimizer: the name of the function called with the model, or None.
        scheduler: the name of the function called with the optimiser, or None.
        training: the name of the function that returns {"epochs": …, "batch_size": …}, with
            "mean" and "std" if images are normalised, or None.
        weights: also ask for the model's weights.
        optional: the function may be missing or return None, without a failure.
    """

    id: str
    kind: Literal["answer", "model"]
    file: str
    function: str
    optimizer: str | None = None
    scheduler: str | None = None
    training: str | None = None
    weights: bool = False
    optional: bool = False


FailureKind = Literal[
    "missing-file",
    "unreadable-file",
    "encoding",
    "syntax",
    "import",
    "missing-function",
    "signature",
    "exception",
    "exit",
    "wrong-type",
    "wrong-value",
    "limit",
    "protocol",
    "crash",
]
"""The kinds of failure.

"limit" is a time, memory, output or size limit; "exit" a process that exited by itself
(`sys.exit`, `os._exit`); "crash" a process that died of a signal; "protocol" a message that the
grader does not accept; "signature" a function that does not accept the arguments it is given.
"""


class Failure(Record, frozen=True):
    """The reason why a question has no answer, in words for the student.

    Attributes:
        phase: what was being done: "import of problem_2.py", "call of optimizer_c(model)".
        message: one or two sentences: what was observed.
        location: "problem_2.py:14", or empty.
        traceback: the student's own frames, capped, or empty.
    """

    kind: FailureKind
    phase: ShortText
    message: ShortText
    next_step: ShortText
    location: ShortText = ""
    traceback: LongText = ""


class ImportNote(Record, frozen=True):
    """Something noteworthy that a file does when it is imported.

    Attributes:
        kind: "training" (a loop that trains), "dataset" (a data set is loaded or downloaded),
            or "shadow" (the file's name hides a module such as torch).
        location: "problem_2.py:14".
        detail: the call that gave it away, such as "loss.backward()".
    """

    kind: Literal["training", "dataset", "shadow"]
    location: ShortText
    detail: ShortText


@dataclass(frozen=True, kw_only=True)
class ExtractedModel:
    """A student's model, its optimiser, scheduler and training choices.

    Attributes:
        location: where the model function is defined: "problem_2.py:14".
        optimizer: None if the student declares none.
        training: the value of the training function, or None if there is none.
        failures: by role ("optimizer", "scheduler", "training"); the model itself stays usable.
    """

    model: ModelSpec
    location: str
    optimizer: OptimizerSpec | None = None
    scheduler: SchedulerSpec | None = None
    training: PlainValue = None
    failures: tuple[tuple[str, Failure], ...] = ()


@dataclass(frozen=True, kw_only=True)
class Extraction:
    """Everything the sandbox returned for one question.

    Exactly one of `failure`, `model` and `answered` holds, unless an optional function is missing.

    Attributes:
        answered: `value` is an answer.
        location: where the function is defined, or empty.
    """

    question: Question
    answered: bool = False
    value: PlainValue = None
    location: str = ""
    model: ExtractedModel | None = None
    failure: Failure | None = None
    output: CapturedOutput | None = None
    notes: tuple[ImportNote, ...] = ()
