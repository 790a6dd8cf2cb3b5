"""The results of grading: plain, frozen records that go to JSON and back without loss.

All records of one JSON file stand here; its schema is `grader/report/result.schema.json`. Only
fields whose name ends in `_seconds` or `_at` differ between two gradings of the same files.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from enum import StrEnum

SCHEMA_VERSION = 1


class Outcome(StrEnum):
    """The outcome of a check, an item or a part."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"
    """An earlier check of the same item failed, or the user left the item out."""
    PENDING = "pending"
    """A person must grade this."""
    ERROR = "error"
    """The grader's own fault or the machine's: no grade is given, and a retry is possible."""


@dataclass(frozen=True, kw_only=True)
class CheckResult:
    """One check of one item.

    Attributes:
        id: stable within its item: "allowed-layers".
        title: the checked statement, in a few words.
        outcome: of the check.
        observed: the actual value or behaviour.
        expected: the allowed value or behaviour.
        next_step: advice to the student; empty if the check passed.
        location: "problem_2.py:14", or empty.
        details: longer preformatted text: a traceback, or where an array differs.
        score: the points of this check, or None if all checks of the item decide together.
        hidden: students may learn no more of it than that it failed.
        unanswered: it failed because there is no answer yet, such as an untouched stub.
        excerpt: the student's lines around `location`, numbered; empty if they are not known.
    """

    id: str
    title: str
    outcome: Outcome
    observed: str = ""
    expected: str = ""
    next_step: str = ""
    location: str = ""
    details: str = ""
    score: Score | None = None
    hidden: bool = False
    unanswered: bool = False
    excerpt: str = ""

    def with_excerpt(self, excerpt: str) -> CheckResult:
        """Return the check with the lines around its location."""
        return replace(self, excerpt=excerpt)

    @classmethod
    def judged(  # the fields of the record
        cls,
        check_id: str,
        title: str,
        *,
        passed: bool,
        observed: str,
        expected: str = "",
        next_step: str = "",
        location: str = "",
        details: str = "",
    ) -> CheckResult:
        """Return a passed or a failed check; a passed check has no next step."""
        return cls(
            id=check_id,
            title=title,
            outcome=Outcome.PASSED if passed else Outcome.FAILED,
            observed=observed,
            expected=expected,
            next_step="" if passed else next_step,
            location=location,
            details=details,
        )

    def masked(self, number: int) -> CheckResult:
        """Return the check with no more than its outcome and points.

        Args:
            number: of the hidden check in its item, from 1.
        """
        ends = {
            Outcome.PASSED: "passed",
            Outcome.FAILED: "failed",
            Outcome.PENDING: "is run when the work is graded",
        }
        return CheckResult(
            id=f"hidden-{number}",
            title="A hidden test",
            outcome=self.outcome,
            observed=f"a hidden test {ends.get(self.outcome, 'was not graded')}",
            score=self.score,
            hidden=True,
        )


@dataclass(frozen=True, kw_only=True)
class Hint:
    """Advice that never costs points: an observation, and the reason why it matters."""

    id: str
    message: str
    reason: str
    location: str = ""


def add_points(points: Iterable[float]) -> float:
    """Return the sum without the noise of binary fractions: 0.1 and 0.2 are 0.3."""
    return round(sum(points), 6)


@dataclass(frozen=True, kw_only=True)
class Score:
    """Points. The other four add up to `possible`.

    Attributes:
        possible: maximum points.
        earned: given.
        pending: a person must decide.
        lost: not given.
        undecided: not graded, because of an error or because the item was left out.
    """

    possible: float
    earned: float = 0.0
    pending: float = 0.0
    lost: float = 0.0
    undecided: float = 0.0

    @staticmethod
    def total(scores: list[Score]) -> Score:
        """Return the sum of several scores."""
        return Score(
            possible=add_points(score.possible for score in scores),
            earned=add_points(score.earned for score in scores),
            pending=add_points(score.pending for score in scores),
            lost=add_points(score.lost for score in scores),
            undecided=add_points(score.undecided for score in scores),
        )


