"""Numbers and verdicts in words, the same in every report. Every function is a template filter."""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import UTC, datetime
from enum import StrEnum

from grader.results import (
    LEFT_OUT_BY_QUICK,
    CheckResult,
    ItemResult,
    Metric,
    Outcome,
    PartResult,
    ProgramReport,
    Score,
    SourceReport,
    SubmissionResult,
    TrainingReport,
    TrainingRun,
    add_points,
)


class Verdict(StrEnum):
    """An outcome as readers see it: a failure may be a missing answer, or have some points."""

    PASSED = "passed"
    FAILED = "failed"
    PARTLY = "partly"
    UNANSWERED = "unanswered"
    SKIPPED = "skipped"
    PENDING = "pending"
    ERROR = "error"


VERDICT_LABELS = {
    Verdict.PASSED: "passed",
    Verdict.FAILED: "failed",
    Verdict.PARTLY: "partly",
    Verdict.UNANSWERED: "not answered",
    Verdict.SKIPPED: "not graded",
    Verdict.PENDING: "awaits a person",
    Verdict.ERROR: "grader error",
}
FAULTS = (Outcome.FAILED, Outcome.ERROR)

LONGEST_FACT = 600
"""Characters, about eight lines; an exception's message can be far longer."""

_MINUS = "\N{MINUS SIGN}"
_SPACE = "\N{NO-BREAK SPACE}"


def verdict(result: CheckResult | ItemResult | PartResult) -> Verdict:
    """Return the outcome of a check, an item or a part as readers see it."""
    if result.outcome is not Outcome.FAILED:
        return Verdict(result.outcome.value)
    if isinstance(result, CheckResult):
        return Verdict.UNANSWERED if result.unanswered else Verdict.FAILED
    items = result.items if isinstance(result, PartResult) else (result,)
    if result.score.earned or any(item.outcome is Outcome.PENDING for item in items):
        return Verdict.PARTLY
    failed = [item for item in items if item.outcome is Outcome.FAILED]
    if all(item.unanswered for item in failed):
        return Verdict.UNANSWERED
    return Verdict.PARTLY if result.score.pending else Verdict.FAILED


def verdict_label(result: CheckResult | ItemResult | PartResult) -> str:
    """Return the outcome in words: "not answered"."""
    return VERDICT_LABELS[verdict(result)]


def points(value: float) -> str:
    """Return 7.0 as "7" and 2.5 as "2.5"."""
    return f"{round(value, 2):g}"


def signed_points(value: float) -> str:
    """Return 1.5 as "+1.5", and -1.0 as "-1" with a true minus sign."""
    return f"{'+' if value >= 0 else _MINUS}{points(abs(value))}"


def score_line(score: Score) -> str:
    """Return earned, possible and open points: "2 / 8 + 3 pending"."""
    line = f"{points(score.earned)} / {points(score.possible)}"
    if score.pending:
        line += f" + {points(score.pending)} pending"
    if score.undecided:
        line += f" + {points(score.undecided)} undecided"
    return line


def percentage(share: float, decimals: int = 2) -> str:
    """Return 0.975 as "97.50%"."""
    if not math.isfinite(share):
        return "not a number"
    return f"{100 * share:.{decimals}f}%"


def loss(value: float) -> str:
    """Return a cross entropy in four decimals or, if large, in powers of ten."""
    if not math.isfinite(value):
        return "not finite"
    return f"{value:.4f}" if abs(value) < 1000 else f"{value:.2e}"


def count(value: int) -> str:
    """Return 60000 as "60,000"."""
    return f"{value:,}"


def counted(number: int, noun: str) -> str:
    """Return the number with its noun: "1 item", "2,000 items"."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def duration(seconds: float) -> str:
    """Return 4.2 as "4.2 s" and 318.9 as "5 min 19 s"."""
    if seconds < 60:
        return f"{seconds:.1f}{_SPACE}s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}{_SPACE}min {rest}{_SPACE}s"


def rough_duration(seconds: float) -> str:
    """Return a forecast in one unit: "80 s", "12 min" or "2.5 h"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def minute(moment: str) -> str:
    """Return "2026-11-25T08:00:13+00:00" as "2026-11-25 08:00 UTC"."""
    utc = datetime.fromisoformat(moment).astimezone(UTC)
    return f"{utc:%Y-%m-%d %H:%M} UTC"


def shape(sizes: tuple[int, ...]) -> str:
    """Return the sizes with multiplication signs between them."""
    return f"{_SPACE}\N{MULTIPLICATION SIGN}{_SPACE}".join(str(size) for size in sizes)


def counted_run(training: TrainingReport) -> TrainingRun | None:
    """Return the run with the best counted accuracy, or None without runs."""
    best = training.metric.best(map(training.counted, training.runs))
    return next((run for run in training.runs if training.counted(run) == best), None)


