"""Numbers and verdicts in words, the same in every report."""

from __future__ import annotations

import math
from datetime import UTC, datetime

from grader.results import (
    CheckResult,
    ItemResult,
    Outcome,
    Score,
    SubmissionResult,
    TrainingReport,
    TrainingRun,
)

OUTCOME_LABELS = {
    Outcome.PASSED: "passed",
    Outcome.FAILED: "failed",
    Outcome.SKIPPED: "not graded",
    Outcome.PENDING: "awaits a person",
    Outcome.ERROR: "grader error",
}

MINUS = "\N{MINUS SIGN}"
_SPACE = "\N{NO-BREAK SPACE}"


def points(value: float) -> str:
    """7.0 is "7", 2.5 is "2.5"."""
    return f"{round(value, 2):g}"


def signed_points(value: float) -> str:
    """1.5 is "+1.5", and -1.0 is "-1" with a true minus sign."""
    return f"{'+' if value >= 0 else MINUS}{points(abs(value))}"


def score_line(score: Score) -> str:
    """Points had and possible, and what is still open: "2 / 8 + 3 pending"."""
    line = f"{points(score.earned)} / {points(score.possible)}"
    if score.pending:
        line += f" + {points(score.pending)} pending"
    if score.undecided:
        line += f" + {points(score.undecided)} undecided"
    return line


def percentage(share: float, decimals: int = 2) -> str:
    """0.975 is "97.50%"."""
    if not math.isfinite(share):
        return "not a number"
    return f"{100 * share:.{decimals}f}%"


def loss(value: float) -> str:
    """A cross entropy, in four decimals or, if huge, in powers of ten."""
    if not math.isfinite(value):
        return "not finite"
    return f"{value:.4f}" if abs(value) < 1000 else f"{value:.2e}"


def count(value: int) -> str:
    """60000 is "60,000"."""
    return f"{value:,}"


def duration(seconds: float) -> str:
    """4.2 is "4.2 s", 318.9 is "5 min 19 s"."""
    if seconds < 60:
        return f"{seconds:.1f}{_SPACE}s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}{_SPACE}min {rest}{_SPACE}s"


def minute(moment: str) -> str:
    """A moment as ISO 8601 says it, "2026-11-25T08:00:13+00:00", is "2026-11-25 08:00 UTC"."""
    utc = datetime.fromisoformat(moment).astimezone(UTC)
    return f"{utc:%Y-%m-%d %H:%M} UTC"


def shape(sizes: tuple[int, ...]) -> str:
    """The sizes with multiplication signs between them."""
    return f"{_SPACE}\N{MULTIPLICATION SIGN}{_SPACE}".join(str(size) for size in sizes)


def counted_accuracy(run: TrainingRun, training: TrainingReport) -> float:
    """The accuracy of `run` that is held against the threshold."""
    return run.best_accuracy if training.counted_epoch == "best" else run.final_accuracy


def counted_run(training: TrainingReport) -> TrainingRun | None:
    """The run whose accuracy decides, or None if there is none."""
    return max(training.runs, key=lambda run: counted_accuracy(run, training), default=None)


def run_end(run: TrainingRun) -> str:
    """How a run ended, in a few words."""
    last = len(run.epochs)
    if run.diverged:
        return f"diverged after epoch {last}"
    if run.stopped_early:
        return f"stopped early after epoch {last}"
    return "complete"


def interval_sentence(training: TrainingReport) -> str:
    """What chance can do to the measured accuracy, and so to the verdict."""
    low, high = (percentage(bound) for bound in training.interval)
    interval = (
        f"On {count(training.test_examples)} test images, the 95% Wilson interval of "
        f"{percentage(training.accuracy)} runs from {low} to {high}, and the wanted "
        f"{percentage(training.threshold)} lies"
    )
    if training.borderline:
        return f"{interval} inside it: chance may have decided. A person should look at the runs."
    return f"{interval} outside it: chance alone does not explain this verdict."


def reported_sentence(training: TrainingReport) -> str:
    """The student's own figure beside the grader's; empty if there is none."""
    if training.reported_accuracy is None:
        return ""
    sentence = (
        f"The student reports {percentage(training.reported_accuracy)}; "
        f"the grader reproduced {percentage(training.accuracy)}."
    )
    if training.reported_differs:
        sentence += (
            " That is further apart than chance explains. It costs no points by itself, but a "
            "person should ask why."
        )
    return sentence


def quiet_summary(checks: list[CheckResult]) -> str:
    """How many of the checks that found no fault ended in each way: "3 passed, 1 not graded"."""
    outcomes = [check.outcome for check in checks]
    return ", ".join(
        f"{outcomes.count(outcome)} {label}"
        for outcome, label in OUTCOME_LABELS.items()
        if outcome in outcomes
    )


def deciding_check(item: ItemResult) -> CheckResult | None:
    """The first check that failed or could not be made, or None."""
    bad = (Outcome.FAILED, Outcome.ERROR)
    return next((check for check in item.checks if check.outcome in bad), None)


def items_that_fell_short(result: SubmissionResult) -> list[ItemResult]:
    """The items that failed or ended in an error, in order."""
    return [item for item in result.items() if item.outcome in {Outcome.FAILED, Outcome.ERROR}]


def attention_heading(result: SubmissionResult) -> str:
    """How many items need work: "3 items fell short, 1 could not be graded"."""
    outcomes = [item.outcome for item in items_that_fell_short(result)]
    failed, errors = outcomes.count(Outcome.FAILED), outcomes.count(Outcome.ERROR)
    noun = "item" if (failed or errors) == 1 else "items"
    if failed and errors:
        return f"{failed} {noun} fell short, {errors} could not be graded"
    if errors:
        return f"{errors} {noun} could not be graded"
    if failed:
        return f"{failed} {noun} fell short"
    return "Nothing fell short" if result.complete else "Nothing fell short of what was graded"


def items_that_await_a_person(result: SubmissionResult) -> list[ItemResult]:
    """The items that a person must grade, in order."""
    return [item for item in result.items() if item.outcome is Outcome.PENDING]


def doubtful_items(result: SubmissionResult) -> list[ItemResult]:
    """The items whose automatic verdict a person should look at, in order."""
    return [item for item in result.items() if doubts(item)]


def doubts(item: ItemResult) -> list[str]:
    """Why a person should look at an automatic verdict, a few words each."""
    reasons = []
    if item.training is not None and item.training.borderline:
        reasons.append("borderline accuracy")
    if item.training is not None and item.training.reported_differs:
        reasons.append("reported accuracy not reproduced")
    return reasons
