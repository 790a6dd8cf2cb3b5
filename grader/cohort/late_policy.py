"""The penalty for late submissions: a due date, a grace period, and extensions from the roster.

The penalty is a share of the *earned* points, so it never makes a score negative (decision 007).
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
from grader.intake.roster import participant_number
from grader.intake.students import Student, plain_header
from grader.results import Lateness
from grader.text import clean_line

DUE_HEADERS = ("due", "due date", "due_date", "extended to", "extended_to")
DAYS_HEADERS = ("extension_days", "extension days", "extra days", "extra_days")
EITHER_HEADERS = ("extension",)
"""Columns of the roster that extend one student's due date: to a time, by days, or either."""

SUBMITTED_HEADERS = (
    "submitted_at",
    "submitted at",
    "last modified (submission)",
    "zuletzt geändert (abgabe)",
)
SLIP_HEADERS = ("slip_days_used", "slip days used")
_GRADED_HEADERS = ("last modified (grade)", "zuletzt geändert (bewertung)")
"""Columns of Moodle's worksheet with times that are not those of submissions."""

OWN_HEADERS = frozenset(
    {*DUE_HEADERS, *DAYS_HEADERS, *EITHER_HEADERS, *SUBMITTED_HEADERS[:2], *SLIP_HEADERS}
)
"""Columns that an instructor adds to a platform's table."""

MAXIMUM_EXTENSION_DAYS = 366

_MOODLE_TIMES = ("%A, %d %B %Y, %I:%M %p", "%A, %d %B %Y, %H:%M", "%A, %B %d, %Y, %I:%M %p")
"""Of Moodle's grading worksheet in English and American English (`strftimedaydatetime`)."""

_GERMAN_TIME = re.compile(r"\w+, (\d{1,2})\. (\w+) (\d{4}), (\d{1,2}:\d\d)")
_GERMAN_MONTHS = (
    *("Januar", "Februar", "März", "April", "Mai", "Juni"),
    *("Juli", "August", "September", "Oktober", "November", "Dezember"),
)
_FOREIGN_TIME = re.compile(r".*\d{4}.*\d{1,2}[:.h]\d\d.*")
"""A cell of Moodle's worksheet in another language."""

_END_OF_DAY = time(23, 59, 59)
_MINUTE = re.compile(r"[T ]\d\d:?\d\d(?:$|[Z+-])", re.IGNORECASE)
"""A time without seconds."""
_DAY = re.compile(r"\d{4}-?\d\d-?\d\d|\d{4}-?W\d\d(?:-?\d)?")
"""As `date.fromisoformat` reads it."""
_DAYS = re.compile(r"\+?(\d+(?:[.,]\d+)?)\s*(?:d|days?)?", re.IGNORECASE)
_LOCAL_TIMEZONE_FILE = Path("/etc/localtime")


