"""The agreement of two people who graded the same answers independently."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from grader.assignment.records import Assignment
from grader.review.judgements import points_of
from grader.review.queue import read_groups
from grader.review.rubrics import rubric_in_force
from grader.review.store import COMPARED, SECOND, ReviewStore


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """The numbers of answers to one item that were graded twice, and of those with equal points.

    `kappa` is Cohen's, or None if undefined; `differing` has the digest and both points of answers.
    """

    item_id: str
    answers: int
    same: int
    kappa: float | None
    differing: tuple[tuple[str, float, float], ...]


def measure_agreement(store: ReviewStore, assignment: Assignment, item_id: str) -> Agreement:
    """Compare both readings of the answers to one item."""
    rubric = rubric_in_force(store, assignment, item_id)
    possible = dict(assignment.item_ids())[item_id].points

    def points(reading: int) -> dict[str, float]:
        return {
            group.sha256: points_of(group.judgement, rubric, possible)
            for group in read_groups(store, item_id, reading=reading)
            if group.judgement is not None
        }

    second = points(SECOND)
    pairs = [
        (sha256, first, second[sha256])
        for sha256, first in points(COMPARED).items()
        if sha256 in second
    ]
    differing = tuple((sha256, first, other) for sha256, first, other in pairs if first != other)
    return Agreement(
        item_id=item_id,
        answers=len(pairs),
        same=len(pairs) - len(differing),
        kappa=cohens_kappa([(first, other) for _, first, other in pairs]),
        differing=differing,
    )


def cohens_kappa(pairs: Sequence[tuple[float, float]]) -> float | None:
    """Return the agreement of two people beyond chance: 1 is perfect, 0 is chance.

    J. Cohen, A coefficient of agreement for nominal scales, 1960: (p_o - p_e) / (1 - p_e), with
    the observed share of agreement p_o, and p_e that of two people who draw at random from their
    own frequencies. None without pairs, or if both people only ever gave one and the same value.
    """
    if not pairs:
        return None
    total = len(pairs)
    first = Counter(pair[0] for pair in pairs)
    second = Counter(pair[1] for pair in pairs)
    observed = sum(a == b for a, b in pairs) / total
    expected = sum(first[category] * second[category] for category in first) / total**2
    return None if expected == 1 else (observed - expected) / (1 - expected)
