"""What a person's judgement of a written answer leaves in its result: plain, frozen records."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class RubricMark:
    """One thing that a person found in a written answer, and the points for it."""

    text: str
    points: float


@dataclass(frozen=True, kw_only=True)
class PersonalGrade:
    """How a person graded an item.

    Attributes:
        marks: what was found, in the rubric's order.
        adjustment: points beside the rubric's; 0 for none.
        comment: to the student, in Markdown.
        judged_at: ISO 8601, UTC.
    """

    marks: tuple[RubricMark, ...]
    adjustment: float
    comment: str
    judged_at: str
