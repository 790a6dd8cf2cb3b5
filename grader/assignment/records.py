"""The records that an author writes: an assignment as frozen dataclasses of plain data.

`grader.assignment.loading` loads an assignment and reports all its mistakes at once. Digests are
made of the names of these classes and fields: a renamed one invalidates every cache and store. The
records of all kinds of items stand together, so that an author finds every field in one module.
"""

from __future__ import annotations

import hashlib
import keyword
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise, takewhile
from math import prod
from pathlib import Path, PurePosixPath
from typing import ClassVar, Literal, Self

from grader.assignment.constraints import Constraint
from grader.assignment.own_rules import rule_mistakes
from grader.errors import UsageError
from grader.models.digest import digest_of
from grader.models.questions import MAXIMUM_WEIGHTS_BYTES, WEIGHTS, PlainValue, Question
from grader.results import Metric
from grader.text import did_you_mean
from grader.training.data_sources.interface import DataFacts, DataSource
from grader.training.data_sources.named import named_source
from grader.training.objectives import (
    LossName,
    count_outputs,
    find_loss_misfit,
    metric_of,
)


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
        training_multiply_adds: forward multiply-adds of all training runs of an item, all seeds
            included. A larger model is refused before anything is timed.
        training_reference_epochs: processor time of all training runs of an item, as epochs of the
            grader's reference network on the same data and machine. All items have the same
            limit, so that a verdict does not depend on the other items that are graded.
        training_memory_bytes: memory of a training process, beyond torch's own and the data.
        recording_seconds: wall and processor time for one run of a whole program, each instead of
            `question_seconds` and `cpu_seconds`.
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
    training_reference_epochs: float = field(default=1200.0, metadata={"digested": "if set"})
    training_memory_bytes: int = field(default=900_000_000, metadata={"digested": "if set"})
    recording_seconds: float = field(default=60.0, metadata={"digested": "if set"})


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """The student's choice of training settings.

    Attributes:
        epochs, batch_size: defaults.
        maximum_epochs: equal to `epochs` if `fixed`.
        fixed: True if the student has no choice of epochs and batch size.
        cut_epochs: more epochs than the maximum are cut to it with a note; otherwise they fail.
        normalization: the student may give the mean and std by which images are normalised.
    """

    epochs: int = 10
    maximum_epochs: int = 30
    batch_size: int = 32
    minimum_batch_size: int = 16
    maximum_batch_size: int = 1024
    fixed: bool = False
    cut_epochs: bool = field(default=False, metadata={"digested": "if set"})
    normalization: bool = field(default=False, metadata={"digested": "if set"})