@dataclass(frozen=True, kw_only=True)
class LatePolicy:
    """The rules of one assignment.

    Attributes:
        due: with its time zone.
        grace: late days are counted from its end.
        penalty_per_day: share of the earned points that each started day takes, 0 to 1.
        floor: share of the earned points that remains however late, 0 to 1.
        maximum_days: no points remain after more days; None for no such limit.
        slip_days: free days of each student over the term; those that the roster says were used in
            earlier assignments are gone.
    """

    due: datetime
    grace: timedelta = timedelta()
    penalty_per_day: float = 0.0
    floor: float = 0.0
    maximum_days: int | None = None
    slip_days: int = 0

    def lateness(
        self,
        student: Student,
        submitted_at: datetime | None,
        *,
        marked_late: bool | None = None,
        source: str = "",
    ) -> Lateness:
        """Return the student's lateness with the share of points that is kept.

        A time without a zone is in the due date's zone. The platform's mark counts only if the
        time is unknown. `source` says in words from where the time is, if not from the platform.

        Raises:
            UsageError: the roster's extension cannot be read.
        """
        due = self.due_for(student)
        due_at = due.isoformat(timespec="seconds")
        if submitted_at is None:
            reason = {
                True: "marked late, but the time of submission is unknown",
                False: "",
                None: "the time of submission is unknown, so the submission counts as in time",
            }[marked_late]
            return Lateness(due_at=due_at, reason=reason, needs_person=marked_late is True)
        if submitted_at.tzinfo is None:
            submitted_at = submitted_at.replace(tzinfo=self.due.tzinfo)
        days = days_late(due, self.grace, submitted_at)
        left = self.slip_days_left(student)
        # No more than save points: where the floor or the maximum decides, they are for later.
        slip = max(range(min(days, left) + 1), key=lambda n: (self._share_kept(days - n)[0], -n))
        kept, reason = self._share_kept(days - slip)
        if slip:
            free = "1 slip day" if slip == 1 else f"{slip} slip days"
            reason = "; ".join(filter(None, (f"{free} used, {left - slip} left", reason)))
        elif days and left:
            reason += "; a slip day would save no points"
        if days and source:
            reason += f" ({source})"
        extended = f" (extended to {due:%Y-%m-%d %H:%M %Z})" if days and due != self.due else ""
        return Lateness(
            submitted_at=submitted_at.isoformat(timespec="seconds"),
            due_at=due_at,
            days_late=days,
            share_kept=kept,
            reason=reason + extended,
            slip_days=slip,
        )

    def slip_days_left(self, student: Student) -> int:
        """Return the free days that a student has before this assignment.

        Raises:
            UsageError: the roster's number of days used cannot be read.
        """
        used = student.cell(*SLIP_HEADERS)
        if used and not used.isdecimal():
            raise UsageError(
                f"the {SLIP_HEADERS[0]} of {student.id} is not a number of days: "
                f"{clean_line(used)[:80]}",
                next_step="write how many were used before this assignment, such as 2",
            )
        return max(0, self.slip_days - int(used or 0))

    def _require_clear_day(self, student: Student) -> None:
        """Raise `UsageError` if the roster has a day, and its hours decide how late it is."""
        submitted_at = submission_time(student)
        text = student.cell(*SUBMITTED_HEADERS)
        if submitted_at is None or not _DAY.fullmatch(text):
            return
        due, zone = self.due_for(student), self.due.tzinfo
        first, last = (
            days_late(due, self.grace, datetime.combine(submitted_at, hour, zone))
            for hour in (time.min, _END_OF_DAY)
        )
        if first != last:
            raise UsageError(
                f"the time of submission of {student.id} is a day without the time, and {first} or "
                f"{last} days late by the time: {clean_line(text)[:80]}",
                next_step="write it as 2026-03-01 23:59",
            )

    def _share_kept(self, days: int) -> tuple[float, str]:
        """Return the share of the earned points that is kept, and the reason."""
        if days == 0:
            return 1.0, ""
        late = "1 day late" if days == 1 else f"{days} days late"
        if self.maximum_days is not None and days > self.maximum_days:
            return 0.0, f"{late}; no points remain after {self.maximum_days}"
        kept = 1 - self.penalty_per_day * days
        if kept < self.floor:
            return self.floor, f"{late}; {percent(self.floor)} of the points remain however late"
        return max(0.0, kept), f"{late}, at {percent(self.penalty_per_day)} of the points a day"

    def due_for(self, student: Student) -> datetime:
        """Return the due date with the student's extension.

        Raises:
            UsageError: the extension cannot be read.
        """
        columns = student.plain_columns
        given = [
            (header, columns[header].strip())
            for header in (*DUE_HEADERS, *DAYS_HEADERS, *EITHER_HEADERS)
            if columns.get(header, "").strip()
        ]
        if not given:
            return self.due
        if len(given) > 1:
            named = " and ".join(header for header, _ in given)
            raise UsageError(
                f"{student.id} has {len(given)} extensions: {named}",
                next_step="leave one of these cells of the roster empty",
            )
        ((header, text),) = given
        match = _DAYS.fullmatch(text) if header not in DUE_HEADERS else None
        days = float(match[1].replace(",", ".")) if match else None
        if days is not None and days <= MAXIMUM_EXTENSION_DAYS:
            return self.due + timedelta(days=days)
        if header in DAYS_HEADERS:
            raise UsageError(
                f"the {header} of {student.id} is not a number of days: {clean_line(text)[:80]}",
                next_step="write 2 for two more days",
            )
        return read_time(text, self.due.tzinfo, what=f"the {header} of {student.id}")

    def check_extensions(self, students: Iterable[Student]) -> None:
        """Read every student's extension, slip days and time of submission.

        Raises:
            UsageError: some cells cannot be read; all of them are reported at once.
        """
        mistakes = []
        for student in students:
            _require_known_language(student)
            try:
                self.due_for(student)
                self.slip_days_left(student)
                self._require_clear_day(student)
            except UsageError as error:
                mistakes.append(f"  - {error}")
        if mistakes:
            raise UsageError(
                "the roster has times or days that cannot be read:\n" + "\n".join(mistakes),
                next_step="write a date such as 2026-03-01 23:59, or a number of days",
            )


