"""The row of one student: enough for the class page, a gradebook and the late policy, at a
hundredth of the whole result's size.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Self

from grader.intake.students import Platform, Student
from grader.models.digest import digest_of
from grader.results import (
    ItemResult,
    Lateness,
    Metric,
    Outcome,
    Score,
    SubmissionResult,
)

TELLING_CHARACTERS = 12
"""Students may give the same shorter wrong answer, such as a number, by chance."""


class Status(StrEnum):
    """The state of a student's grading."""

    GRADED = "graded"
    ERROR = "error"
    """The grader or the machine failed: there is no grade, and a retry is possible."""
    UNUSABLE = "unusable"
    """The submission cannot be graded at all; every point is lost, and the message says why."""
    MISSING = "missing"
    """On the roster, without a submission."""
    REMOVED = "removed"
    """Taken out of the class by a person, or known under another id now; the history stays."""


@dataclass(frozen=True, kw_only=True)
class CheckSummary:
    """One check and its outcome; `observed` is empty if it passed.

    Attributes:
        points: that the check is worth by itself, or None.
    """

    id: str
    title: str
    outcome: Outcome
    observed: str = ""
    points: float | None = None


@dataclass(frozen=True, kw_only=True)
class ItemSummary:
    """One item of one student, with the fields of the result that a class needs.

    Attributes:
        accuracy, threshold: the counted and the required accuracy of a trained model, 0 to 1.
        borderline: of the accuracy; see `TrainingReport`.
        reported_differs: the student's own figures could not be reproduced.
        likeness: equal for equal models and recipes, and for equal wrong answers; empty if
            likeness means nothing, as for a right answer.
    """

    id: str
    part: str
    title: str
    kind: str
    outcome: Outcome
    score: Score
    checks: tuple[CheckSummary, ...] = ()
    accuracy: float | None = None
    threshold: float | None = None
    borderline: bool = False
    reported_differs: bool = False
    metric: Metric = Metric.ACCURACY
    parameters: int | None = None
    likeness: str = ""


@dataclass(frozen=True, kw_only=True)
class StudentSummary:
    """One student's row.

    Attributes:
        score: before the late policy.
        message: the reason if there is no grade, or oddities of the submission.
        unclear_files: files that may cost points by their name or form alone, with the reasons.
        folder: of the student's reports, below the output directory; empty if there are none.
        final_points: earned points after the late policy.
        graded_at: ISO 8601, UTC.
        kept_because: why this earlier grade is kept, such as a failure of the grader since; or "".
        whose: why it is not certain whose submission this is, with what to do, or "".
        shared_as: equal for all students who submitted this together, or "".
        source: the label of the submission, or "".
        decisions: what a person decided, in words.
        outdated_decisions: decisions about earlier work, which do not count, in words.
        requests: open requests to grade an item again, in words.
        total: final points that a person decided, or None.
        total_reason: why, for the student to read.
        extra: points that a person added.
        platform: the one from which the submission came, if its download names users by number.
        feedback_name: what names the submission in a zip of feedback for that platform, or "".
        needs_person: the work could not be used, but may be good, so a person must look first.
    """

    student: Student
    status: Status
    score: Score
    message: str = ""
    unclear_files: str = ""
    folder: str = ""
    final_points: float = 0.0
    late: Lateness = field(default_factory=Lateness)
    complete: bool = True
    practice: bool = False
    graded_at: str = ""
    items: tuple[ItemSummary, ...] = ()
    kept_because: str = ""
    whose: str = ""
    shared_as: str = ""
    source: str = ""
    decisions: tuple[str, ...] = ()
    outdated_decisions: tuple[str, ...] = ()
    requests: tuple[str, ...] = ()
    total: float | None = None
    total_reason: str = ""
    extra: float = 0.0
    platform: Platform = Platform.NONE
    feedback_name: str = ""
    needs_person: bool = False

    @property
    def has_points(self) -> bool:
        """True if there is a grade: the grader's, or a person's."""
        return self.status in {Status.GRADED, Status.UNUSABLE} or self.total is not None

    @property
    def has_error(self) -> bool:
        """True if the grader failed, for all of the work or for an item."""
        in_items = any(item.outcome is Outcome.ERROR for item in self.items)
        return self.status is Status.ERROR or in_items

    def removed(self, reason: str) -> Self:
        """Return the row of a student who is in the class no more."""
        return replace(self.without_grade(reason), status=Status.REMOVED)

    def without_grade(self, reason: str) -> Self:
        """Return the row of a student who has no submission any more."""
        possible = self.score.possible
        return type(self)(
            student=self.student,
            status=Status.MISSING,
            message=reason,
            score=Score(possible=possible, undecided=possible),
            complete=False,
            practice=self.practice,
            graded_at=now(),
        )

    def with_score(self, score: Score, late: Lateness) -> Self:
        """Return the row with another score, and with its final points.

        They are those under the late policy with a person's extra points, or a person's own total.
        """
        return replace(
            self,
            score=score,
            final_points=late.final_points(score.earned, total=self.total, extra=self.extra),
            late=late.with_penalty(score.earned),
        )


def now() -> str:
    """Return the time as the store keeps it: ISO 8601, UTC, in seconds."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def summarize_items(result: SubmissionResult) -> tuple[ItemSummary, ...]:
    """Return the rows of a result's items, in the assignment's order."""
    return tuple(
        _summarize(part.id, item)
        for problem in result.problems
        for part in problem.parts
        for item in part.items
    )


def _summarize(part_id: str, item: ItemResult) -> ItemSummary:
    training = item.training
    # A sweep without points was not trained, so its agreement check means nothing.
    disagrees = bool(item.sweep) and any(
        check.id == "agreement" and check.outcome is Outcome.FAILED for check in item.checks
    )
    return ItemSummary(
        id=item.id,
        part=part_id,
        title=item.title,
        kind=item.kind,
        outcome=item.outcome,
        score=item.score,
        checks=tuple(
            CheckSummary(
                id=check.id,
                title=check.title,
                outcome=check.outcome,
                observed="" if check.outcome is Outcome.PASSED else check.observed,
                points=check.score.possible if check.score is not None else None,
            )
            for check in item.checks
        ),
        accuracy=training.accuracy if training else None,
        threshold=training.threshold if training else None,
        borderline=training is not None and training.borderline and item.decision is None,
        reported_differs=item.decision is None
        and (disagrees or (training is not None and training.reported_differs)),
        metric=training.metric if training else Metric.ACCURACY,
        parameters=item.parameters,
        likeness=_likeness(item),
    )


def _likeness(item: ItemResult) -> str:
    """Return a digest of the parts that two students rarely choose alike by chance."""
    if item.training is not None and item.training.weights_sha256:
        return item.training.weights_sha256
    if item.architecture:
        layers = [row.description for row in item.architecture]
        recipe = item.training.recipe if item.training else None
        return digest_of(layers, recipe)
    answer = item.answer or ""
    if item.outcome is Outcome.FAILED and len(answer) >= TELLING_CHARACTERS:
        return digest_of(answer)
    return ""