@dataclass(frozen=True)
class Threshold:
    """The value that a model must reach on the test set.

    Attributes:
        accuracy: the least share that is classified correctly, 0 to 1.
        epoch: the epoch that counts.
        rmse: the greatest root-mean-square error, in the targets' unit, where numbers are
            predicted.
        points: for this threshold, of several; by default the item's.
    """

    accuracy: float | None = None
    epoch: Literal["best", "final"] = field(default="best", kw_only=True)
    rmse: float | None = field(default=None, kw_only=True, metadata={"digested": "if set"})
    points: float | None = field(default=None, kw_only=True, metadata={"digested": "if set"})

    @property
    def metric(self) -> Metric:
        """The measure of the threshold."""
        return Metric.ACCURACY if self.rmse is None else Metric.RMSE

    @property
    def value(self) -> float:
        """The accuracy or the error."""
        return (self.accuracy if self.rmse is None else self.rmse) or 0.0

    def at(self, value: float) -> Threshold:
        """Return the threshold with another accuracy or error."""
        if self.rmse is None:
            return replace(self, accuracy=value)
        return replace(self, rmse=value)


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
class Item:
    """One gradable thing of a part; each kind of item is a subclass.

    A kind states here, without torch, everything that other packages ask about it. Its module in
    `grader.grading.items` checks and grades it.

    Attributes:
        kind: the name of the kind in results.
        suffix: of the student's file.
        function_fields: the fields that name functions of the student's file.
        graded_by_person: the grader only looks for an answer; a person gives the points.
        answers_compared: equal wrong answers of two students are reported as similar.
        has_accuracy: a model is trained, and its test accuracy is held against a threshold.
    """

    kind: ClassVar[str]
    suffix: ClassVar[str] = ".py"
    function_fields: ClassVar[tuple[str, ...]] = ()
    graded_by_person: ClassVar[bool] = False
    answers_compared: ClassVar[bool] = False
    has_accuracy: ClassVar[bool] = False
    title: str
    points: float
    file: str

    @property
    def predicts_classes(self) -> bool:
        """True unless a model's numbers are held against a threshold."""
        return True

    def trained_item(self, item_id: str) -> str | None:  # noqa: ARG002  # nothing is trained
        """Return the id of the item whose model and data set are trained, or None."""
        return None

    def questions(self, item_id: str) -> list[Question]:  # noqa: ARG002  # nothing to ask
        """Return the questions to the sandbox; the first has the item's id."""
        return []

    def files(self) -> tuple[str, ...]:
        """Return the files that a student submits for the item."""
        return (self.file,)

    def located(self, directory: Path) -> Item:  # noqa: ARG002  # no files of the author's
        """Return the item with the author's files that its paths name.

        Args:
            directory: of the assignment's file.
        """
        return self

    def needed_items(self) -> tuple[str, ...]:
        """Return the ids of the items that must be checked before this one."""
        return ()

    def own_dataset(self) -> str | DataSource | None:
        """Return the data set that replaces the assignment's for this item, or None."""
        return None

    def with_facts(self, assignment: Assignment) -> Item:  # noqa: ARG002  # no data set
        """Return the item with the facts about its data set, as far as they are known."""
        return self

    def find_misfits(self, name: str, facts: DataFacts) -> Iterator[str]:  # noqa: ARG002
        """Yield what does not fit the data set `name`, each beginning with the field's name."""
        yield from ()

    def for_practice(self, item_id: str, assignment: Assignment) -> Item:  # noqa: ARG002
        """Return the item as it is graded on the assignment's practice set."""
        return self

    def mistakes(self, items: Mapping[str, Item]) -> Iterator[str]:  # noqa: ARG002  # looks at one
        """Yield the mistakes of the author, each beginning with the field's name.

        Args:
            items: all items of the assignment, by id.
        """
        if self.points < 0:
            yield f"points: is {self.points:g}, but cannot be negative"
        path = PurePosixPath(self.file)
        if path.is_absolute() or ".." in path.parts or path.suffix != self.suffix:
            yield f"file: {self.file!r} must be a relative path that ends in {self.suffix}"
        for field_name in self.function_fields:
            name = getattr(self, field_name)
            if name is not None and (not name.isidentifier() or keyword.iskeyword(name)):
                yield f"{field_name}: {name!r} cannot be the name of a function"


@dataclass(frozen=True, kw_only=True)
class WrittenItem(Item):
    """A text that a person grades, in a Markdown file, below `ANSWER_MARKER` if present.

    Attributes:
        rubric: empty if the graders write their own.
    """

    kind: ClassVar[str] = "written"
    suffix: ClassVar[str] = ".md"
    graded_by_person: ClassVar[bool] = True
    question: str
    rubric: Rubric = Rubric()

    def mistakes(self, items: Mapping[str, Item]) -> Iterator[str]:
        """Yield the mistakes of the author, those of the rubric included."""
        yield from super().mistakes(items)
        rubric_items = self.rubric.items
        for rubric_id, count in Counter(rubric_item.id for rubric_item in rubric_items).items():
            if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,40}", rubric_id):
                yield f"rubric: the id {rubric_id!r} must be of small letters, digits and hyphens"
            if count > 1:
                yield f"rubric: the id {rubric_id!r} is used {count} times"
        if not rubric_items or self.rubric.starts_full:
            return
        most = sum(max(rubric_item.points, 0.0) for rubric_item in rubric_items)
        if most < self.points - 1e-9:
            yield f"rubric: gives at most {most:g} of the item's {self.points:g} points"


