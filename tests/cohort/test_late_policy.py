"""The late policy: who is late, by how many days, and what is left."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grader.cohort.late_policy import LatePolicy, days_late, find_timezone, judge, read_time
from grader.errors import UsageError
from grader.intake.students import Student

BERLIN = ZoneInfo("Europe/Berlin")
DUE = datetime(2026, 3, 10, 23, 59, tzinfo=BERLIN)
POLICY = LatePolicy(
    due=DUE, grace=timedelta(minutes=15), penalty_per_day=0.1, floor=0.5, maximum_days=7
)
ALICE = Student(id="alice")

moments = st.timedeltas(min_value=timedelta(days=-400), max_value=timedelta(days=400)).map(
    lambda distance: DUE.astimezone(UTC) + distance
)
policies = st.builds(
    LatePolicy,
    due=moments.map(lambda moment: moment.astimezone(BERLIN)),
    grace=st.timedeltas(min_value=timedelta(), max_value=timedelta(days=3)),
    penalty_per_day=st.floats(0, 1),
    floor=st.floats(0, 1),
    maximum_days=st.none() | st.integers(0, 30),
)
scores = st.floats(0, 1_000)


def extended(**columns: str) -> Student:
    """Alice, with cells of the roster."""
    return Student(id="alice", columns=columns)


@pytest.mark.parametrize(
    ("after_due", "days"),
    [
        (timedelta(days=-1), 0),
        (timedelta(), 0),
        (timedelta(minutes=15), 0),
        (timedelta(minutes=15, microseconds=1), 1),
        (timedelta(days=1, minutes=15), 1),
        (timedelta(days=1, minutes=15, microseconds=1), 2),
        (timedelta(days=7, minutes=15), 7),
        (timedelta(days=7, minutes=15, microseconds=1), 8),
    ],
)
def test_days_begin_at_the_end_of_the_grace(after_due: timedelta, days: int) -> None:
    """Its very end is in time, and the next microsecond is a day."""
    assert judge(POLICY, ALICE, DUE + after_due).days_late == days


@pytest.mark.parametrize(
    ("days", "final", "reason"),
    [
        (0, 80.0, ""),
        (1, 72.0, "1 day late, at 10% of the points a day"),
        (3, 56.0, "3 days late, at 10% of the points a day"),
        (6, 40.0, "6 days late, and 50% of the points are left however late"),
        (8, 0.0, "8 days late, and nothing counts after 7"),
    ],
)
def test_a_share_of_the_earned_points_is_taken(days: int, final: float, reason: str) -> None:
    """Of 80, for a reason that is said."""
    final_points, late = judge(POLICY, ALICE, DUE + timedelta(days=days)).applied_to(80)
    assert final_points == pytest.approx(final)
    assert late.penalty_points == pytest.approx(80 - final)
    assert late.reason == reason
    assert not late.needs_person


@pytest.mark.parametrize(
    ("due", "submitted", "days"),
    [
        # The night of 29 March has 23 hours in Berlin, the one of 25 October 25.
        ((2026, 3, 28, 23, 59), (2026, 3, 29, 23, 59), 1),
        ((2026, 3, 28, 23, 59), (2026, 3, 30, 0, 0), 2),
        ((2026, 10, 24, 23, 59), (2026, 10, 25, 23, 59), 1),
        ((2026, 10, 24, 23, 59), (2026, 10, 26, 0, 0), 2),
    ],
)
def test_a_clock_change_makes_nobody_later(
    due: tuple[int, ...], submitted: tuple[int, ...], days: int
) -> None:
    """A day ends at the same time of day as the due date."""
    moment = datetime(*submitted, tzinfo=BERLIN)  # type: ignore[arg-type,misc]
    assert days_late(datetime(*due, tzinfo=BERLIN), timedelta(), moment) == days
    assert days_late(datetime(*due, tzinfo=BERLIN), timedelta(), moment.astimezone(UTC)) == days


def test_the_grace_is_time_that_passes() -> None:
    """Three hours from 0:30 on end at 4:30 on the day that skips an hour."""
    due = datetime(2026, 3, 29, 0, 30, tzinfo=BERLIN)
    at_half_past_four = datetime(2026, 3, 29, 4, 30, tzinfo=BERLIN)
    assert days_late(due, timedelta(hours=3), at_half_past_four) == 0
    assert days_late(due, timedelta(hours=3), at_half_past_four + timedelta(seconds=1)) == 1


def test_times_without_a_zone_are_read_in_the_zone_of_the_due_date() -> None:
    """Ten in the evening in New York is four in the morning in Berlin."""
    new_york = ZoneInfo("America/New_York")
    assert judge(POLICY, ALICE, DUE.replace(tzinfo=None)).days_late == 0
    late = datetime(2026, 3, 10, 23, 59, tzinfo=new_york)
    assert judge(POLICY, ALICE, late).days_late == 1


@pytest.mark.parametrize(
    ("late", "needs_person", "reason"),
    [(True, True, "marked late"), (False, False, ""), (None, False, "nothing says when")],
)
def test_without_a_time_nothing_is_taken(
    *, late: bool | None, needs_person: bool, reason: str
) -> None:
    """A person must look where the platform says late and not when."""
    result = judge(POLICY, ALICE, None, late=late)
    assert result.share_kept == 1
    assert result.submitted_at == ""
    assert result.needs_person == needs_person
    assert result.reason.startswith(reason)
    assert bool(result.reason) == bool(reason)


@pytest.mark.parametrize(
    ("columns", "due"),
    [
        ({}, DUE),
        ({"extension_days": ""}, DUE),
        ({"extension_days": "2"}, DUE + timedelta(days=2)),
        ({"Extension Days": "1,5"}, DUE + timedelta(days=1.5)),
        ({"Extension": "3 days"}, DUE + timedelta(days=3)),
        ({"extension": "2026-03-15"}, datetime(2026, 3, 15, 23, 59, 59, tzinfo=BERLIN)),
        ({"due": "2026-03-15 12:00"}, datetime(2026, 3, 15, 12, tzinfo=BERLIN)),
        ({"due": "20260315"}, datetime(2026, 3, 15, 23, 59, 59, tzinfo=BERLIN)),
        ({"Due Date": "2026-03-15T12:00-05:00"}, datetime(2026, 3, 15, 17, tzinfo=UTC)),
    ],
)
def test_the_roster_extends(columns: dict[str, str], due: datetime) -> None:
    """By days, or to a time; with or without a zone."""
    assert POLICY.due_for(extended(**columns)) == due


def test_an_extension_is_named_where_points_are_taken() -> None:
    """So that the student sees that it was not forgotten."""
    student = extended(extension_days="2")
    assert judge(POLICY, student, DUE + timedelta(days=2)).reason == ""
    result = judge(POLICY, student, DUE + timedelta(days=3))
    assert result.days_late == 1
    assert result.reason.endswith("(extended to 2026-03-12 23:59 CET)")


def test_all_wrong_extensions_are_reported_at_once() -> None:
    """Each with its student and cell."""
    students = [
        replace(extended(extension_days="soon"), id="alice"),
        replace(extended(due="tomorrow"), id="bob"),
        replace(extended(due="2026-03-15", extension_days="2"), id="carol"),
        replace(extended(extension="99999"), id="dora"),
        replace(extended(extension="2"), id="emil"),
    ]
    with pytest.raises(UsageError) as error:
        POLICY.check_extensions(students)
    assert str(error.value).splitlines()[1:] == [
        "  - the extension_days of alice is no number of days: soon",
        "  - the due of bob is no date or time: tomorrow",
        "  - carol has 2 extensions: due and extension_days",
        "  - the extension of dora is no date or time: 99999",
    ]


def test_a_wrong_policy_is_refused() -> None:
    """All of its mistakes at once."""
    with pytest.raises(UsageError, match=r"penalty per day .* not 10; floor .* negative"):
        LatePolicy(due=DUE, penalty_per_day=10, floor=-1, grace=timedelta(-1))
    with pytest.raises(ValueError, match="time zone"):
        LatePolicy(due=DUE.replace(tzinfo=None))


def test_time_zones(monkeypatch: pytest.MonkeyPatch) -> None:
    """By name, from the environment, or the machine's."""
    assert find_timezone("Europe/Berlin") == BERLIN
    monkeypatch.setenv("TZ", ":America/New_York")
    assert find_timezone(None) == ZoneInfo("America/New_York")
    assert read_time("2026-07-01 12:00", None) == datetime(2026, 7, 1, 16, tzinfo=UTC)
    monkeypatch.setenv("TZ", "nowhere")
    assert find_timezone(None).utcoffset(DUE) is not None
    for name in ("Middle/Earth", "../../etc/passwd", "\0"):
        with pytest.raises(UsageError, match="there is no time zone"):
            find_timezone(name)


