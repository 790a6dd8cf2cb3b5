"""What an author writes: an assignment as frozen dataclasses of plain data.

`grader.assignment.loading` loads one and reports all its mistakes at once.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal

from grader.assignment.constraints import Constraint
from grader.digest import digest_of
from grader.questions import PlainValue


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What one submission may use; each limit costs only the question that hits it.

    Attributes:
        question_seconds: wall time for one question, importing the file included.
        submission_seconds: wall time for all questions of a submission together.
        cpu_seconds: processor time for one question.
        memory_bytes: memory above what torch itself takes, of all processes of a question.
        processes: processes and threads at once, the one that answers included.
        open_files: file descriptors at once.
        scratch_bytes: files written to the scratch directory.
        scratch_files: how many of them, empty ones too.
        output_bytes: printed text that is kept for one question.
        message_bytes: the largest answer.
        message_depth: the deepest nesting of an answer.
        layers: layers of one model.
        parameters: parameters of one model.
        training_multiply_adds: forward multiply-adds over all training of one submission, with
            every seed counted.
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
    """What of the training the student may choose, and what holds otherwise.

    Attributes:
        epochs: used when the student says nothing.
        maximum_epochs: the cap; equal to `epochs` where `fixed`.
        batch_size: used when the student says nothing.
        minimum_batch_size, maximum_batch_size: the range allowed.
        fixed: whether the student may not choose at all.
    """

    epochs: int = 10
    maximum_epochs: int = 30
    batch_size: int = 32
    minimum_batch_size: int = 16
    maximum_batch_size: int = 1024
    fixed: bool = False


@dataclass(frozen=True, kw_only=True)
class Threshold:
    """The test accuracy wanted (0 to 1), of the best or of the final epoch."""

    accuracy: float
    epoch: Literal["best", "final"]


ANSWER_MARKER = "<!-- Write your answer below this line. -->"
"""In a written file, what stands above this line is the question and not the student's."""


@dataclass(frozen=True, kw_only=True)
class RubricItem:
    """One thing that a person looks for in a written answer.

    Attributes:
        id: unique in its rubric, and kept when text or points change: judgements name it.
        points: given if it is there, or, if negative, taken off.
    """

    id: str
    text: str
    points: float


@dataclass(frozen=True, kw_only=True)
class Rubric:
    """How a person grades a written answer.

    Attributes:
        items: in the order in which they are shown; the first nine have number keys.
        starts_full: whether grading starts from the item's points, for a rubric of deductions,
            and not from 0.
        model_answer: Markdown that is shown beside the student's answer; never to students.
        notes: advice to those who grade.
    """

    items: tuple[RubricItem, ...] = ()
    starts_full: bool = False
    model_answer: str = ""
    notes: str = ""


@dataclass(frozen=True, kw_only=True)
class WrittenItem:
    """A text that a person grades, in a Markdown file, below `ANSWER_MARKER` if that is there.

    Attributes:
        rubric: empty if those who grade write their own.
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
        accepted: the values that are right; any of them will do.
        tolerance: the absolute difference allowed for floats; integers are exact.
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
    """The installed versions of torch and torchvision, which must be a pair that goes together."""

    kind: ClassVar[str] = "versions"
    title: str
    points: float
    file: str
    function: str


@dataclass(frozen=True, kw_only=True)
class TruthTableRow:
    """One input of a small network and what its output must be.

    Exactly one of `equals` and `at_least` is given.
    """

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
    """A model that the grader trains and holds against a threshold.

    Attributes:
        model, optimizer, scheduler, training, reported: the names of the student's functions.
        input_shapes: the shapes one example may be fed in, in order of preference.
        classes: how many outputs the model must have.
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
        model_item: the id of the item whose model is swept: "3G.model".
        probabilities: what every Dropout is set to, in turn.
        epochs: how long each is trained.
        judged: whether reported accuracies are held against reproduced ones; not in practice.
        minimum_agreeing: how many must agree for the points.
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
        items: by a name that is unique in the part: "network". A part of one item names it "".
        hidden: students do not see its result where a gradebook shows them results. It changes
            no grade, so it is not part of the digest.
    """

    id: str
    title: str
    items: tuple[tuple[str, Item], ...]
    hidden: bool = field(default=False, metadata={"digested": False})

    @property
    def points(self) -> float:
        """The points of all its items."""
        return sum(item.points for _, item in self.items)

    def item_ids(self) -> list[tuple[str, Item]]:
        """The items by their full ids: "1E.network", or "2C" for a part's only item."""
        return [(f"{self.id}.{name}" if name else self.id, item) for name, item in self.items]


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One numbered problem."""

    id: str
    title: str
    parts: tuple[Part, ...]


@dataclass(frozen=True, kw_only=True)
class Practice:
    """How the assignment is graded on a small embedded data set, for practice only.

    Attributes:
        dataset: its name.
        thresholds: the accuracy wanted of each model item, by item id.
    """

    dataset: str
    thresholds: tuple[tuple[str, float], ...]


@dataclass(frozen=True, kw_only=True)
class Assignment:
    """A whole assignment: data only.

    Attributes:
        id: its name on the command line.
        points: what all parts must add up to; a guard against slips.
        dataset: the data set that models are trained on.
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
        """Every item by its full id, in order."""
        return [
            entry
            for problem in self.problems
            for part in problem.parts
            for entry in part.item_ids()
        ]

    def files(self) -> list[str]:
        """Every file a student hands in, in order, each once."""
        return list(dict.fromkeys(item.file for _, item in self.item_ids()))

    def digest(self) -> str:
        """The SHA-256 of the assignment's canonical JSON, in hexadecimal."""
        return digest_of(self)

    def for_practice(self) -> Assignment:
        """The same assignment with the practice set's data and thresholds.

        Sweeps are not judged: what they report was measured on another data set.
        """
        thresholds = dict(self.practice.thresholds)

        def practised(item_id: str, item: Item) -> Item:
            if isinstance(item, ModelItem) and item_id in thresholds:
                threshold = replace(item.threshold, accuracy=thresholds[item_id])
                return replace(item, threshold=threshold)
            if isinstance(item, SweepItem):
                return replace(item, judged=False)
            return item

        def practised_part(part: Part) -> Part:
            full_ids = [full_id for full_id, _ in part.item_ids()]
            return replace(
                part,
                items=tuple(
                    (name, practised(full_id, item))
                    for full_id, (name, item) in zip(full_ids, part.items, strict=True)
                ),
            )

        problems = tuple(
            replace(problem, parts=tuple(practised_part(part) for part in problem.parts))
            for problem in self.problems
        )
        return replace(self, dataset=self.practice.dataset, problems=problems)