@dataclass(frozen=True, kw_only=True)
class _CalledItem(Item):
    """An item that asks one function of the student's file for its value."""

    function_fields: ClassVar[tuple[str, ...]] = ("function",)
    function: str

    def questions(self, item_id: str) -> list[Question]:
        """Return the one question."""
        return [Question(id=item_id, kind="answer", file=self.file, function=self.function)]


@dataclass(frozen=True, kw_only=True)
class AnswerItem(_CalledItem):
    """The value of a function.

    Attributes:
        accepted: the right values, of which any is enough; empty where the key is not at hand.
        tolerance: the maximum absolute difference of floats; integers are exact.
        shows_value: a student whose answer is wrong reads the right one and where theirs differs.
    """

    kind: ClassVar[str] = "answer"
    answers_compared: ClassVar[bool] = True
    accepted: tuple[PlainValue, ...] = ()
    tolerance: float = 0.0
    shows_value: bool = field(default=False, metadata={"digested": "if set"})


@dataclass(frozen=True, kw_only=True)
class FunctionsItem(Item):
    """Functions or classes of a file, tested by the author's pytest tests.

    The tests never enter the sandbox: their fixture `student` sends each call there. Files beside
    the test file may help it, and are part of the assignment's digest.

    Attributes:
        tests: the path of the test file, from the directory of the assignment's file.
        call_seconds: wall time for one call.
        test_seconds: wall time for one test.
        item_seconds: wall time for all tests.
        tests_path, tests_sha256: set where the assignment is loaded.
    """

    kind: ClassVar[str] = "functions"
    tests: str
    call_seconds: float = 5.0
    test_seconds: float = 30.0
    item_seconds: float = 120.0
    tests_path: str = field(default="", metadata={"digested": False})
    tests_sha256: str = ""

    def located(self, directory: Path) -> FunctionsItem:
        """Return the item with the path and the digest of its tests."""
        path = directory / self.tests
        files = [file for file in path.parent.glob("*") if file.is_file()]
        contents = {
            file.name: hashlib.sha256(file.read_bytes()).hexdigest()
            for file in files
            if path.is_file() and not file.name.startswith(".")
        }
        return replace(self, tests_path=str(path.resolve()), tests_sha256=digest_of(contents))

    def mistakes(self, items: Mapping[str, Item]) -> Iterator[str]:
        """Yield the mistakes of the author, but those inside the tests."""
        yield from super().mistakes(items)
        path = PurePosixPath(self.tests)
        if path.is_absolute() or ".." in path.parts or path.suffix != ".py":
            yield f"tests: {self.tests!r} must be a relative path that ends in .py"
        elif not Path(self.tests_path).is_file():
            yield f"tests: there is no file {self.tests!r} beside the assignment"
        for path_of_field in ("call_seconds", "test_seconds", "item_seconds"):
            if not getattr(self, path_of_field) > 0:
                yield f"{path_of_field}: must be more than 0"
        others = [
            item
            for item in items.values()
            if isinstance(item, FunctionsItem) and item.tests_path == self.tests_path
        ]
        if len(others) > 1:
            yield f"tests: {self.tests!r} is also the test file of another item"


@dataclass(frozen=True, kw_only=True)
class VersionsItem(_CalledItem):
    """The installed versions of torch and torchvision, which must be a compatible pair."""

    kind: ClassVar[str] = "versions"


@dataclass(frozen=True, kw_only=True)
class TruthTableRow:
    """One input of a small network, and its expected output: either `equals` or `at_least`."""

    inputs: tuple[float, ...]
    equals: float | None = None
    at_least: float | None = None


