"""What being late costs: due date, grace, a penalty for each day, and extensions from the roster.

The penalty is a fraction of the points *earned*: it takes the same share from everybody, needs no
points possible, and never makes a score negative. The score before it is always kept.

A day ends at the same time of day in the due date's time zone, so that a clock change makes nobody
later than the calendar says.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from grader.errors import UsageError
from grader.intake.students import Student
from grader.results import Lateness
from grader.text import clean_line

DUE_HEADERS = ("due", "due date", "due_date", "extended to", "extended_to")
DAYS_HEADERS = ("extension_days", "extension days", "extra days", "extra_days")
EITHER_HEADERS = ("extension",)
"""Columns of the roster that move one student's due date: to a time, by days, or either."""

MAXIMUM_EXTENSION_DAYS = 366

_END_OF_DAY = time(23, 59, 59)
_DAYS = re.compile(r"\+?(\d+(?:[.,]\d+)?)\s*(?:d|days?)?", re.IGNORECASE)
_LOCAL_TIMEZONE_FILE = Path("/etc/localtime")


@dataclass(frozen=True, kw_only=True)
class LatePolicy:
    """The rules of one assignment.

    Attributes:
        due: with its time zone.
        grace: after the due date, still in time. Days are counted from its end.
        penalty_per_day: fraction of the earned points that each begun day takes, 0 to 1.
        floor: fraction of the earned points that is left however late, 0 to 1.
        maximum_days: later than that there are no points at all; None for no such limit.
    """

    due: datetime
    grace: timedelta = timedelta()
    penalty_per_day: float = 0.0
    floor: float = 0.0
    maximum_days: int | None = None

    def __post_init__(self) -> None:
        if self.due.tzinfo is None:
            raise ValueError("due needs a time zone")
        mistakes = [
            f"{name} is a fraction from 0 to 1, not {value:g}"
            for name, value in (("penalty per day", self.penalty_per_day), ("floor", self.floor))
            if not 0 <= value <= 1
        ]
        if self.grace < timedelta():
            mistakes.append("the grace is negative")
        if self.maximum_days is not None and self.maximum_days < 0:
            mistakes.append("the maximum of days is negative")
        if mistakes:
            raise UsageError(
                f"the late policy is wrong: {'; '.join(mistakes)}",
                next_step="write 0.1 for a tenth",
            )

    def due_for(self, student: Student) -> datetime:
        """The due date with the student's extension.

        Raises:
            UsageError: the roster's extension cannot be understood.
        """
        columns = {
            " ".join(name.casefold().split()): text for name, text in student.columns.items()
        }
        given = [
            (header, columns[header].strip())
            for header in (*DUE_HEADERS, *DAYS_HEADERS, *EITHER_HEADERS)
            if columns.get(header, "").strip()
        ]
        if len(given) > 1:
            named = " and ".join(header for header, _ in given)
            raise UsageError(
                f"{student.id} has {len(given)} extensions: {named}",
                next_step="leave one of these cells of the roster empty",
            )
        return self._extended(student, *given[0]) if given else self.due

    def _extended(self, student: Student, header: str, text: str) -> datetime:
        days = None if header in DUE_HEADERS else _read_days(text)
        if days is not None:
            return self.due + timedelta(days=days)
        if header in DAYS_HEADERS:
            raise UsageError(
                f"the {header} of {student.id} is no number of days: {clean_line(text)[:80]}",
                next_step="write 2 for two more days",
            )
        return read_time(text, self.due.tzinfo, what=f"the {header} of {student.id}")

    def check_extensions(self, students: Iterable[Student]) -> None:
        """Read every student's extension.

        Raises:
            UsageError: some cannot be understood; all of them are reported at once.
        """
        mistakes = []
        for student in students:
            try:
                self.due_for(student)
            except UsageError as error:
                mistakes.append(f"  - {error}")
        if mistakes:
            raise UsageError(
                "the roster has extensions that cannot be understood:\n" + "\n".join(mistakes),
                next_step="write a date such as 2026-03-01 23:59, or a number of days",
            )


