"""What being late cost: a plain, frozen record."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Lateness:
    """What the late policy made of the points.

    Attributes:
        submitted_at: ISO 8601 with its offset, or empty if it is not known.
        due_at: the due time that held, in the same form; empty without a late policy.
        days_late: begun days after the due time and the grace; 0 in time.
        penalty_points: taken off the earned points.
        reason: in words; empty where nothing was taken off.
        needs_person: a person must decide, because the time is not known.
        share_kept: of the earned points, 0 to 1, whatever a person still adds to them.
    """

    submitted_at: str = ""
    due_at: str = ""
    days_late: int = 0
    penalty_points: float = 0.0
    share_kept: float = 1.0
    reason: str = ""
    needs_person: bool = False