@dataclass(frozen=True, kw_only=True)
class TruthTableItem(_CalledItem):
    """A small network with its weights set, checked on every row of a truth table."""

    kind: ClassVar[str] = "truth-table"
    rows: tuple[TruthTableRow, ...]
    constraints: tuple[Constraint, ...] = ()
    tolerance: float = 1e-6

    def questions(self, item_id: str) -> list[Question]:
        """Ask for the network with its weights."""
        return [
            Question(id=item_id, kind="model", file=self.file, function=self.function, weights=True)
        ]

    def mistakes(self, items: Mapping[str, Item]) -> Iterator[str]:
        """Yield the mistakes of the author, those of the constraints included."""
        yield from super().mistakes(items)
        yield from _constraint_mistakes(self.constraints)
        if not self.rows:
            yield "rows: is empty"
        for index, row in enumerate(self.rows):
            if (row.equals is None) == (row.at_least is None):
                yield f"rows[{index}]: give exactly one of equals and at_least"
            if len(row.inputs) != len(self.rows[0].inputs):
                yield f"rows[{index}].inputs: has another length than in row 0"


@dataclass(frozen=True, kw_only=True)
class ItemWithData(Item):
    """An item whose model sees a data set.

    Attributes:
        input_shapes: accepted shapes of one example, in order of preference; by default as the
            data has them, and flattened.
        classes: the number of classes; it follows from the data and need not be given.
        dataset: used instead of the assignment's, by name or as a record.
        facts: about the data set, as soon as they are known; the loader sets them.
        threshold: or several, the easiest first: the points of each are for all up to there.
        loss: `BCEWithLogitsLoss` for 2 classes and one output; `MSELoss` or `L1Loss` for numbers.
    """

    threshold: Threshold | tuple[Threshold, ...]
    input_shapes: tuple[tuple[int, ...], ...] | None = field(
        default=None, metadata={"digested_default": ((1, 28, 28), (784,))}
    )
    classes: int | None = field(default=None, metadata={"digested_default": 10})
    dataset: str | DataSource | None = field(default=None, metadata={"digested": "if set"})
    facts: DataFacts | None = field(default=None, metadata={"digested": False})
    loss: LossName = field(default="CrossEntropyLoss", metadata={"digested": "if set"})

    @property
    def thresholds(self) -> tuple[Threshold, ...]:
        """The thresholds, the easiest first; the last one is for all points."""
        return self.threshold if isinstance(self.threshold, tuple) else (self.threshold,)

    @property
    def hardest(self) -> Threshold:
        """The threshold for all points."""
        return self.thresholds[-1]

    @property
    def predicts_classes(self) -> bool:
        """True unless the loss is one of numbers."""
        return metric_of(self.loss) is Metric.ACCURACY

    def count_outputs(self, facts: DataFacts) -> int:
        """Return the number of outputs that the model must have for one example."""
        return count_outputs(self.loss, facts)

    def accepted_shapes(self) -> tuple[tuple[int, ...], ...]:
        """Return the accepted shapes of one example; none if the data is not known yet."""
        return self.input_shapes or (self.facts.input_shapes if self.facts else ())

    def located(self, directory: Path) -> Self:
        """Return the item with the directory of its data set."""
        if self.dataset is None:
            return self
        return replace(self, dataset=_beside(self.dataset, directory))

    def trained_item(self, item_id: str) -> str:
        """Return the item itself."""
        return item_id

    def with_facts(self, assignment: Assignment) -> Self:
        """Return the item with the facts about its data set, as far as they are known."""
        named = self.dataset or assignment.dataset
        return self if named is None else replace(self, facts=named_source(named).facts())

    def own_dataset(self) -> str | DataSource | None:
        """Return the item's own data set, or None."""
        return self.dataset

    def for_practice(self, item_id: str, assignment: Assignment) -> Self:
        """Return the item with the practice set and its threshold, or with its own data set."""
        practice = assignment.practice
        expected = dict(practice.thresholds).get(item_id) if practice else None
        if expected is None:
            return replace(self, dataset=self.dataset or assignment.dataset)
        threshold = replace(self.hardest.at(expected), points=None)
        return replace(self, threshold=threshold, dataset=None, facts=None)

    def mistakes(self, items: Mapping[str, Item]) -> Iterator[str]:
        """Yield the mistakes of the author, those in naming the data set included."""
        yield from super().mistakes(items)
        several = len(self.thresholds) > 1
        for index, threshold in enumerate(self.thresholds):
            name = f"threshold[{index}]" if several else "threshold"
            yield from self._mistakes_of(threshold, name)
        if not self.thresholds:
            yield "threshold: is empty"
        elif several:
            yield from self._mistakes_in_order()

    def _mistakes_of(self, threshold: Threshold, name: str) -> Iterator[str]:
        metric = metric_of(self.loss)
        if (threshold.accuracy is None) == (threshold.rmse is None):
            yield f"{name}: give exactly one of accuracy and rmse"
        elif threshold.metric is not metric:
            yield f"{name}: give {metric.value}, which is what {self.loss} is measured by"
        elif threshold.accuracy is not None:
            yield from share_mistakes(f"{name}.accuracy", threshold.accuracy)
        elif threshold.value <= 0:
            yield f"{name}.rmse: is {threshold.value:g}, but must be more than 0"

    def _mistakes_in_order(self) -> Iterator[str]:
        metric, steps = self.hardest.metric, self.thresholds
        given = [threshold.points for threshold in steps]
        if len({threshold.epoch for threshold in steps}) > 1:
            yield "threshold: all must count the same epoch"
        if any(points is None for points in given[:-1]) or given[-1] not in {None, self.points}:
            yield (
                "threshold: give points to each, in all for what is reached; the last has "
                f"the item's {self.points:g}"
            )
            return
        numbers = [points or 0.0 for points in given[:-1]] + [self.points]
        if sorted(set(numbers)) != numbers or numbers[0] <= 0:
            yield "threshold: the points must rise from one to the next"
        for before, after in pairwise(steps):
            if metric.is_met(before.value, after.value):
                yield "threshold: each must be harder than the one before it"

    def find_misfits(self, name: str, facts: DataFacts) -> Iterator[str]:
        """Yield what does not fit the data set `name`, each beginning with the field's name."""
        if misfit := find_loss_misfit(self.loss, facts, name):
            yield f"loss: {misfit}"
        elif self.classes is not None and facts.classes != self.classes:
            yield (
                f"classes: is {self.classes}, but {name} has {facts.classes} classes; leave it out"
            )
        for shape in self.input_shapes or ():
            if prod(shape) != prod(facts.input_shape):
                yield (
                    f"input_shapes: {shape} has {prod(shape):,} values, but an example of {name} "
                    f"has the shape {facts.input_shape}, {prod(facts.input_shape):,} values"
                )