def submission_time(student: Student) -> datetime | None:
    """Return the time of submission that the roster has, or None.

    Raises:
        UsageError: the cell is not a time.
    """
    text = student.cell(*SUBMITTED_HEADERS)
    if text in {"", "-"}:
        return None
    german = _GERMAN_TIME.fullmatch(text)
    if german and german[2] in _GERMAN_MONTHS:
        day, month, year, clock = german.groups()
        number = _GERMAN_MONTHS.index(month) + 1
        return datetime.strptime(f"{year}-{number}-{day} {clock}", "%Y-%m-%d %H:%M")  # noqa: DTZ007
    for form in _MOODLE_TIMES:
        try:
            # In Moodle's zone, which is the course's; a time without zone is in the due date's.
            return datetime.strptime(text, form)  # noqa: DTZ007
        except ValueError:
            continue
    try:
        return _parse_time(text)
    except ValueError:
        raise UsageError(
            f"the time of submission of {student.id} cannot be read: {clean_line(text)[:80]}",
            next_step="write it as 2026-03-01 23:59",
        ) from None


def _require_known_language(student: Student) -> None:
    """Raise `UsageError` if Moodle's worksheet has times under a header that is not known."""
    columns = student.plain_columns
    first = next(iter(columns.values()), "")
    if not participant_number(first) or not columns.keys().isdisjoint(SUBMITTED_HEADERS):
        return
    for header, text in student.columns.items():
        if _FOREIGN_TIME.fullmatch(text) and plain_header(header) not in _GRADED_HEADERS:
            raise UsageError(
                f"the roster has times in a language that is not read here: {clean_line(text)[:80]}"
                f", under {clean_line(header)[:80]}",
                next_step="download the worksheet with Moodle in English, or add a column "
                f"{SUBMITTED_HEADERS[0]} with times such as 2026-03-01 23:59",
            )


def percent(share: float) -> str:
    """Return "12.5%", with the digits that the policy has."""
    return f"{share * 100:.6g}%"


def days_late(due: datetime, grace: timedelta, submitted_at: datetime) -> int:
    """Return the started days after the due date and the grace; 0 up to the very end of the grace.

    A day ends at the same time in the due date's zone, so a clock change makes no submission
    later than the calendar says. The grace is elapsed time.
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


def read_time(text: str, timezone: tzinfo | None, *, what: str = "the time") -> datetime:
    """Return a time in ISO 8601 with its zone; a date means its end, and so does a minute.

    A time without an offset is in `timezone`, or else in the machine's. Errors name `what`.

    Raises:
        UsageError: the text is not a time.
    """
    try:
        moment = _parse_time(text.strip())
    except ValueError:
        raise UsageError(
            f"{what} is not a date or time: {clean_line(text)[:80]}",
            next_step="write it as 2026-03-01 23:59, or 2026-03-01T23:59+01:00",
        ) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=timezone or find_timezone(None))


def _parse_time(text: str) -> datetime:
    try:
        return datetime.combine(date.fromisoformat(text), _END_OF_DAY)
    except ValueError:
        moment = datetime.fromisoformat(text)
        return moment.replace(second=59) if _MINUTE.search(text) else moment


def find_timezone(name: str | None) -> tzinfo:
    """Return a time zone by its name in the tz database, or the machine's own.

    Raises:
        UsageError: there is no such zone.
    """
    zone_name = name or os.environ.get("TZ", "").lstrip(":")
    if zone_name:
        try:
            return ZoneInfo(zone_name)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            if name is not None:
                raise UsageError(
                    f"there is no time zone {clean_line(name)!r}",
                    next_step="use a name from the tz database, such as Europe/Berlin",
                ) from None
    try:
        with _LOCAL_TIMEZONE_FILE.open("rb") as file:
            return ZoneInfo.from_file(file)
    except (OSError, ValueError):
        return UTC
