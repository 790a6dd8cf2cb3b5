"""Classes of any size for the class page: varied students, each made of real results' items."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from grader.cohort.summary import ItemSummary, Status, StudentSummary, summarize_items
from grader.grading.items.chance import wilson_interval
from grader.intake.students import Student
from grader.results import Lateness, Outcome, Score
from tests.support.result_sample_items import TEST_EXAMPLES, score_of
from tests.support.result_samples import broken_result, good_result

FIRST_NAMES = ("Ada", "Blaise", "Chien-Shiung", "Dorothy", "Emmy", "Grace", "José", "Sofia", "Zoë")
LAST_NAMES = ("Bernoulli", "Çelik", "Franklin", "Hopper", "Lovelace", "Nguyễn", "O'Neill", "Wu")
ERROR_MESSAGE = "the machine ran out of memory while 2E was trained"
UNUSABLE_MESSAGE = "none of the assignment's files was submitted (there is essay.docx)"


def make_summaries(count: int, *, seed: int = 0, practice: bool = False) -> list[StudentSummary]:
    """A class, always the same for the same arguments.

    Of every 30 students one ended in an error, one handed in nothing of use, and one nothing at
    all; the fourth was late, the fifth at an unknown time.
    """
    generator = random.Random(seed)
    good, broken = summarize_items(good_result()), summarize_items(broken_result())
    summaries = []
    for number in range(count):
        items = tuple(
            _varied(right, wrong if generator.random() < 0.25 else right, generator)
            for right, wrong in zip(good, broken, strict=True)
        )
        name = f"{generator.choice(FIRST_NAMES)} {generator.choice(LAST_NAMES)}"
        summaries.append(
            summary_of(
                f"s{number:04}",
                name=name,
                email=f"s{number:04}@uni.example",
                practice=practice,
                **({"items": items} | _ending(number % 30, items)),
            )
        )
    return summaries


def summary_of(
    student_id: str,
    *,
    items: Sequence[ItemSummary] = (),
    name: str = "",
    email: str = "",
    **changes: Any,
) -> StudentSummary:
    """The row of a student who was graded, unless `changes` say otherwise."""
    score = Score.total([item.score for item in items])
    fields: dict[str, Any] = {
        "status": Status.GRADED,
        "score": score,
        "final_points": score.earned,
        "folder": student_id,
        "graded_at": "2026-11-25T08:00:00+00:00",
        "items": tuple(items),
    }
    student = Student(id=student_id, name=name, email=email)
    return StudentSummary(student=student, **(fields | changes))


def _ending(turn: int, items: Sequence[ItemSummary]) -> dict[str, Any]:
    """Everything unusual about one of thirty students."""
    score = Score.total([item.score for item in items])
    nothing = {"items": (), "final_points": 0.0, "folder": ""}
    possible = score.possible
    return {
        7: nothing
        | {
            "status": Status.ERROR,
            "message": ERROR_MESSAGE,
            "score": Score(possible=possible, undecided=possible),
        },
        11: nothing
        | {
            "status": Status.UNUSABLE,
            "message": UNUSABLE_MESSAGE,
            "score": Score(possible=possible, lost=possible),
        },
        13: nothing
        | {
            "status": Status.MISSING,
            "message": "nothing was submitted",
            "score": Score(possible=possible, undecided=possible),
        },
        17: {
            "final_points": 0.8 * score.earned,
            "late": Lateness(
                submitted_at="2026-11-22T01:13:00+01:00",
                days_late=2,
                share_kept=0.8,
                penalty_points=0.2 * score.earned,
                reason="2 days late: 20% taken off",
            ),
        },
        19: {"late": Lateness(needs_person=True, reason="marked late, the time is not known")},
    }.get(turn, {})


def _varied(right: ItemSummary, item: ItemSummary, generator: random.Random) -> ItemSummary:
    """The item with an accuracy of its own, if it was trained; `right` is as it should be."""
    threshold = right.threshold
    if item.accuracy is None or threshold is None:
        return item
    accuracy = round(min(0.9975, generator.gauss(threshold + 0.003, 0.004)), 4)
    if generator.random() < 0.02:
        accuracy = 0.1135
    low, high = wilson_interval(accuracy, TEST_EXAMPLES)
    reached = accuracy >= threshold
    outcome = Outcome.PASSED if reached else Outcome.FAILED
    last = replace(
        right.checks[-1],
        outcome=outcome,
        observed="" if reached else f"{100 * accuracy:.2f}% in the best of 10 epochs.",
    )
    return replace(
        item,
        outcome=outcome,
        score=score_of(outcome, item.score.possible),
        checks=(*right.checks[:-1], last),
        accuracy=accuracy,
        threshold=threshold,
        borderline=low < threshold < high,
        reported_differs=generator.random() < 0.03,
        parameters=round(10 ** generator.uniform(4.3, 6.2)),
        likeness=generator.choice(("a", "b", "")) if generator.random() < 0.05 else "",
    )