@dataclass(frozen=True, kw_only=True)
class ModelItem(ItemWithData):
    """A model that the grader trains and compares with a threshold.

    Attributes:
        model, optimizer, scheduler, training, reported: the names of the student's functions.
        modules: a class whose forward() is one chain of layers is read as that chain, with a note;
            otherwise the model must be an `nn.Sequential`.
    """

    kind: ClassVar[str] = "model"
    function_fields: ClassVar[tuple[str, ...]] = (
        "model",
        "optimizer",
        "scheduler",
        "training",
        "reported",
    )
    has_accuracy: ClassVar[bool] = True
    model: str
    optimizer: str
    scheduler: str
    reported: str
    constraints: tuple[Constraint, ...]
    recipe: Recipe
    training: str | None = None
    modules: bool = field(default=True, metadata={"digested": "if set"})

    def questions(self, item_id: str) -> list[Question]:
        """Ask for the model with its recipe, and for the accuracy that the student reports."""
        return [
            Question(
                id=item_id,
                kind="model",
                file=self.file,
                function=self.model,
                optimizer=self.optimizer,
                scheduler=self.scheduler,
                training=self.training,
            ),
            Question(
                id=reported_id(item_id),
                kind="answer",
                file=self.file,
                function=self.reported,
                optional=True,
            ),
        ]

    def mistakes(self, items: Mapping[str, Item]) -> Iterator[str]:
        """Yield the mistakes of the author, those of constraints and recipe included."""
        yield from super().mistakes(items)
        yield from _constraint_mistakes(self.constraints)
        recipe = self.recipe
        yield from _number_mistakes("recipe.epochs", recipe.epochs, 1, recipe.maximum_epochs)
        sizes = (recipe.batch_size, recipe.minimum_batch_size, recipe.maximum_batch_size)
        yield from _number_mistakes("recipe.batch_size", *sizes)
        if recipe.minimum_batch_size < 1:
            yield (
                f"recipe.minimum_batch_size: is {recipe.minimum_batch_size}, but must be at least 1"
            )
        if self.training is None and not recipe.fixed:
            yield "training: is None, so the recipe must be fixed"


