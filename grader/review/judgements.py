"""A person's judgement of an answer, and its effect on an automatic result."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from grader.assignment.records import Rubric, record_of
from grader.results import (
    CheckResult,
    ItemResult,
    Outcome,
    PartResult,
    PersonalGrade,
    RubricMark,
    Score,
    SubmissionResult,
)

LONGEST_COMMENT = 10_000
"""Characters."""


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """One person's judgement of one answer. Its points follow from the rubric in force.

    Attributes:
        rubric_items: ids.
        adjustment: points that no rubric item gives.
        comment: Markdown.
        flagged: the answer needs another look.
        request: why the student asked to have it graded again; the points count until somebody has.
        judged_at: ISO 8601, UTC.
    """

    grader: str
    rubric_items: tuple[str, ...] = ()
    adjustment: float = 0.0
    comment: str = ""
    flagged: bool = False
    request: str = field(default="", metadata={"digested": "if set"})
    answer_sha256: str
    judged_at: str


def parse_points(text: str) -> float:
    """Return points with a decimal point or comma; 0 if empty, NaN if not a number."""
    try:
        return float(text.replace(",", ".") or 0)
    except ValueError:
        return math.nan


def points_of(judgement: Judgement, rubric: Rubric, possible: float) -> float:
    """Return the points that a judgement is worth, from 0 to `possible`."""
    start = possible if rubric.starts_full else 0.0
    found = (item.points for item in rubric.items if item.id in judgement.rubric_items)
    return min(max(start + sum(found) + judgement.adjustment, 0.0), possible)


def apply_judgements(
    result: SubmissionResult,
    judgements: Mapping[str, Judgement],
    rubrics: Mapping[str, Rubric],
) -> SubmissionResult:
    """Return an automatic result with people's points and comments; both mappings by item id."""

    def judge_part(part: PartResult) -> PartResult:
        items = (
            judge_item(item, judgements[item.id], rubrics[item.id])
            if item.id in judgements and item.id in rubrics and can_be_judged(item)
            else item
            for item in part.items
        )
        return PartResult.of(part.id, part.title, tuple(items))

    return result.with_parts(judge_part)


def can_be_judged(item: ItemResult) -> bool:
    """Return True if the item is written and was not left out, or was left to a person."""
    by_person = record_of(item.kind).graded_by_person
    return item.outcome is Outcome.PENDING or (by_person and item.outcome is Outcome.FAILED)


def judge_item(item: ItemResult, judgement: Judgement, rubric: Rubric) -> ItemResult:
    """Return an item with a person's points: passed with all of them, else failed.

    The judgement replaces the automatic checks, which did not decide.
    """
    possible = item.score.possible
    earned = points_of(judgement, rubric, possible)
    outcome = Outcome.PASSED if earned >= possible else Outcome.FAILED
    check = CheckResult(
        id="judged",
        title="Graded by a person",
        outcome=outcome,
        observed=f"{earned:g} of {possible:g} points",
        next_step="" if outcome is Outcome.PASSED else "read what was found and the comment",
    )
    return replace(
        item,
        outcome=outcome,
        score=Score(possible=possible, earned=earned, lost=possible - earned),
        checks=(check,),
        personal=PersonalGrade(
            marks=tuple(
                RubricMark(text=found.text, points=found.points)
                for found in rubric.items
                if found.id in judgement.rubric_items
            ),
            adjustment=judgement.adjustment,
            comment=judgement.comment,
            judged_at=judgement.judged_at,
        ),
    )
