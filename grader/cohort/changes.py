"""Compare each student's two newest gradings: points, items and checks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from grader.cohort.store import Store
from grader.cohort.summary import ItemSummary, Status, StudentSummary
from grader.intake.students import Student


@dataclass(frozen=True, kw_only=True)
class ItemChange:
    """One item whose points or outcome changed, such as from "passed, 4 points" to "".

    A check with another outcome reads "accuracy: passed → failed".
    """

    id: str
    before: str
    after: str
    checks: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class GradeChange:
    """One student whose grade changed, from the points before to the points after.

    Points are those after the late policy, or None without a grade. `reason` names other changes
    than the items', such as the status.
    """

    student: Student
    graded_at: str
    before: float | None
    after: float | None
    reason: str
    items: tuple[ItemChange, ...]

    @property
    def difference(self) -> float:
        """The difference in points; a missing grade counts as 0."""
        return (self.after or 0.0) - (self.before or 0.0)


def changed_grades(store: Store) -> Iterator[GradeChange]:
    """Yield every student whose newest grading differs from the one before it, by id."""
    for current in store.automatic():
        history = store.history(current.summary.student.id)
        if len(history) < 2:
            continue
        before, after = history[-2].summary, history[-1].summary
        items = tuple(_changed_items(before, after))
        reason = _other_reason(before, after)
        if items or reason or points_of(before) != points_of(after):
            yield GradeChange(
                student=after.student,
                graded_at=after.graded_at,
                before=points_of(before),
                after=points_of(after),
                reason=reason,
                items=items,
            )


def points_of(summary: StudentSummary) -> float | None:
    """Return a student's points after the late policy, or None without a grade."""
    graded = summary.status in {Status.GRADED, Status.UNUSABLE}
    return summary.final_points if graded else None


def _other_reason(before: StudentSummary, after: StudentSummary) -> str:
    reasons = []
    if before.status is not after.status:
        reasons.append(f"{before.status} → {after.status}")
    if before.late.penalty_points != after.late.penalty_points:
        reasons.append(
            f"late penalty {before.late.penalty_points:g} → {after.late.penalty_points:g}"
        )
    return ", ".join(reasons)


def _changed_items(before: StudentSummary, after: StudentSummary) -> Iterator[ItemChange]:
    earlier = {item.id: item for item in before.items}
    later = {item.id: item for item in after.items}
    for item_id in {**earlier, **later}:
        old, new = earlier.get(item_id), later.get(item_id)
        if _describe(old) != _describe(new):
            yield ItemChange(
                id=item_id,
                before=_describe(old),
                after=_describe(new),
                checks=tuple(_changed_checks(old, new)),
            )


def _describe(item: ItemSummary | None) -> str:
    return f"{item.outcome}, {item.score.earned:g} points" if item else ""


def _changed_checks(old: ItemSummary | None, new: ItemSummary | None) -> Iterator[str]:
    earlier = {check.id: check for check in old.checks} if old else {}
    later = {check.id: check for check in new.checks} if new else {}
    for check_id, check in {**earlier, **later}.items():
        was = earlier[check_id].outcome if check_id in earlier else "not checked"
        now = later[check_id].outcome if check_id in later else "not checked"
        if was != now:
            observed = later[check_id].observed if check_id in later else ""
            yield f"{check.title}: {was} → {now}" + (f" ({observed})" if observed else "")