@dataclass(frozen=True, kw_only=True)
class TrainedModelItem(ItemWithData):
    """A model that the student has trained, and that the grader evaluates on the test set.

    Attributes:
        model: the name of the function that returns the model, whatever its weights.
        weights: the file with the model's state dict: `torch.save(model.state_dict(), "model.pt")`,
            or safetensors.
    """

    kind: ClassVar[str] = "trained-model"
    function_fields: ClassVar[tuple[str, ...]] = ("model",)
    has_accuracy: ClassVar[bool] = True
    model: str
    weights: str
    constraints: tuple[Constraint, ...] = ()

    def files(self) -> tuple[str, ...]:
        """Return the file of the model and that of its weights."""
        return (self.file, self.weights)

    def questions(self, item_id: str) -> list[Question]:
        """Ask for the model with the weights of the file."""
        return [
            Question(
                id=item_id,
                kind="model",
                file=self.file,
                function=self.model,
                weights=True,
                weights_file=self.weights,
                weights_bytes=MAXIMUM_WEIGHTS_BYTES,
            )
        ]

    def mistakes(self, items: Mapping[str, Item]) -> Iterator[str]:
        """Yield the mistakes of the author, those of the constraints included."""
        yield from super().mistakes(items)
        yield from _constraint_mistakes(self.constraints)
        path = PurePosixPath(self.weights)
        if path.is_absolute() or ".." in path.parts or path.suffix not in WEIGHTS:
            ends = ", ".join(sorted(WEIGHTS))
            yield f"weights: {self.weights!r} must be a relative path that ends in {ends}"


@dataclass(frozen=True, kw_only=True)
class SweepItem(_CalledItem):
    """Accuracies that the student reports for several dropout probabilities, each retrained.

    Attributes:
        model_item: the id of the swept model's item: "3G.model".
        probabilities: the values to which every Dropout is set, in turn.
        epochs: the length of each training run.
        minimum_agreeing: the number of accuracies that must agree for the points.
        judged: True if reported accuracies are compared with reproduced ones; False in practice.
        any_probabilities: a student may report as many other probabilities, which are then the
            ones retrained.
    """

    kind: ClassVar[str] = "sweep"
    model_item: str
    probabilities: tuple[float, ...]
    epochs: int
    minimum_agreeing: int
    judged: bool = True
    any_probabilities: bool = field(default=False, metadata={"digested": "if set"})

    def needed_items(self) -> tuple[str, ...]:
        """Return the item whose model is swept."""
        return (self.model_item,)

    def trained_item(self, item_id: str) -> str:  # noqa: ARG002  # another one's model
        """Return the item whose model is swept."""
        return self.model_item

    def for_practice(self, item_id: str, assignment: Assignment) -> SweepItem:  # noqa: ARG002
        """Return the sweep not judged if the student measured it on another data set."""
        practice = assignment.practice
        is_practised = practice is not None and self.model_item in dict(practice.thresholds)
        return replace(self, judged=not is_practised)

    def mistakes(self, items: Mapping[str, Item]) -> Iterator[str]:
        """Yield the mistakes of the author."""
        yield from super().mistakes(items)
        models = [item_id for item_id, item in items.items() if isinstance(item, ModelItem)]
        if self.model_item not in models:
            hint = did_you_mean(self.model_item, models)
            yield f"model_item: there is no model item {self.model_item!r}{hint}"
        elif self.model_item not in dict(
            takewhile(lambda entry: entry[1] is not self, items.items())
        ):
            yield f"model_item: {self.model_item} comes after its sweep; put the sweep behind it"
        if self.epochs < 1:
            yield f"epochs: is {self.epochs}, but must be at least 1"
        for index, probability in enumerate(self.probabilities):
            yield from share_mistakes(f"probabilities[{index}]", probability)
        maximum = len(self.probabilities)
        yield from _number_mistakes("minimum_agreeing", self.minimum_agreeing, 0, maximum)