@dataclass(frozen=True, kw_only=True)
class LayerRow:
    """One row of the architecture table.

    Attributes:
        index: counted from 0 in the flattened model.
        path: the student's own name for the layer.
        description: as PyTorch prints it.
        output_shape: without the batch dimension; empty if the dry run stopped before this layer.
        parameters: trainable values.
        hidden_units: counted against the cap.
    """

    index: int
    path: str
    description: str
    output_shape: tuple[int, ...] = ()
    parameters: int = 0
    hidden_units: int = 0


OPENED_BY_PERSON = "*Not a text. A person must open:*"
"""The beginning of an answer that is a document or a picture."""

LEFT_OUT_BY_ONLY, LEFT_OUT_BY_QUICK = "left out by --only", "left out by --quick"
"""The observation of a check that an option left out."""


class Metric(StrEnum):
    """The measure of a model on the test set."""

    ACCURACY = "accuracy"
    """The share of examples that are classified correctly, 0 to 1: more is better."""
    RMSE = "rmse"
    """The root-mean-square error of predicted numbers, in the targets' unit: less is better."""

    @property
    def worst(self) -> float:
        """The value of a model that computes no numbers; JSON has no infinity."""
        return 0.0 if self is Metric.ACCURACY else sys.float_info.max

    @property
    def heading(self) -> str:
        """Its name, for a person to read."""
        return "Test accuracy" if self is Metric.ACCURACY else "Test RMSE"

    @property
    def label(self) -> str:
        """The heading in the middle of a sentence."""
        return f"t{self.heading[1:]}"

    def show(self, value: float) -> str:
        """Return a value to read: "97.50%" or "0.4321"."""
        if self is Metric.ACCURACY:
            return f"{value:.2%}"
        return "infinite" if value >= self.worst else f"{value:.4g}"

    def is_met(self, value: float, threshold: float) -> bool:
        """Return True if a value reaches a threshold."""
        return value >= threshold if self is Metric.ACCURACY else value <= threshold

    def best(self, values: Iterable[float]) -> float:
        """Return the best value, or the worst that there can be if there is none."""
        choose = max if self is Metric.ACCURACY else min
        return choose(values, default=self.worst)


@dataclass(frozen=True, kw_only=True)
class EpochResult:
    """One epoch of training.

    Attributes:
        train_loss: mean loss over the epoch's training examples, while training; 0 for a model
            that was handed in trained.
        test_accuracy: share of the test set classified correctly after the epoch, 0 to 1; 0 where
            numbers are predicted.
        test_rmse: root-mean-square error on the test set after the epoch, or None for classes.
    """

    train_loss: float
    test_accuracy: float = 0.0
    test_rmse: float | None = None

    def measured(self, metric: Metric) -> float:
        """Return the epoch's value of a metric."""
        if metric is Metric.ACCURACY:
            return self.test_accuracy
        return metric.worst if self.test_rmse is None else self.test_rmse


@dataclass(frozen=True, kw_only=True)
class MisclassifiedExample:
    """One test example that the model classified wrongly.

    Attributes:
        index: its position in the test set.
        label: the true class.
        predicted: the class with the largest output.
        confidence: softmax of the largest output, 0 to 1.
        pixels_base64: its pixels, one byte each (0 to 255), channel by channel and row by row, in
            base64; empty if the inputs are no images.
        pixels_shape: (channels, height, width); empty for a square of grey in old results.
    """

    index: int
    label: int
    predicted: int
    confidence: float
    pixels_base64: str = ""
    pixels_shape: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True)
