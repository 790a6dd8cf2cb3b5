"""A person's last word: other points for an item, a part or the whole, extra points, or "seen".

A decision is kept with the digest of the work that it was about. For other work it does not count,
and the class page asks for it again.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from grader.assignment.records import Assignment
from grader.cohort.summary import StudentSummary, now
from grader.errors import UsageError
from grader.results import (
    Decision,
    ItemResult,
    Lateness,
    Outcome,
    PartResult,
    Score,
    SubmissionResult,
    add_points,
)
from grader.text import clean_line, did_you_mean

TOTAL, EXTRA = "total", "extra"
LONGEST_REASON = 2_000
"""Characters."""


@dataclass(frozen=True, kw_only=True)
class KeptDecision:
    """A decision as it is kept.

    Attributes:
        points: instead of the automatic ones, or added as extra; None for "looked at".
        work_sha256: of the submitted files that it is about; "" without a submission.
    """

    points: float | None
    reason: str
    by: str
    decided_at: str
    work_sha256: str


def make_decision(
    assignment: Assignment,
    result: SubmissionResult | None,
    target: str,
    points: float | None,
    *,
    reason: str,
    by: str,
) -> KeptDecision:
    """Return a decision about an item, a part, `TOTAL` or `EXTRA` of a student's work.

    Raises:
        UsageError: there is no such item, the points are out of range, or the reason is missing.
    """
    possible = _possible_points(assignment, result, target)
    if not reason.strip() or len(reason) > LONGEST_REASON:
        raise UsageError(
            "a decision needs a reason, which the student reads",
            next_step=f"give it with --reason, in 1 to {LONGEST_REASON} characters",
        )
    if points is not None and not math.isfinite(points):
        raise UsageError("the points are not a number", next_step="write such as 2.5")
    if points is not None and target != EXTRA and not 0 <= points <= possible:
        raise UsageError(
            f"{points:g} points are out of range: {target} has 0 to {possible:g}",
            next_step=f"use `{EXTRA}` for points beyond what is possible",
        )
    if result is None and target not in {TOTAL, EXTRA}:
        raise UsageError(
            f"there is no result, so {target} has no points",
            next_step=f"decide about the whole: `{TOTAL}`",
        )
    return KeptDecision(
        points=points,
        reason=" ".join(reason.split()),
        by=by,
        decided_at=now(),
        work_sha256=result.provenance.submission_sha256 if result else "",
    )


def _possible_points(assignment: Assignment, result: SubmissionResult | None, target: str) -> float:
    """Return the maximum points of a target: the result's, which may be by an earlier version."""
    if target in {TOTAL, EXTRA}:
        return result.score.possible if result else assignment.points
    known: dict[str, float] = {}
    if result:
        for part in (part for problem in result.problems for part in problem.parts):
            known[part.id] = part.score.possible
            known |= {item.id: item.score.possible for item in part.items}
    else:
        for own in (part for problem in assignment.problems for part in problem.parts):
            known[own.id] = add_points(item.points for _, item in own.items)
            known |= {item_id: item.points for item_id, item in own.item_ids()}
    if target not in known:
        raise UsageError(
            f"the assignment has no {clean_line(target)!r}{did_you_mean(target, known)}",
            next_step=f"name an item, a part, `{TOTAL}` or `{EXTRA}`: {', '.join(known)}",
        )
    return known[target]


def split_by_work(
    decisions: Mapping[str, KeptDecision], result: SubmissionResult | None
) -> tuple[dict[str, KeptDecision], dict[str, KeptDecision]]:
    """Return the decisions that count for a student's present work, and those about other work."""
    work = result.provenance.submission_sha256 if result else ""
    current = {target: one for target, one in decisions.items() if one.work_sha256 == work}
    outdated = {target: one for target, one in decisions.items() if target not in current}
    return current, outdated


def apply_decisions(
    result: SubmissionResult, decisions: Mapping[str, KeptDecision]
) -> SubmissionResult:
    """Return a result with what a person decided, by target; other points follow."""

    def decide_part(part: PartResult) -> PartResult:
        items = tuple(
            _decide_item(item, decisions[item.id])
            # A part with one item has its id; the item then shows the decision.
            if item.id in decisions
            else item
            for item in part.items
        )
        decided = PartResult.of(part.id, part.title, items)
        is_item = any(item.id == part.id for item in items)
        if part.id not in decisions or is_item:
            return decided
        kept = decisions[part.id]
        decision = _as_decision(kept, decided.score.earned)
        if kept.points is None:
            return replace(decided, decision=decision)
        score, outcome = _decided_score(decided.score.possible, kept.points)
        return replace(decided, decision=decision, score=score, outcome=outcome)

    decided = result.with_parts(decide_part)
    final = (decided.late or Lateness()).final_points(decided.score.earned)
    total, extra = decisions.get(TOTAL), decisions.get(EXTRA)
    return replace(
        decided,
        total=_as_decision(total, final) if total else None,
        extra=_as_decision(extra, 0.0) if extra else None,
    )


def _decide_item(item: ItemResult, kept: KeptDecision) -> ItemResult:
    decision = _as_decision(kept, item.score.earned)
    if kept.points is None:
        return replace(item, decision=decision)
    score, outcome = _decided_score(item.score.possible, kept.points)
    return replace(item, decision=decision, score=score, outcome=outcome)


def _decided_score(possible: float, points: float) -> tuple[Score, Outcome]:
    outcome = Outcome.PASSED if points >= possible else Outcome.FAILED
    return Score(possible=possible, earned=points, lost=possible - points), outcome


def _as_decision(kept: KeptDecision, automatic: float) -> Decision:
    return Decision(
        points=kept.points,
        automatic=automatic,
        reason=kept.reason,
        by=kept.by,
        decided_at=kept.decided_at,
    )


def decide_summary(
    summary: StudentSummary,
    current: Mapping[str, KeptDecision],
    outdated: Mapping[str, KeptDecision],
) -> StudentSummary:
    """Return a student's row with the decisions about the whole, and with all of them in words."""
    total, extra = current.get(TOTAL), current.get(EXTRA)
    return replace(
        summary,
        total=total.points if total else None,
        total_reason=total.reason if total else "",
        extra=(extra.points or 0.0) if extra else 0.0,
        decisions=tuple(_in_words(current.items())),
        outdated_decisions=tuple(_in_words(outdated.items())),
    )


def _in_words(decisions: Iterable[tuple[str, KeptDecision]]) -> Iterable[str]:
    for target, kept in decisions:
        what = "looked at" if kept.points is None else f"{kept.points:g} points"
        if target == EXTRA and kept.points is not None:
            what = f"{kept.points:+g} points"
        yield f"{target}: {what} by {kept.by}, {kept.reason}"