def reported_id(item_id: str) -> str:
    """Return the id of the question for the accuracy that a student reports for a model."""
    return f"{item_id}:reported"


def _beside(named: str | DataSource, directory: Path) -> str | DataSource:
    """Return a data set with the directory of the assignment's file."""
    return named.beside(directory) if isinstance(named, DataSource) else named


def share_mistakes(path: str, value: float) -> Iterator[str]:
    """Yield a mistake if a value is not a share."""
    if not 0.0 <= value <= 1.0:
        percent = " (write 0.975, not 97.5)" if 1.0 < value <= 100.0 else ""
        yield f"{path}: is {value:g}, but must be a share from 0 to 1{percent}"


def _number_mistakes(path: str, value: int, minimum: int, maximum: int) -> Iterator[str]:
    if not minimum <= value <= maximum:
        yield f"{path}: is {value}, but must be from {minimum} to {maximum}"


def _constraint_mistakes(constraints: Sequence[Constraint]) -> Iterator[str]:
    for index, constraint in enumerate(constraints):
        for mistake in rule_mistakes(constraint):
            yield f"constraints[{index}]: {mistake}"


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
    """Grading on a small data set that is always at hand, for practice only.

    Attributes:
        thresholds: the expected accuracy of each item that is practised on the set, by item id.
            Other items keep their own data set, which must be at hand, too.
    """

    dataset: str | DataSource
    thresholds: tuple[tuple[str, float], ...]


@dataclass(frozen=True, kw_only=True)
class Key:
    """The private half of an assignment, for its graders only: `KEY` in `key.py`.

    Attributes:
        accepted: the right values, by the ids of answer items.
        rubrics: by the ids of written items.
    """

    accepted: tuple[tuple[str, tuple[PlainValue, ...]], ...] = ()
    rubrics: tuple[tuple[str, Rubric], ...] = ()