class TrainingRun:
    """One model trained once from one seed.

    Attributes:
        seed: of initialisation, shuffling and dropout.
        epochs: in order; the run may have ended early.
        stopped_early: the run ended because its verdict was certain.
        diverged: the loss became NaN or infinite, and the run ended there.
        confusion: counts of the counted epoch; row = true class, column = predicted class.
        misclassified: a few wrongly classified test examples, most confident first.
        device: "cpu" or the GPU's name.
        compiled: compiled kernels trained it, not PyTorch's layers one by one.
        wall_seconds: duration.
        rmse_error: the standard error of the counted epoch's RMSE, from the test set's size; 0 for
            classes.
    """

    seed: int
    epochs: tuple[EpochResult, ...]
    stopped_early: bool = False
    diverged: bool = False
    confusion: tuple[tuple[int, ...], ...] = ()
    misclassified: tuple[MisclassifiedExample, ...] = ()
    device: str = "cpu"
    compiled: bool = False
    wall_seconds: float = 0.0
    rmse_error: float = 0.0

    @property
    def final_accuracy(self) -> float:
        """Test accuracy after the last epoch, 0 to 1; 0 if it diverged before that."""
        return self.final(Metric.ACCURACY)

    @property
    def best_accuracy(self) -> float:
        """The best test accuracy of any epoch, 0 to 1."""
        return self.best(Metric.ACCURACY)

    def values(self, metric: Metric) -> list[float]:
        """Return the metric's value after every epoch."""
        return [epoch.measured(metric) for epoch in self.epochs]

    def best(self, metric: Metric) -> float:
        """Return the best value of any epoch."""
        return metric.best(self.values(metric))

    def final(self, metric: Metric) -> float:
        """Return the value after the last epoch; the worst there can be if it diverged before."""
        return self.values(metric)[-1] if self.epochs and not self.diverged else metric.worst

    def counted(self, counted_epoch: str, metric: Metric) -> float:
        """Return the value that a part counts: of the "best" epoch, or of the "final" one."""
        return self.best(metric) if counted_epoch == "best" else self.final(metric)


@dataclass(frozen=True, kw_only=True)
class RecipeReport:
    """The recipe of a training, for the report.

    Attributes:
        optimizer: "Adam(lr=0.001, …)", one line for each parameter group.
        scheduler: in the same form, or empty.
        normalization: "mean 0.1307, std 0.3081", or empty.
        loss: the loss, unless it is cross entropy.
    """

    epochs: int
    batch_size: int
    optimizer: tuple[str, ...]
    scheduler: str = ""
    normalization: str = field(default="", metadata={"digested": "if set"})
    loss: str = field(default="", metadata={"digested": "if set"})


@dataclass(frozen=True, kw_only=True)
class SourceReport:
    """The training of a student's program from which a model or its recipe was taken.

    Attributes:
        location: "problem_2.ipynb, cell 7, line 3".
        recipe: as in the program: "10 epochs, batch size 32".
        reason: why this training is the part's.
        others: trainings that could have been meant instead.
        next_step: advice to the student, if another training counts.
    """

    location: str
    recipe: str
    reason: str
    others: tuple[str, ...] = ()
    next_step: str = ""


@dataclass(frozen=True, kw_only=True)
class ProgramFault:
    """A statement of a program that failed; the rest of the program ran."""

    location: str
    message: str
    next_step: str = ""


@dataclass(frozen=True, kw_only=True)
class ProgramReport:
    """A notebook or script that was run with stand-ins for data and training.

    Attributes:
        trainings: in the program's order, each in a few words.
        faults: cost no points by themselves.
        library: the library that trains in place of PyTorch ("Keras"), or empty.
    """

    file: str
    trainings: tuple[str, ...] = ()
    faults: tuple[ProgramFault, ...] = ()
    library: str = ""