def judge(
    policy: LatePolicy,
    student: Student,
    submitted_at: datetime | None,
    *,
    late: bool | None = None,
) -> Lateness:
    """What being late costs, whatever the points are.

    Args:
        policy: the rules.
        student: with the roster's columns, which may extend the due date.
        submitted_at: naive times are read in the due date's zone; None if it is not known.
        late: the platform's mark, of use only where the time is not known.

    Raises:
        UsageError: the roster's extension cannot be understood.
    """
    due = policy.due_for(student)
    due_at = due.isoformat(timespec="seconds")
    if submitted_at is None:
        reason = ""
        if late:
            reason = "marked late, but nothing says when it was handed in"
        elif late is None:
            reason = "nothing says when it was handed in, so it counts as in time"
        return Lateness(due_at=due_at, reason=reason, needs_person=late is True)
    if submitted_at.tzinfo is None:
        submitted_at = submitted_at.replace(tzinfo=policy.due.tzinfo)
    days = days_late(due, policy.grace, submitted_at)
    kept, reason = _share_kept(policy, days)
    extended = f" (extended to {due:%Y-%m-%d %H:%M %Z})" if due != policy.due else ""
    return Lateness(
        submitted_at=submitted_at.isoformat(timespec="seconds"),
        due_at=due_at,
        days_late=days,
        share_kept=kept,
        reason=f"{reason}{extended}" if reason else "",
    )


def days_late(due: datetime, grace: timedelta, submitted_at: datetime) -> int:
    """Begun days after the due date and the grace: 0 up to the very end of the grace.

    Args:
        due: with its time zone, in which days begin and end.
        grace: a time that passes, whatever the clocks do.
        submitted_at: with a time zone.
    """
    submitted = submitted_at.astimezone(UTC)
    deadline = (due.astimezone(UTC) + grace).astimezone(due.tzinfo)
    if submitted <= deadline.astimezone(UTC):
        return 0
    # A clock change makes the calendar's days at most one more or less than those of 24 hours.
    days = max(1, (submitted - deadline.astimezone(UTC)) // timedelta(days=1) - 1)
    while (deadline + timedelta(days=days)).astimezone(UTC) < submitted:
        days += 1
    return days


def _share_kept(policy: LatePolicy, days: int) -> tuple[float, str]:
    """The fraction of the earned points that is kept, and why."""
    if days == 0:
        return 1.0, ""
    late = "1 day late" if days == 1 else f"{days} days late"
    if policy.maximum_days is not None and days > policy.maximum_days:
        return 0.0, f"{late}, and nothing counts after {policy.maximum_days}"
    taken = policy.penalty_per_day * days
    if 1 - taken < policy.floor:
        return policy.floor, f"{late}, and {policy.floor:.0%} of the points are left however late"
    left = max(0.0, 1 - taken)
    return left, f"{late}, at {policy.penalty_per_day:.0%} of the points a day"


def read_time(text: str, timezone: tzinfo | None, *, what: str = "the time") -> datetime:
    """A time in ISO 8601, with its zone.

    Args:
        text: such as `2026-03-01 23:59`, with or without an offset; a date alone means its end.
        timezone: for times without an offset; None for the machine's.
        what: the time is, for the error.

    Raises:
        UsageError: it is none.
    """
    try:
        moment = _parse_time(text.strip())
    except ValueError:
        raise UsageError(
            f"{what} is no date or time: {clean_line(text)[:80]}",
            next_step="write it as 2026-03-01 23:59, or 2026-03-01T23:59+01:00",
        ) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=timezone or find_timezone(None))


def _parse_time(text: str) -> datetime:
    try:
        return datetime.combine(date.fromisoformat(text), _END_OF_DAY)
    except ValueError:
        return datetime.fromisoformat(text)


def find_timezone(name: str | None) -> tzinfo:
    """A time zone by its name in the tz database, or the machine's own.

    Raises:
        UsageError: there is no such zone.
    """
    wanted = name or os.environ.get("TZ", "").lstrip(":")
    if wanted:
        try:
            return ZoneInfo(wanted)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            if name is not None:
                raise UsageError(
                    f"there is no time zone {clean_line(name)!r}",
                    next_step="name one as the tz database does, such as Europe/Berlin",
                ) from None
    try:
        with _LOCAL_TIMEZONE_FILE.open("rb") as file:
            return ZoneInfo.from_file(file)
    except (OSError, ValueError):
        return UTC


def _read_days(text: str) -> float | None:
    match = _DAYS.fullmatch(text)
    if match is None:
        return None
    days = float(match[1].replace(",", "."))
    return days if days <= MAXIMUM_EXTENSION_DAYS else None