@dataclass(frozen=True, kw_only=True)
class Assignment:
    """A whole assignment: data only.

    Attributes:
        id: the name on the command line.
        points: the expected sum of all parts; a guard against slips.
        dataset: the data set on which models are trained, unless an item has its own; None if
            nothing is trained.
        seeds: of the training runs; they belong to the assignment, never to a submission.
        practice: None if there is no practice set.
        file_names: for a file of code, other names and glob patterns under which students may
            submit it, the preferred ones first: `(("problem_2.py", ("2_notebook.ipynb",)),)`.
            Names that are nearly right are found without.
    """

    id: str
    title: str
    points: float
    dataset: str | DataSource | None = None
    seeds: tuple[int, ...] = (1, 2, 3)
    problems: tuple[Problem, ...]
    practice: Practice | None = None
    limits: Limits = Limits()
    file_names: tuple[tuple[str, tuple[str, ...]], ...] = field(
        default=(), metadata={"digested": "if set"}
    )

    def item_ids(self) -> list[tuple[str, Item]]:
        """Return every item by its full id, in order."""
        return [
            entry
            for problem in self.problems
            for part in problem.parts
            for entry in part.item_ids()
        ]

    def has_key(self) -> bool:
        """Return True unless the accepted values are missing: the private half was not loaded."""
        answers = [item for _, item in self.item_ids() if isinstance(item, AnswerItem)]
        return all(item.accepted for item in answers)

    def files(self) -> list[str]:
        """Return every file that a student submits, in order, each once."""
        return list(dict.fromkeys(file for _, item in self.item_ids() for file in item.files()))

    def digest(self) -> str:
        """Return the SHA-256 of the assignment's canonical JSON, in hexadecimal."""
        return digest_of(self)

    def digests(self) -> tuple[str, ...]:
        """Return the digests of the assignment and of its practice, if there is a practice set."""
        practice = (self.for_practice().digest(),) if self.practice else ()
        return self.digest(), *practice

    def sources(self, item_ids: Iterable[str] | None = None) -> dict[str, DataSource]:
        """Return the data set of each trained item by the item's id; of all, or of some items."""
        items = dict(self.item_ids())
        chosen = items if item_ids is None else item_ids
        trained = [items[item_id].trained_item(item_id) for item_id in chosen]
        named = {
            item_id: items[item_id].own_dataset() or self.dataset
            for item_id in dict.fromkeys(trained)
            if item_id in items
        }
        return {item_id: named_source(name) for item_id, name in named.items() if name is not None}

    def all_sources(self) -> list[DataSource]:
        """Return every data set that grading or practice may need, each once."""
        practised = self.for_practice().sources() if self.practice else {}
        return list(dict.fromkeys([*self.sources().values(), *practised.values()]))

    def for_practice(self) -> Assignment:
        """Return the assignment with the practice set's data and thresholds.

        An assignment that trains nothing stays as it is.

        Raises:
            UsageError: there is no practice set.
        """
        if not self.sources():
            return self
        if self.practice is None:
            raise UsageError(
                f"the assignment {self.id!r} has no practice set",
                next_step="Leave --practice out.",
            )
        practised = self.with_items(lambda item_id, item: item.for_practice(item_id, self))
        return replace(practised, dataset=self.practice.dataset).with_facts()

    def with_facts(self) -> Assignment:
        """Return the assignment with the facts about its data sets, as far as they are known."""
        return self.with_items(lambda _, item: item.with_facts(self))

    def located(self, directory: Path) -> Assignment:
        """Return the assignment with the author's files that its paths name.

        Args:
            directory: of the assignment's file.
        """
        practice = self.practice
        if practice is not None:
            practice = replace(practice, dataset=_beside(practice.dataset, directory))
        return replace(
            self.with_items(lambda _, item: item.located(directory)),
            dataset=None if self.dataset is None else _beside(self.dataset, directory),
            practice=practice,
        )

    def with_key(self, key: Key) -> Assignment:
        """Return the assignment with its private half.

        Raises:
            ValueError: the key names an item that is not there or of another kind.
        """
        items = dict(self.item_ids())
        accepted, rubrics = dict(key.accepted), dict(key.rubrics)
        for found, kind in ((accepted, AnswerItem), (rubrics, WrittenItem)):
            for item_id in found:
                if not isinstance(items.get(item_id), kind):
                    hint = did_you_mean(item_id, items)
                    message = f"there is no {kind.kind} item {item_id!r}{hint}"
                    raise ValueError(message)  # noqa: TRY004  # a wrong name, not a wrong type

        def completed(item_id: str, item: Item) -> Item:
            if isinstance(item, AnswerItem) and item_id in accepted:
                return replace(item, accepted=accepted[item_id])
            if isinstance(item, WrittenItem) and item_id in rubrics:
                return replace(item, rubric=rubrics[item_id])
            return item

        return self.with_items(completed)

    def with_items(self, revise: Callable[[str, Item], Item]) -> Assignment:
        """Return the assignment with revised items; `revise` takes an item's full id and itself."""

        def revised(part: Part) -> Part:
            pairs = zip(part.items, part.item_ids(), strict=True)
            items = tuple((name, revise(item_id, item)) for (name, item), (item_id, _) in pairs)
            return replace(part, items=items)

        problems = tuple(
            replace(problem, parts=tuple(map(revised, problem.parts))) for problem in self.problems
        )
        return replace(self, problems=problems)


def record_of(kind: str) -> type[Item]:
    """Return the record of the kind that a result names; `Item` if this grader has no such kind."""
    return next((record for record in _records(Item) if vars(record).get("kind") == kind), Item)


def _records(record: type[Item]) -> Iterator[type[Item]]:
    for kind in record.__subclasses__():
        yield kind
        yield from _records(kind)
