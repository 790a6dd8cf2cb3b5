"""How far two people who graded the same answers independently agree."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from grader.assignment.records import Assignment
from grader.cohort.store import Store
from grader.review.answers import written_items
from grader.review.judgements import points_of
from grader.review.ledger import COMPARED, SECOND
from grader.review.queue import read_groups
from grader.review.rubrics import rubric_in_force


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """Two readings of the answers to one item.

    Attributes:
        answers: how many were graded twice.
        same: on how many both give the same points.
        kappa: Cohen's, of the points given, or None where it is not defined.
        differing: the digests of answers with different points, and both points.
    """

    item_id: str
    answers: int
    same: int
    kappa: float | None
    differing: tuple[tuple[str, float, float], ...]


def measure_agreement(store: Store, assignment: Assignment, item_id: str) -> Agreement:
    """The agreement on one item, over the answers that have two readings."""
    rubric = rubric_in_force(store, assignment, item_id)
    possible = written_items(assignment)[item_id].points
    second = {
        group.sha256: group.judgement
        for group in read_groups(store, item_id, reading=SECOND)
        if group.judgement is not None
    }
    pairs = {
        group.sha256: (
            points_of(group.judgement, rubric, possible),
            points_of(second[group.sha256], rubric, possible),
        )
        for group in read_groups(store, item_id, reading=COMPARED)
        if group.judgement is not None and group.sha256 in second
    }
    return Agreement(
        item_id=item_id,
        answers=len(pairs),
        same=sum(first == other for first, other in pairs.values()),
        kappa=cohens_kappa(list(pairs.values())),
        differing=tuple(
            (sha256, first, other) for sha256, (first, other) in pairs.items() if first != other
        ),
    )


def cohens_kappa(pairs: Sequence[tuple[float, float]]) -> float | None:
    """Agreement beyond chance of two people's categories: 1 is perfect, 0 is chance.

    J. Cohen, A coefficient of agreement for nominal scales, 1960: (p_o - p_e) / (1 - p_e), with
    the observed share of agreement p_o and p_e, that of two who draw from their own frequencies.

    Returns:
        kappa, or None without pairs, or where both only ever gave one and the same category.
    """
    if not pairs:
        return None
    total = len(pairs)
    first = Counter(pair[0] for pair in pairs)
    second = Counter(pair[1] for pair in pairs)
    observed = sum(a == b for a, b in pairs) / total
    expected = sum(first[category] * second[category] for category in first) / total**2
    return None if expected == 1 else (observed - expected) / (1 - expected)
