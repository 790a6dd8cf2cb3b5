"""What being late cost: a plain, frozen record."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, kw_only=True)
class Lateness:
    """What the late policy made of the points.

    Attributes:
        submitted_at: ISO 8601 with its offset, or empty if it is not known.
        due_at: the due time that held for this student, in the same form; empty without a late
            policy.
        days_late: begun days after the due time and the grace; 0 in time.
        penalty_points: taken off the points earned so far.
        share_kept: of the earned points, 0 to 1, whatever a person still adds to them.
        reason: in words; empty where nothing was taken off and nothing is unclear.
        needs_person: the platform says late, but not when, so that no penalty was taken.
    """

    submitted_at: str = ""
    due_at: str = ""
    days_late: int = 0
    penalty_points: float = 0.0
    share_kept: float = 1.0
    reason: str = ""
    needs_person: bool = False

    def applied_to(self, earned_points: float) -> tuple[float, Lateness]:
        """The final points, and the same lateness with the points that it took off."""
        final_points = earned_points * self.share_kept
        return final_points, replace(self, penalty_points=earned_points - final_points)