@dataclass(frozen=True, kw_only=True)
class TrainingReport:
    """All runs of one model against its threshold.

    Attributes:
        runs: one for each seed that was run.
        threshold: the required value of the metric: the least accuracy, 0 to 1, or the most RMSE.
        counted_epoch: "best" or "final".
        accuracy: the best counted value of the metric in any run.
        interval: the 95% interval of that value, given the size of the test set.
        borderline: only one of several seeds met the threshold, or none did and the threshold lies
            inside the interval.
        test_examples: the size of the test set.
        reported_accuracy: the student's own figure, or None.
        reported_differs: the student's figure is farther off than chance explains.
        metric: what the fields above measure.
        lesser_thresholds: easier thresholds, for some of the points.
        weights_sha256: of the weights that were handed in; empty for a model that was trained.
    """

    recipe: RecipeReport
    runs: tuple[TrainingRun, ...]
    threshold: float
    counted_epoch: str
    accuracy: float
    interval: tuple[float, float]
    borderline: bool
    test_examples: int
    reported_accuracy: float | None = None
    reported_differs: bool = False
    metric: Metric = Metric.ACCURACY
    lesser_thresholds: tuple[float, ...] = ()
    weights_sha256: str = ""

    def counted(self, run: TrainingRun) -> float:
        """Return the value of a run that counts."""
        return run.counted(self.counted_epoch, self.metric)

    def is_met_by(self, run: TrainingRun) -> bool:
        """Return True if a run reaches the threshold."""
        return self.metric.is_met(self.counted(run), self.threshold)


@dataclass(frozen=True, kw_only=True)
class SweepPoint:
    """One dropout probability of the sweep.

    Attributes:
        probability: set for every Dropout.
        reported: the student's accuracy, or None if missing.
        reproduced: the grader's accuracies, one for each seed that was run.
        tolerance: the largest accepted difference.
        agrees: some reproduced accuracy is within the tolerance; None if not judged.
    """

    probability: float
    reported: float | None
    reproduced: tuple[float, ...]
    tolerance: float
    agrees: bool | None


@dataclass(frozen=True, kw_only=True)
class CapturedOutput:
    """The output of the student's code during one question.

    Attributes:
        source: the file and function: "problem_2.py: model_c".
        text: standard output and standard error together, capped.
        dropped_bytes: size of the output beyond the cap.
    """

    source: str
    text: str
    dropped_bytes: int = 0
    hidden: bool = False
    """It was printed during a hidden test, whose inputs it may hold."""


@dataclass(frozen=True, kw_only=True)
class RubricMark:
    """One rubric entry that a person applied to a written answer, and its points."""

    text: str
    points: float


@dataclass(frozen=True, kw_only=True)
class PersonalGrade:
    """A person's grade of an item.

    Attributes:
        marks: the applied entries, in the rubric's order.
        adjustment: points on top of the rubric's; may be negative.
        comment: to the student, in Markdown.
        judged_at: ISO 8601, UTC.
    """

    marks: tuple[RubricMark, ...]
    adjustment: float
    comment: str
    judged_at: str


@dataclass(frozen=True, kw_only=True)
class Decision:
    """A person's decision in place of the grader's, or on top of it.

    Attributes:
        points: that count instead; for extra points, those added. None if nothing was changed.
        automatic: the points without the decision.
        reason: to the student, in plain text.
        decided_at: ISO 8601, UTC.
    """

    points: float | None
    automatic: float
    reason: str
    by: str
    decided_at: str


