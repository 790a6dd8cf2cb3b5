"""The records that an author writes: an assignment as frozen dataclasses of plain data.

`grader.assignment.loading` loads an assignment and reports all its mistakes at once. Digests are
made of the names of these classes and fields: a renamed one invalidates every cache and store.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal

from grader.assignment.constraints import Constraint
from grader.digest import digest_of
from grader.questions import PlainValue


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Limits on one submission; each limit fails only the question that hits it.

    Attributes:
        question_seconds: wall time for one question, importing the file included.
        submission_seconds: wall time for all questions of a submission together.
        cpu_seconds: processor time for one question.
        memory_bytes: memory of all processes of a question, beyond torch's own.
        processes: simultaneous processes and threads, the answering process included.
        open_files: simultaneous file descriptors.
        scratch_bytes: size of the scratch directory's files.
        scratch_files: number of the scratch directory's files.
        output_bytes: printed text that is kept for one question.
        message_bytes: size of one answer.
        message_depth: nesting of one answer.
        layers, parameters: size of one model.
        training_multiply_adds: forward multiply-adds of all training runs together, all seeds
            included.
    """

    question_seconds: float = 20.0
    submission_seconds: float = 180.0
    cpu_seconds: int = 40
    memory_bytes: int = 1_000_000_000
    processes: int = 48
    open_files: int = 256
    scratch_bytes: int = 64_000_000
    scratch_files: int = 20_000
    output_bytes: int = 20_000
    message_bytes: int = 2_000_000
    message_depth: int = 16
    layers: int = 200
    parameters: int = 20_000_000
    training_multiply_adds: float = 1.5e14


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """The student's choice of training settings.

    Attributes:
        epochs, batch_size: defaults.
        maximum_epochs: equal to `epochs` if `fixed`.
        fixed: True if the student has no choice.
    """

    epochs: int = 10
    maximum_epochs: int = 30
    batch_size: int = 32
    minimum_batch_size: int = 16
    maximum_batch_size: int = 1024
    fixed: bool = False


@dataclass(frozen=True, kw_only=True)
class Threshold:
    """The expected test accuracy (0 to 1), of the best or of the final epoch."""

    accuracy: float
    epoch: Literal["best", "final"]


ANSWER_MARKER = "<!-- Write your answer below this line. -->"
"""The text above this line of a written file is the question, not the student's answer."""


@dataclass(frozen=True, kw_only=True)
class RubricItem:
    """One criterion for a written answer.

    Attributes:
        id: unique in its rubric. Keep the id when text or points change: judgements refer to it.
        points: added if the criterion applies; negative for a deduction.
    """

    id: str
    text: str
    points: float


@dataclass(frozen=True, kw_only=True)
class Rubric:
    """The criteria by which a person grades a written answer.

    Attributes:
        items: in the order of display; the first nine have number keys.
        starts_full: True for a rubric of deductions: grading starts from the item's points, not
            from 0.
        model_answer: Markdown, shown beside the student's answer; never shown to students.
        notes: advice to graders.
    """

    items: tuple[RubricItem, ...] = ()
    starts_full: bool = False
    model_answer: str = ""
    notes: str = ""


@dataclass(frozen=True, kw_only=True)
class WrittenItem:
    """A text that a person grades, in a Markdown file, below `ANSWER_MARKER` if present.

    Attributes:
        rubric: empty if the graders write their own.
    """

    kind: ClassVar[str] = "written"
    title: str
    points: float
    file: str
    question: str
    rubric: Rubric = Rubric()


@dataclass(frozen=True, kw_only=True)
class AnswerItem:
    """The value of a function.

    Attributes:
        accepted: the right values; any of them is enough.
        tolerance: the maximum absolute difference of floats; integers are exact.
    """

    kind: ClassVar[str] = "answer"
    title: str
    points: float
    file: str
    function: str
    accepted: tuple[PlainValue, ...]
    tolerance: float = 0.0


@dataclass(frozen=True, kw_only=True)
class VersionsItem:
    """The installed versions of torch and torchvision, which must be a compatible pair."""

    kind: ClassVar[str] = "versions"
    title: str
    points: float
    file: str
    function: str


@dataclass(frozen=True, kw_only=True)
class TruthTableRow:
    """One input of a small network, and its expected output: either `equals` or `at_least`."""

    inputs: tuple[float, ...]
    equals: float | None = None
    at_least: float | None = None


@dataclass(frozen=True, kw_only=True)
class TruthTableItem:
    """A small network with its weights set, checked on every row of a truth table."""

    kind: ClassVar[str] = "truth-table"
    title: str
    points: float
    file: str
    function: str
    rows: tuple[TruthTableRow, ...]
    constraints: tuple[Constraint, ...] = ()
    tolerance: float = 1e-6