@given(policy=policies, submitted=moments, score=scores)
def test_points_are_neither_won_nor_below_zero(
    policy: LatePolicy, submitted: datetime, score: float
) -> None:
    """And penalty and final points add up."""
    final_points, result = judge(policy, ALICE, submitted).applied_to(score)
    assert 0 <= final_points <= score
    assert final_points + result.penalty_points == pytest.approx(score)
    assert (result.days_late == 0) == (submitted <= policy.due.astimezone(UTC) + policy.grace)
    assert bool(result.reason) == (result.days_late > 0)


@given(policy=policies, one=moments, other=moments)
def test_later_is_never_better(policy: LatePolicy, one: datetime, other: datetime) -> None:
    """Whoever comes later has as many days or more, and keeps as much or less."""
    earlier, later = sorted([one, other])
    before, after = (judge(policy, ALICE, moment) for moment in (earlier, later))
    assert before.days_late <= after.days_late
    assert before.share_kept >= after.share_kept


@given(due=moments, submitted=moments, hours=st.integers(-12, 14))
def test_days_are_those_of_the_clock(due: datetime, submitted: datetime, hours: int) -> None:
    """Where no clock changes, they are begun stretches of 24 hours."""
    zone = timezone(timedelta(hours=hours))
    late = submitted - due
    expected = max(0, -(-late // timedelta(days=1)))
    assert days_late(due.astimezone(zone), timedelta(), submitted) == expected