@dataclass(frozen=True, kw_only=True)
class ItemResult:
    """One gradable thing within a part; most parts have one.

    Attributes:
        id: "1E.network"; for a part's only item the part's id.
        title: the task, in a few words.
        kind: see `grader.grading.items`.
        written_text: the student's Markdown, for written items.
        question: the question that a written item asks.
        answer: the student's value as text, for answers.
        recipe: of a model that passed its checks, trained or not.
        source: the training of a program from which the model is, or None.
        personal: a person's grade, or None.
        decision: a person's, in place of the points that the checks give; or None.
        forecast_seconds: of one training run, on one core of this machine; 0 if it is not known.
    """

    id: str
    title: str
    kind: str
    outcome: Outcome
    score: Score
    checks: tuple[CheckResult, ...] = ()
    hints: tuple[Hint, ...] = ()
    notes: tuple[str, ...] = ()
    written_text: str | None = None
    question: str = ""
    answer: str | None = None
    architecture: tuple[LayerRow, ...] = ()
    parameters: int | None = None
    hidden_units: int | None = None
    recipe: RecipeReport | None = None
    forecast_seconds: float = 0.0
    source: SourceReport | None = None
    training: TrainingReport | None = None
    sweep: tuple[SweepPoint, ...] = ()
    output: tuple[CapturedOutput, ...] = ()
    personal: PersonalGrade | None = None
    decision: Decision | None = None

    @property
    def was_asked(self) -> bool:
        """False if --only left it out."""
        return not self.checks or self.checks[0].observed != LEFT_OUT_BY_ONLY

    @property
    def unanswered(self) -> bool:
        """True if it failed for nothing but a missing answer."""
        failed = [check for check in self.checks if check.outcome is Outcome.FAILED]
        return bool(failed) and all(check.unanswered for check in failed)

    def with_checks(self, checks: tuple[CheckResult, ...]) -> ItemResult:
        """Return the item with revised checks."""
        return replace(self, checks=checks)

    def for_students(self) -> ItemResult:
        """Return the item with no more of its hidden checks than their outcomes and points.

        A doubt about an automatic verdict is left out: it is for an instructor.
        """
        hidden = [check for check in self.checks if check.hidden]
        checks = tuple(
            check.masked(hidden.index(check) + 1) if check.hidden else check
            for check in self.checks
        )
        output = tuple(output for output in self.output if not output.hidden)
        # Doubts about an automatic verdict are for those who can settle them.
        training = self.training and replace(
            self.training, borderline=False, reported_differs=False
        )
        text = self.written_text
        if text is not None and text.startswith(OPENED_BY_PERSON):
            text = f"*Not a text. It is opened by a person:*{text.removeprefix(OPENED_BY_PERSON)}"
        return replace(self, checks=checks, output=output, training=training, written_text=text)


@dataclass(frozen=True, kw_only=True)
class PartResult:
    """One lettered part: "2C"; `decision` is a person's about all of it, or None."""

    id: str
    title: str
    outcome: Outcome
    score: Score
    items: tuple[ItemResult, ...]
    decision: Decision | None = None

    @classmethod
    def of(cls, part_id: str, title: str, items: tuple[ItemResult, ...]) -> PartResult:
        """Return the part with the outcome and the score of its items."""
        outcome = worst([item.outcome for item in items])
        score = Score.total([item.score for item in items])
        return cls(id=part_id, title=title, outcome=outcome, score=score, items=items)


@dataclass(frozen=True, kw_only=True)
class ProblemResult:
    """One numbered problem with its parts."""

    id: str
    title: str
    score: Score
    parts: tuple[PartResult, ...]

    @classmethod
    def of(cls, problem_id: str, title: str, parts: tuple[PartResult, ...]) -> ProblemResult:
        """Return the problem with the score of its parts."""
        score = Score.total([part.score for part in parts])
        return cls(id=problem_id, title=title, score=score, parts=parts)


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """Everything needed to reproduce a result.

    Attributes:
        dataset: the names of the data sets, "none" if nothing was trained.
        dataset_sha256: their checksum, or that of several checksums.
        train_examples, test_examples: of all data sets together.
        practice: the practice set was used, which gives no grade.
        submission_sha256: over the names and contents of the submitted files.
        isolation: the sandbox, in words; its limits are in `isolation_details`.
        official_seeds: the seeds are the assignment's own.
    """

    grader_version: str
    assignment_id: str
    assignment_title: str
    assignment_sha256: str
    submission_sha256: str
    dataset: str
    dataset_sha256: str
    train_examples: int
    test_examples: int
    practice: bool
    seeds: tuple[int, ...]
    official_seeds: bool
    python_version: str
    torch_version: str
    torchvision_version: str
    numpy_version: str
    platform: str
    processor: str
    device: str
    threads_per_run: int
    isolation: str
    isolation_details: tuple[str, ...] = ()
    unsafe: bool = False


