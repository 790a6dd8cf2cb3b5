"""Statistics of a class, as pure functions of the students' summaries."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from grader.cohort.summary import CheckSummary, ItemSummary, Status, StudentSummary
from grader.results import Metric, Outcome, worst

COMMON_FAILURES = 15


@dataclass(frozen=True, kw_only=True)
class Rate:
    """Numbers of students by verdict; `undecided` are skipped, or without one for an error."""

    passed: int = 0
    failed: int = 0
    pending: int = 0
    undecided: int = 0

    @property
    def share(self) -> float | None:
        """The share that passed, 0 to 1; None if nothing is decided or something is pending."""
        decided = self.passed + self.failed
        return self.passed / decided if decided and not self.pending else None


@dataclass(frozen=True, kw_only=True)
class CheckRate:
    """One check of one item over the class."""

    item_id: str
    title: str
    rate: Rate
    points: float | None = None


@dataclass(frozen=True, kw_only=True)
class PartRate:
    """One part over the class, with the titles and the checks of its items."""

    id: str
    titles: tuple[str, ...]
    rate: Rate
    checks: tuple[CheckRate, ...]


@dataclass(frozen=True, kw_only=True)
class TrainedModel:
    """One student's trained model: its value of the item's metric, and its size."""

    accuracy: float
    parameters: int | None


@dataclass(frozen=True, kw_only=True)
class TrainedItem:
    """One modelling item over the class; `threshold` is the required value of the metric."""

    id: str
    title: str
    threshold: float
    models: tuple[TrainedModel, ...]
    metric: Metric = Metric.ACCURACY

    @property
    def accuracies(self) -> list[float]:
        """The metric's values of all models, the lowest first."""
        return sorted(model.accuracy for model in self.models)

    @property
    def reached(self) -> int:
        """The number of models that reach the threshold."""
        return sum(self.metric.is_met(model.accuracy, self.threshold) for model in self.models)


@dataclass(frozen=True, kw_only=True)
class CommonFailure:
    """A check that many students fail, with the most frequent observation.

    The observation is `typical` if at least half of these students have it.
    """

    item_id: str
    title: str
    students: int
    observed: str
    typical: bool


@dataclass(frozen=True, kw_only=True)
class PendingItem:
    """An item that a person must grade, the number of submissions, and the points of each."""

    id: str
    title: str
    students: int
    points: float


class Reason(StrEnum):
    """A reason for a person to look at a student's result, the most urgent first."""

    ERROR = "error"
    UNUSABLE = "unusable"
    WHOSE = "whose"
    FILES = "files"
    LATE_UNKNOWN = "late-unknown"
    DECIDED = "decided"
    REQUESTED = "requested"
    BORDERLINE = "borderline"
    REPORTED = "reported"
    PENDING = "pending"


@dataclass(frozen=True, kw_only=True)
class Concern:
    """One student whom a person must look at for one reason, with a message or items or both."""

    summary: StudentSummary
    message: str = ""
    items: tuple[ItemSummary, ...] = ()


def graded(summaries: Iterable[StudentSummary]) -> list[StudentSummary]:
    """Return the summaries that have a grade."""
    return [summary for summary in summaries if summary.status is Status.GRADED]


def failed_parts(summary: StudentSummary) -> list[str]:
    """Return the parts with a failed item, in order."""
    failed = (item.part for item in summary.items if item.outcome is Outcome.FAILED)
    return list(dict.fromkeys(failed))


def part_rates(summaries: Iterable[StudentSummary]) -> tuple[PartRate, ...]:
    """Return every part with its checks, in the assignment's order."""
    titles: dict[str, dict[str, str]] = defaultdict(dict)
    parts: dict[str, list[Outcome]] = defaultdict(list)
    checks: dict[str, dict[tuple[str, str], list[CheckSummary]]] = defaultdict(dict)
    for summary in summaries:
        outcomes: dict[str, list[Outcome]] = defaultdict(list)
        for item in summary.items:
            titles[item.part].setdefault(item.id, item.title)
            outcomes[item.part].append(item.outcome)
            for check in item.checks:
                checks[item.part].setdefault((item.id, check.id), []).append(check)
        for part_id, own in outcomes.items():
            parts[part_id].append(_automatic_outcome(own))
    return tuple(
        PartRate(
            id=part_id,
            titles=tuple(titles[part_id].values()),
            rate=_rate(outcomes),
            checks=tuple(
                CheckRate(
                    item_id=item_id,
                    title=found[0].title,
                    rate=_rate(check.outcome for check in found),
                    points=found[0].points,
                )
                for (item_id, _), found in checks[part_id].items()
            ),
        )
        for part_id, outcomes in parts.items()
    )