def run_verdict(run: TrainingRun, training: TrainingReport) -> str:
    """Return "reached", "below" or "above": what counts of a run against the threshold."""
    if training.is_met_by(run):
        return "reached"
    return "below" if training.metric is Metric.ACCURACY else "above"


def run_end(run: TrainingRun) -> str:
    """Return how a run ended, such as "diverged after epoch 2"."""
    last = len(run.epochs)
    if run.diverged:
        return f"diverged after epoch {last}"
    if run.stopped_early:
        return f"stopped early after epoch {last}"
    return "complete"


def sweep_verdict(agrees: bool | None) -> str:  # noqa: FBT001 - a template filter
    """Return the verdict of a sweep's point in words."""
    return {None: "not judged", True: "agrees", False: "differs"}[agrees]


def interval_sentence(training: TrainingReport) -> str:
    """Return the 95% interval of the counted value, and what it means for the verdict."""
    show = training.metric.show
    low_value, high_value = training.interval
    low, high = show(low_value), show(high_value)
    wilson = "95% Wilson" if training.metric is Metric.ACCURACY else "95%"
    interval = (
        f"On {count(training.test_examples)} test examples, the {wilson} interval of "
        f"{show(training.accuracy)} runs from {low} to {high}"
    )
    if training.borderline and hangs_on_one_seed(training):
        met = f"Only 1 of {len(training.runs)} seeds met the threshold."
        return f"{interval}. {met} A person should look at the runs."
    threshold = f"and the threshold of {show(training.threshold)} lies"
    if training.borderline:
        doubt = "inside it: chance may have decided. A person should look at the runs."
        return f"{interval}, {threshold} {doubt}"
    if training.metric.is_met(training.accuracy, training.threshold):
        return f"{interval}."
    if low_value <= training.threshold <= high_value:
        return f"{interval}, {threshold} inside it."
    side = "above" if training.metric is Metric.ACCURACY else "below"
    return f"{interval}, {threshold} {side} it."


def hangs_on_one_seed(training: TrainingReport) -> bool:
    """Return True if one of several seeds met the threshold, and the others did not."""
    return sum(map(training.is_met_by, training.runs)) == 1 < len(training.runs)


def reported_sentence(training: TrainingReport) -> str:
    """Return the student's figure beside the grader's; empty if the student reports none."""
    if training.reported_accuracy is None:
        return ""
    show = training.metric.show
    sentence = (
        f"The student reports {show(training.reported_accuracy)}; "
        f"the grader reproduced {show(training.accuracy)}."
    )
    if training.reported_differs:
        sentence += (
            " Chance does not explain the difference. It costs no points by itself, but a person "
            "should ask about it."
        )
    return sentence


def faults(checks: Iterable[CheckResult]) -> list[CheckResult]:
    """Return the checks that failed or could not be made."""
    return [check for check in checks if check.outcome in FAULTS]


def open_questions(checks: Iterable[CheckResult]) -> list[CheckResult]:
    """Return the checks that the grader leaves to a person.

    A written answer has none: it is always read by a person, and the student has nothing to do.
    """
    return [check for check in checks if check.outcome is Outcome.PENDING and check.next_step]


def checks_to_act_on(checks: Iterable[CheckResult]) -> list[CheckResult]:
    """Return the checks that failed, could not be made, or are left to a person."""
    checks = list(checks)
    return [*faults(checks), *open_questions(checks)]


def other_checks(checks: Iterable[CheckResult]) -> list[CheckResult]:
    """Return the checks on which nobody need act."""
    checks = list(checks)
    to_act_on = checks_to_act_on(checks)
    return [check for check in checks if check not in to_act_on]


def facts(check: CheckResult) -> list[tuple[str, str]]:
    """Return the known facts of a check with their names, in the order to read them."""
    named = (
        ("observed", check.observed),
        ("expected", check.expected),
        ("next step", check.next_step),
        ("where", check.location),
    )
    return [(name, text) for name, text in named if text]


def shortened(text: str, longest: int = LONGEST_FACT) -> str:
    """Return a text for readers who have the report too."""
    if len(text) <= longest:
        return text
    return f"{text[:longest]} … (the report has the whole text)"


def quiet_summary(checks: list[CheckResult]) -> str:
    """Return how many checks there are of each outcome: "3 passed, 1 not graded"."""
    verdicts = [verdict(check) for check in checks]
    return ", ".join(
        f"{verdicts.count(each)} {label}"
        for each, label in VERDICT_LABELS.items()
        if each in verdicts
    )


def worth(check: CheckResult) -> str:
    """Return the points that a check is worth by itself, "2 points", or ""."""
    return "" if check.score is None else _count_points(check.score.possible)


def _count_points(value: float) -> str:
    return f"{points(value)} point{'' if value == 1 else 's'}"


def tests_of(item: ItemResult) -> list[CheckResult]:
    """Return the checks of an item that give points of their own: the author's tests."""
    return [check for check in item.checks if check.score is not None]