@dataclass(frozen=True, kw_only=True)
class Timing:
    """The start of the grading (ISO 8601, UTC) and the duration of each stage."""

    started_at: str
    extract_seconds: float = 0.0
    train_seconds: float = 0.0
    total_seconds: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Lateness:
    """The effect of the late policy on the points.

    Attributes:
        submitted_at: ISO 8601 with its offset, or empty if unknown.
        due_at: this student's deadline, in the same form; empty without a late policy.
        days_late: days after the deadline and the grace period, rounded up; 0 if in time.
        penalty_points: deducted from the points earned so far.
        share_kept: of the earned points, 0 to 1; also of points that a person adds later.
        reason: in words; empty if nothing was deducted and nothing is unclear.
        needs_person: the platform marks the submission late without a time; nothing is deducted.
        slip_days: free days that this submission used.
    """

    submitted_at: str = ""
    due_at: str = ""
    days_late: int = 0
    penalty_points: float = 0.0
    share_kept: float = 1.0
    reason: str = ""
    needs_person: bool = False
    slip_days: int = 0

    def final_points(
        self, earned_points: float, *, total: float | None = None, extra: float = 0.0
    ) -> float:
        """Return the points that count in the end.

        Args:
            earned_points: before the penalty.
            total: a person's own total, which counts instead; or None.
            extra: points that a person adds after the penalty.
        """
        if total is not None:
            return total
        return max(0.0, add_points([earned_points * self.share_kept, extra]))

    def with_penalty(self, earned_points: float) -> Lateness:
        """Return the lateness with the deducted points."""
        penalty = add_points([earned_points, -self.final_points(earned_points)])
        return replace(self, penalty_points=penalty)


@dataclass(frozen=True, kw_only=True)
class IntakeNote:
    """A file that was ignored or handled specially, and the reason.

    Attributes:
        needs_person: points may be lost because of the file's name or form alone.
    """

    file: str
    message: str
    needs_person: bool = False


@dataclass(frozen=True, kw_only=True)
class SubmissionResult:
    """The whole result of one submission."""

    schema_version: int = SCHEMA_VERSION
    name: str
    score: Score
    complete: bool
    """Every item was graded; False after --only, --quick or Ctrl-C."""
    problems: tuple[ProblemResult, ...]
    intake: tuple[IntakeNote, ...] = ()
    programs: tuple[ProgramReport, ...] = ()
    provenance: Provenance
    timing: Timing
    late: Lateness | None = None
    """The effect of the class's late policy; `score` is the score before it."""
    total: Decision | None = None
    """A person's decision about the points of the whole, after the late policy."""
    extra: Decision | None = None
    """Points that a person adds, after the late policy."""

    def items(self) -> list[ItemResult]:
        """Return every item, in the assignment's order."""
        return [item for problem in self.problems for part in problem.parts for item in part.items]

    def for_students(self) -> SubmissionResult:
        """Return the result with its hidden checks masked, and without instructors' notices."""
        return self.with_parts(
            lambda part: replace(part, items=tuple(item.for_students() for item in part.items))
        )

    def with_items_of(self, later: SubmissionResult) -> SubmissionResult:
        """Return the result with the items that a later grading with --only asked for.

        Args:
            later: of the same submission by the same assignment.
        """
        asked = {item.id: item for item in later.items() if item.was_asked}

        def revised(part: PartResult) -> PartResult:
            items = tuple(asked.get(item.id, item) for item in part.items)
            return PartResult.of(part.id, part.title, items)

        merged = self.with_parts(revised)
        complete = all(item.score.undecided == 0 for item in merged.items())
        return replace(merged, complete=complete, timing=later.timing)

    def with_parts(self, revise: Callable[[PartResult], PartResult | None]) -> SubmissionResult:
        """Return the result with revised parts, without those revised to None, and new totals."""
        problems = []
        for problem in self.problems:
            parts = tuple(filter(None, map(revise, problem.parts)))
            if parts:
                problems.append(ProblemResult.of(problem.id, problem.title, parts))
        score = Score.total([problem.score for problem in problems])
        late = self.late and self.late.with_penalty(score.earned)
        return replace(self, problems=tuple(problems), score=score, late=late)


def worst(outcomes: list[Outcome]) -> Outcome:
    """Return the outcome of a whole: the outcome among its parts that most needs attention."""
    order = (Outcome.ERROR, Outcome.FAILED, Outcome.SKIPPED, Outcome.PENDING)
    return next((outcome for outcome in order if outcome in outcomes), Outcome.PASSED)
