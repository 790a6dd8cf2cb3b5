"""Compare each student's grade with the one before it: points, items and checks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from grader.cohort.store import Store
from grader.cohort.summary import ItemSummary, StudentSummary
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
    """Yield every student whose grade now differs from the grade before, by id.

    The grade before is that of the grading before the newest one, with people's judgements; if it
    is the same, that before people's last judgement, decision or change of a rubric.
    """
    for current in store.current():
        *earlier, newest = store.states(current.summary.student.id)
        befores = [states[-1] for states in earlier[-1:]]
        # The automatic state of a new grading counts for the moment before it is published.
        befores += newest[-2:-1] if len(newest) > 2 or not earlier else []
        changes = (_change(before.summary, current.summary) for before in befores)
        change = next(filter(None, changes), None)
        if change is not None:
            yield change


def _change(before: StudentSummary, after: StudentSummary) -> GradeChange | None:
    items = tuple(_changed_items(before, after))
    reason = _other_reason(before, after)
    if not items and not reason and points_of(before) == points_of(after):
        return None
    return GradeChange(
        student=after.student,
        graded_at=after.graded_at,
        before=points_of(before),
        after=points_of(after),
        reason=reason,
        items=items,
    )


def points_of(summary: StudentSummary) -> float | None:
    """Return a student's points after the late policy, or None without a grade."""
    return summary.final_points if summary.has_points else None


def _other_reason(before: StudentSummary, after: StudentSummary) -> str:
    reasons = []
    if before.status is not after.status:
        reasons.append(f"{before.status} → {after.status}")
    if before.late.penalty_points != after.late.penalty_points:
        reasons.append(
            f"late penalty {before.late.penalty_points:g} → {after.late.penalty_points:g}"
        )
    reasons += [text for text in after.decisions if text not in before.decisions]
    reasons += [f"no more: {text}" for text in before.decisions if text not in after.decisions]
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