def tests_sentence(item: ItemResult) -> str:
    """Return how many of an item's tests passed: "3 of 5 tests passed"; "" if it has none."""
    tests = tests_of(item)
    passed = sum(check.outcome is Outcome.PASSED for check in tests)
    return f"{passed} of {counted(len(tests), 'test')} passed" if tests else ""


def deciding_check(item: ItemResult) -> CheckResult | None:
    """Return the first check that failed, could not be made, or is left to a person, or None."""
    return next(iter(checks_to_act_on(item.checks)), None)


def capitalized(text: str) -> str:
    """Return a text with its first letter as a capital."""
    return text[:1].upper() + text[1:]


def program_sentence(program: ProgramReport) -> str:
    """Return what a program was found to train."""
    if program.library:
        return f"It trains with {program.library}; the grader reads PyTorch only."
    if not program.trainings:
        return "It trains no model, so far as it could be run."
    return (
        "It ran with stand-ins for data and training, and the grader trains what it would have "
        f"trained: {counted(len(program.trainings), 'training')} in all."
    )


def source_sentence(source: SourceReport) -> str:
    """Return which training of a program was taken."""
    return f"Trained from {source.location}: {source.recipe}."


def items_that_fell_short(result: SubmissionResult) -> list[ItemResult]:
    """Return the items that failed or ended in an error, those that cost most first.

    Items that are not answered yet are not among them.
    """
    short = [item for item in result.items() if item.outcome in FAULTS and not item.unanswered]
    return sorted(short, key=lambda item: -(item.score.lost + item.score.undecided))


def items_to_answer(result: SubmissionResult) -> list[ItemResult]:
    """Return the items that are not answered yet, in order."""
    return [item for item in result.items() if item.unanswered]


def unanswered_points(result: SubmissionResult) -> float:
    """Return the points of the items that are not answered yet."""
    return add_points(item.score.lost for item in items_to_answer(result))


def items_ready_to_train(result: SubmissionResult) -> list[ItemResult]:
    """Return the models that pass every check of --quick, so that only their training is left."""
    return [
        item
        for item in result.items()
        if item.architecture
        and item.outcome is Outcome.SKIPPED
        and item.checks
        and item.checks[-1].observed == LEFT_OUT_BY_QUICK
    ]


def rules_met(item: ItemResult) -> str:
    """Return a model's size against its limits: "hidden units: …, at most 100"."""
    sizes = [] if item.parameters is None else [counted(item.parameters, "parameter")]
    if item.forecast_seconds:
        sizes.append(f"about {rough_duration(max(item.forecast_seconds, 1.0))} of training a seed")
    sizes += [
        f"{check.title.lower()}: {check.observed}, {check.expected.partition(' (')[0]}"
        for check in item.checks
        if check.expected.startswith(("at most", "fewer than")) and check.id != "work"
    ]
    return "; ".join(sizes)


def to_answer_heading(result: SubmissionResult) -> str:
    """Return how many items are not answered yet, with their points."""
    items = items_to_answer(result)
    verb = "is" if len(items) == 1 else "are"
    lost = _count_points(unanswered_points(result))
    return f"{counted(len(items), 'item')} {verb} not answered yet ({lost})"


def attention_heading(result: SubmissionResult) -> str:
    """Return how many items need work: "3 items fell short, 1 could not be graded"."""
    outcomes = [item.outcome for item in items_that_fell_short(result)]
    failed, errors = outcomes.count(Outcome.FAILED), outcomes.count(Outcome.ERROR)
    if failed and errors:
        return f"{counted(failed, 'item')} fell short, {errors} could not be graded"
    if errors:
        return f"{counted(errors, 'item')} could not be graded"
    if failed:
        return f"{counted(failed, 'item')} fell short"
    if items_to_answer(result):
        return "Nothing of what is answered fell short"
    return "Nothing fell short" if result.complete else "Nothing fell short of what was graded"


def items_with_questions(result: SubmissionResult) -> list[ItemResult]:
    """Return the items of which something could not be read, so that a person must look."""
    return [
        item
        for item in result.items()
        if item.outcome is Outcome.PENDING and open_questions(item.checks)
    ]


def items_that_await_a_person(result: SubmissionResult) -> list[ItemResult]:
    """Return the items that a person must grade, in order."""
    return [item for item in result.items() if item.outcome is Outcome.PENDING]


def doubtful_items(result: SubmissionResult) -> list[ItemResult]:
    """Return the items with an automatic verdict that a person should check, in order."""
    return [item for item in result.items() if doubts(item)]


def doubts(item: ItemResult) -> list[str]:
    """Return the reasons to check an automatic verdict, a few words each."""
    reasons = []
    if item.training is not None and item.training.borderline:
        one_met = hangs_on_one_seed(item.training)
        reasons.append("met by one seed only" if one_met else "borderline accuracy")
    if item.training is not None and item.training.reported_differs:
        reasons.append("reported accuracy not reproduced")
    return reasons
