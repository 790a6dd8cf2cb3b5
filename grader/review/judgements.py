"""What people find in written answers, and what that makes of an automatic result."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from grader.assignment.records import Rubric
from grader.results import (
    CheckResult,
    ItemResult,
    Outcome,
    PartResult,
    PersonalGrade,
    ProblemResult,
    RubricMark,
    Score,
    SubmissionResult,
    worst,
)

LONGEST_COMMENT = 10_000
"""Characters."""


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """How one person graded one answer. The points follow from it and the rubric of the day.

    Attributes:
        grader: the name of who judged.
        rubric_items: the ids of what was found.
        adjustment: points beside the rubric's, for what it does not foresee.
        comment: to the student, in Markdown.
        flagged: somebody should look at it again.
        answer_sha256: of the answer that was judged; another answer needs another judgement.
        judged_at: ISO 8601, UTC.
    """

    grader: str
    rubric_items: tuple[str, ...] = ()
    adjustment: float = 0.0
    comment: str = ""
    flagged: bool = False
    answer_sha256: str
    judged_at: str

    def same_grade(self, other: Judgement) -> bool:
        """Whether both find the same, whoever judged and when."""
        return self == replace(other, grader=self.grader, judged_at=self.judged_at)


def points_of(judgement: Judgement, rubric: Rubric, possible: float) -> float:
    """The points that a judgement is worth, from 0 to `possible`."""
    start = possible if rubric.starts_full else 0.0
    found = (item.points for item in rubric.items if item.id in judgement.rubric_items)
    return min(max(start + sum(found) + judgement.adjustment, 0.0), possible)


def apply_judgements(
    result: SubmissionResult,
    judgements: Mapping[str, Judgement],
    rubrics: Mapping[str, Rubric],
) -> SubmissionResult:
    """The result with the points and comments that people gave.

    Args:
        result: as the automatic grading left it.
        judgements: by item id, of the answers in this result.
        rubrics: by item id.

    Returns:
        The result with every judged written item decided; all others are as they were.
    """
    problems = tuple(_apply_to_problem(problem, judgements, rubrics) for problem in result.problems)
    return replace(
        result, problems=problems, score=Score.total([problem.score for problem in problems])
    )


def _apply_to_problem(
    problem: ProblemResult, judgements: Mapping[str, Judgement], rubrics: Mapping[str, Rubric]
) -> ProblemResult:
    parts = tuple(_apply_to_part(part, judgements, rubrics) for part in problem.parts)
    return replace(problem, parts=parts, score=Score.total([part.score for part in parts]))


def _apply_to_part(
    part: PartResult, judgements: Mapping[str, Judgement], rubrics: Mapping[str, Rubric]
) -> PartResult:
    items = tuple(
        judge_item(item, judgements[item.id], rubrics[item.id])
        if item.id in judgements and is_for_a_person(item)
        else item
        for item in part.items
    )
    return replace(
        part,
        items=items,
        outcome=worst([item.outcome for item in items]),
        score=Score.total([item.score for item in items]),
    )


def is_for_a_person(item: ItemResult) -> bool:
    """Whether a person may grade the item: written, and not left out of the grading."""
    return item.kind == "written" and item.outcome in {Outcome.PENDING, Outcome.FAILED}


def judge_item(item: ItemResult, judgement: Judgement, rubric: Rubric) -> ItemResult:
    """A written item with a person's points: passed with all of them, failed with less.

    The judgement stands in the place of the automatic checks, which only looked for an answer.
    """
    possible = item.score.possible
    earned = points_of(judgement, rubric, possible)
    outcome = Outcome.PASSED if earned >= possible else Outcome.FAILED
    judged = CheckResult(
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
        checks=(judged,),
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
