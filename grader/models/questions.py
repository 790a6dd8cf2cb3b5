"""The questions to the sandbox and the validated answers: plain records.

`PlainValue` is the form in which a student's answer leaves the sandbox: numbers, strings, None,
lists (also for tuples, tensors and arrays) and mappings.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from grader.models.failures import Failure
from grader.models.recording import Attribution, Doubt, Place, RecordedTraining, Recording
from grader.models.spec import ModelSpec, OptimizerSpec, Record, SchedulerSpec, ShortText
from grader.results import CapturedOutput, CheckResult


@dataclass(frozen=True, kw_only=True)
class PlainMapping:
    """A dict, as its pairs in the order of the student's dict."""

    pairs: tuple[tuple[PlainValue, PlainValue], ...]


NOTEBOOK = ".ipynb"
"""The end of a notebook's name."""
WEIGHTS = frozenset({".pt", ".pth", ".safetensors"})
"""The ends of the names of files with weights."""
MAXIMUM_WEIGHTS_BYTES = 40_000_000
"""The size of a file of weights that a student hands in: ten million parameters of float32."""

PlainValue = None | bool | int | float | str | tuple["PlainValue", ...] | PlainMapping


@dataclass(frozen=True, kw_only=True)
class Question:
    """One call, or one group of calls that belong together, to a student's file.

    Attributes:
        id: unique within a submission.
        kind: "answer" calls `function` for its value, or takes the variable of that name; "model"
            does so for a model, and then for those of `optimizer`, `scheduler` and `training` that
            are defined; "recording" runs the whole file with stand-ins for data and training;
            "calls" imports the file and waits for calls; "tests" runs the author's tests, whose
            file is `function`.
        optimizer: the name of the function called with the model, or None.
        scheduler: the name of the function called with the optimiser, or None.
        training: the name of the function that returns {"epochs": …, "batch_size": …}, with
            "mean" and "std" if images are normalised, or None.
        weights: also ask for the model's weights.
        weights_file: a file of the submission with the weights to load first, or "".
        weights_bytes: their largest size in an answer, where that may be larger than others.
        optional: the function may be missing or return None, without a failure.
        program: the file is run as for a recording before the call; always so for a notebook.
    """

    id: str
    kind: Literal["answer", "model", "recording", "calls", "tests"]
    file: str
    function: str
    optimizer: str | None = None
    scheduler: str | None = None
    training: str | None = None
    weights: bool = False
    weights_file: str = ""
    weights_bytes: int = 0
    optional: bool = False
    program: bool = False

    @property
    def title(self) -> str:
        """The file and the function, for a person to read."""
        return f"{self.file}: {self.function}" if self.function else self.file

    @property
    def runs_program(self) -> bool:
        """True if the whole file is run with stand-ins for data and training."""
        return self.kind == "recording" or self.program or self.file.endswith(NOTEBOOK)


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
        class_name: of a model whose class the student wrote: its forward() was traced into a
            chain of layers; empty for an `nn.Sequential`.
        own_initialisation: where the student set weights or biases, or None.
    """

    model: ModelSpec
    location: str
    optimizer: OptimizerSpec | None = None
    scheduler: SchedulerSpec | None = None
    training: PlainValue = None
    failures: tuple[tuple[str, Failure], ...] = ()
    class_name: str = ""
    own_initialisation: Place | None = None


@dataclass(frozen=True, kw_only=True)
class CaseResult:
    """One of the author's tests, run on a student's file, and what the file printed then."""

    check: CheckResult
    output: CapturedOutput | None = None


@dataclass(frozen=True, kw_only=True)
class Extraction:
    """Everything the sandbox returned for one question.

    Exactly one of `failure`, `model`, `recording`, `doubt`, `swept`, `cases` and `answered` holds,
    unless an optional function is missing.

    Attributes:
        cases: the author's tests, in the order of their file.
        answered: `value` is an answer.
        location: where the function is defined, or empty.
        attribution: the recorded training from which the model or its recipe is, or None.
        swept: the trainings of a recorded sweep, which reports no accuracies.
        doubt: the reason why a person must answer, or None.
    """

    question: Question
    answered: bool = False
    value: PlainValue = None
    location: str = ""
    model: ExtractedModel | None = None
    recording: Recording | None = None
    attribution: Attribution | None = None
    swept: tuple[RecordedTraining, ...] = ()
    cases: tuple[CaseResult, ...] = ()
    doubt: Doubt | None = None
    failure: Failure | None = None
    output: CapturedOutput | None = None
    notes: tuple[ImportNote, ...] = ()