@dataclass(frozen=True, kw_only=True)
class ModelItem:
    """A model that the grader trains and compares with a threshold.

    Attributes:
        model, optimizer, scheduler, training, reported: the names of the student's functions.
        input_shapes: accepted shapes of one example, in order of preference.
        classes: the expected number of outputs.
    """

    kind: ClassVar[str] = "model"
    title: str
    points: float
    file: str
    model: str
    optimizer: str
    scheduler: str
    reported: str
    constraints: tuple[Constraint, ...]
    recipe: Recipe
    threshold: Threshold
    training: str | None = None
    input_shapes: tuple[tuple[int, ...], ...] = ((1, 28, 28), (784,))
    classes: int = 10


@dataclass(frozen=True, kw_only=True)
class SweepItem:
    """Accuracies that the student reports for several dropout probabilities, each retrained.

    Attributes:
        model_item: the id of the swept model's item: "3G.model".
        probabilities: the values to which every Dropout is set, in turn.
        epochs: the length of each training run.
        minimum_agreeing: the number of accuracies that must agree for the points.
        judged: True if reported accuracies are compared with reproduced ones; False in practice.
    """

    kind: ClassVar[str] = "sweep"
    title: str
    points: float
    file: str
    function: str
    model_item: str
    probabilities: tuple[float, ...]
    epochs: int
    minimum_agreeing: int
    judged: bool = True


Item = WrittenItem | AnswerItem | VersionsItem | TruthTableItem | ModelItem | SweepItem


@dataclass(frozen=True, kw_only=True)
class Part:
    """One lettered part.

    Attributes:
        items: by a name that is unique in the part: "network". The name of an only item is "".
        hidden: True if gradebooks do not show the result to students. It changes no grade, so it
            is not part of the digest.
    """

    id: str
    title: str
    items: tuple[tuple[str, Item], ...]
    hidden: bool = field(default=False, metadata={"digested": False})

    @property
    def points(self) -> float:
        """The points of all items."""
        return sum(item.points for _, item in self.items)

    def item_ids(self) -> list[tuple[str, Item]]:
        """Return the items by their full ids: "1E.network", or "2C" for a part's only item."""
        return [(f"{self.id}.{name}" if name else self.id, item) for name, item in self.items]


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One numbered problem."""

    id: str
    title: str
    parts: tuple[Part, ...]


@dataclass(frozen=True, kw_only=True)
class Practice:
    """Grading on a small embedded data set, for practice only.

    Attributes:
        thresholds: the expected accuracy of each model item, by item id.
    """

    dataset: str
    thresholds: tuple[tuple[str, float], ...]


@dataclass(frozen=True, kw_only=True)
class Assignment:
    """A whole assignment: data only.

    Attributes:
        id: the name on the command line.
        points: the expected sum of all parts; a guard against slips.
        dataset: the data set on which models are trained.
        seeds: of the training runs; they belong to the assignment, never to a submission.
    """

    id: str
    title: str
    points: float
    dataset: str
    seeds: tuple[int, ...]
    problems: tuple[Problem, ...]
    practice: Practice
    limits: Limits = Limits()

    def item_ids(self) -> list[tuple[str, Item]]:
        """Return every item by its full id, in order."""
        return [
            entry
            for problem in self.problems
            for part in problem.parts
            for entry in part.item_ids()
        ]

    def files(self) -> list[str]:
        """Return every file that a student submits, in order, each once."""
        return list(dict.fromkeys(item.file for _, item in self.item_ids()))

    def digest(self) -> str:
        """Return the SHA-256 of the assignment's canonical JSON, in hexadecimal."""
        return digest_of(self)

    def for_practice(self) -> Assignment:
        """Return the assignment with the practice set's data and thresholds.

        Sweeps are not judged: students measured the reported accuracies on another data set.
        """
        thresholds = dict(self.practice.thresholds)

        def practised(item_id: str, item: Item) -> Item:
            if isinstance(item, ModelItem) and item_id in thresholds:
                threshold = replace(item.threshold, accuracy=thresholds[item_id])
                return replace(item, threshold=threshold)
            return replace(item, judged=False) if isinstance(item, SweepItem) else item

        def practised_part(part: Part) -> Part:
            pairs = zip(part.items, part.item_ids(), strict=True)
            items = tuple((name, practised(full_id, item)) for (name, item), (full_id, _) in pairs)
            return replace(part, items=items)

        problems = tuple(
            replace(problem, parts=tuple(map(practised_part, problem.parts)))
            for problem in self.problems
        )
        return replace(self, dataset=self.practice.dataset, problems=problems)