def _automatic_outcome(outcomes: list[Outcome]) -> Outcome:
    """Return a part's verdict without the items that a person grades."""
    automatic: list[Outcome] = [one for one in outcomes if one is not Outcome.PENDING]
    return worst(automatic) if automatic else Outcome.PENDING


def _rate(outcomes: Iterable[Outcome]) -> Rate:
    counts = Counter(outcomes)
    return Rate(
        passed=counts[Outcome.PASSED],
        failed=counts[Outcome.FAILED],
        pending=counts[Outcome.PENDING],
        undecided=counts[Outcome.SKIPPED] + counts[Outcome.ERROR],
    )


def trained_items(summaries: Iterable[StudentSummary]) -> tuple[TrainedItem, ...]:
    """Return every item with trained models, in the assignment's order."""
    found = []
    for item_id, items in _by_item(summaries).items():
        trained = [item for item in items if item.accuracy is not None]
        threshold = next((item.threshold for item in trained if item.threshold is not None), None)
        if threshold is not None:
            models = tuple(
                TrainedModel(accuracy=item.accuracy or 0.0, parameters=item.parameters)
                for item in trained
            )
            found.append(
                TrainedItem(
                    id=item_id,
                    title=items[0].title,
                    threshold=threshold,
                    metric=trained[0].metric,
                    models=models,
                )
            )
    return tuple(found)


def common_failures(summaries: Iterable[StudentSummary]) -> tuple[CommonFailure, ...]:
    """Return at most `COMMON_FAILURES` checks that most students fail, the most frequent first.

    Only the first failure of an item counts: the others may follow from it.
    """
    observed: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for item_id, items in _by_item(summaries).items():
        for item in items:
            first = next((one for one in item.checks if one.outcome is Outcome.FAILED), None)
            if first is not None:
                observed[item_id, first.title][first.observed] += 1
    commonest = sorted(observed.items(), key=lambda pair: -pair[1].total())[:COMMON_FAILURES]
    return tuple(
        CommonFailure(
            item_id=item_id,
            title=title,
            students=texts.total(),
            observed=text,
            typical=2 * times >= texts.total(),
        )
        for (item_id, title), texts in commonest
        for text, times in texts.most_common(1)
    )


def pending_items(summaries: Iterable[StudentSummary]) -> tuple[PendingItem, ...]:
    """Return the items that a person must grade, in the assignment's order."""
    found = []
    for item_id, items in _by_item(summaries).items():
        waiting = [item.score.pending for item in items if item.outcome is Outcome.PENDING]
        if waiting:
            found.append(
                PendingItem(
                    id=item_id, title=items[0].title, students=len(waiting), points=max(waiting)
                )
            )
    return tuple(found)


def concerns(summary: StudentSummary) -> dict[Reason, Concern]:
    """Return the reasons for a person to look at this student, the most urgent first."""
    items_by_reason = {
        Reason.ERROR: [item for item in summary.items if item.outcome is Outcome.ERROR],
        Reason.BORDERLINE: [item for item in summary.items if item.borderline],
        Reason.REPORTED: [item for item in summary.items if item.reported_differs],
        Reason.PENDING: [item for item in summary.items if item.outcome is Outcome.PENDING],
    }
    messages = {}
    if summary.status is Status.ERROR or summary.kept_because:
        messages[Reason.ERROR] = summary.kept_because or summary.message
    if summary.status is Status.UNUSABLE:
        messages[Reason.UNUSABLE] = summary.message
    if summary.whose:
        messages[Reason.WHOSE] = summary.whose
    if summary.unclear_files:
        messages[Reason.FILES] = summary.unclear_files
    if summary.outdated_decisions:
        messages[Reason.DECIDED] = "; ".join(summary.outdated_decisions)
    if summary.requests:
        messages[Reason.REQUESTED] = "; ".join(summary.requests)
    if summary.late.needs_person:
        messages[Reason.LATE_UNKNOWN] = summary.late.reason
    return {
        reason: Concern(
            summary=summary,
            message=messages.get(reason, ""),
            items=tuple(items_by_reason.get(reason, ())),
        )
        for reason in Reason
        if reason in messages or items_by_reason.get(reason)
    }


def _by_item(summaries: Iterable[StudentSummary]) -> dict[str, list[ItemSummary]]:
    """Return all students' results of each item, in the assignment's order."""
    found: dict[str, list[ItemSummary]] = defaultdict(list)
    for summary in summaries:
        for item in summary.items:
            found[item.id].append(item)
    return found
