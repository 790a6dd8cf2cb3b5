"""The late policy: who is late, by how many days, and what is left."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from grader.cli import cli
from grader.cohort.late_policy import LatePolicy, days_late, find_timezone, read_time
from grader.errors import UsageError
from grader.intake.students import Student
from grader.results import add_points

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
scores = st.floats(0, 1_000).map(lambda points: add_points([points]))


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
def test_end_of_grace(after_due: timedelta, days: int) -> None:
    """The very end of the grace is in time, and the next microsecond is a late day."""
    assert POLICY.lateness(ALICE, DUE + after_due).days_late == days


@pytest.mark.parametrize(
    ("days", "final", "reason"),
    [
        (0, 80.0, ""),
        (1, 72.0, "1 day late, at 10% of the points a day"),
        (3, 56.0, "3 days late, at 10% of the points a day"),
        (6, 40.0, "6 days late; 50% of the points remain however late"),
        (8, 0.0, "8 days late; no points remain after 7"),
    ],
)
def test_penalty(days: int, final: float, reason: str) -> None:
    """A share of 80 points is taken, for a stated reason."""
    late = POLICY.lateness(ALICE, DUE + timedelta(days=days)).with_penalty(80)
    assert late.final_points(80) == pytest.approx(final)
    assert late.penalty_points == pytest.approx(80 - final)
    assert late.reason == reason
    assert not late.needs_person


def test_digits_of_penalty() -> None:
    """The reason has as many digits as the policy."""
    for share, said in ((0.125, "12.5%"), (0.004, "0.4%"), (0.1, "10%")):
        policy = replace(POLICY, penalty_per_day=share, floor=0.0)
        reason = policy.lateness(ALICE, DUE + timedelta(days=1)).reason
        assert reason == f"1 day late, at {said} of the points a day"


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
def test_clock_change(due: tuple[int, ...], submitted: tuple[int, ...], days: int) -> None:
    """A day ends at the same time of day as the due date."""
    moment = datetime(*submitted, tzinfo=BERLIN)  # type: ignore[arg-type,misc]
    assert days_late(datetime(*due, tzinfo=BERLIN), timedelta(), moment) == days
    assert days_late(datetime(*due, tzinfo=BERLIN), timedelta(), moment.astimezone(UTC)) == days


def test_grace_is_elapsed_time() -> None:
    """Three hours from 0:30 end at 4:30 on the day that skips an hour."""
    due = datetime(2026, 3, 29, 0, 30, tzinfo=BERLIN)
    at_half_past_four = datetime(2026, 3, 29, 4, 30, tzinfo=BERLIN)
    assert days_late(due, timedelta(hours=3), at_half_past_four) == 0
    assert days_late(due, timedelta(hours=3), at_half_past_four + timedelta(seconds=1)) == 1


def test_time_without_zone() -> None:
    """A time without a zone is in the zone of the due date."""
    new_york = ZoneInfo("America/New_York")
    assert POLICY.lateness(ALICE, DUE.replace(tzinfo=None)).days_late == 0
    late = datetime(2026, 3, 10, 23, 59, tzinfo=new_york)
    assert POLICY.lateness(ALICE, late).days_late == 1


@pytest.mark.parametrize(
    ("late", "needs_person", "reason"),
    [
        (True, True, "marked late"),
        (False, False, ""),
        (None, False, "the time of submission is unknown"),
    ],
)
def test_unknown_time(*, late: bool | None, needs_person: bool, reason: str) -> None:
    """Nothing is taken; a person must look if the platform says late without a time."""
    result = POLICY.lateness(ALICE, None, marked_late=late)
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
        ({"due": "2026-03-15 12:00"}, datetime(2026, 3, 15, 12, 0, 59, tzinfo=BERLIN)),
        ({"due": "2026-03-15 12:00:00"}, datetime(2026, 3, 15, 12, tzinfo=BERLIN)),
        ({"due": "20260315"}, datetime(2026, 3, 15, 23, 59, 59, tzinfo=BERLIN)),
        ({"Due Date": "2026-03-15T12:00-05:00"}, datetime(2026, 3, 15, 17, 0, 59, tzinfo=UTC)),
    ],
)
def test_extension(columns: dict[str, str], due: datetime) -> None:
    """The roster extends the due date by days or to a time, with or without a zone."""
    assert POLICY.due_for(extended(**columns)) == due


def test_extension_in_reason() -> None:
    """The reason names the extension, so that the student sees it was not forgotten."""
    student = extended(extension_days="2")
    assert POLICY.lateness(student, DUE + timedelta(days=2)).reason == ""
    result = POLICY.lateness(student, DUE + timedelta(days=3))
    assert result.days_late == 1
    assert result.reason.endswith("(extended to 2026-03-12 23:59 CET)")


def test_wrong_extensions() -> None:
    """All wrong extensions are reported at once, each with its student and cell."""
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
        "  - the extension_days of alice is not a number of days: soon",
        "  - the due of bob is not a date or time: tomorrow",
        "  - carol has 2 extensions: due and extension_days",
        "  - the extension of dora is not a date or time: 99999",
    ]


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--penalty-per-day", "10"),
        ("--penalty-floor", "-1"),
        ("--grace-minutes", "-1"),
        ("--maximum-days-late", "-1"),
    ],
)
def test_wrong_policy(option: str, value: str) -> None:
    """The command refuses shares and days outside their range."""
    given = ["batch", "submissions", "--due", "2026-03-01", option, value]
    result = CliRunner().invoke(cli, given)
    assert result.exit_code == 2
    assert f"Invalid value for '{option}'" in result.output


def test_policy_without_deadline() -> None:
    """A penalty without a deadline is refused."""
    result = CliRunner().invoke(cli, ["batch", "submissions", "--penalty-per-day", "0.1"])
    assert isinstance(result.exception, UsageError)
    assert "needs a deadline" in str(result.exception)


def test_time_zones(monkeypatch: pytest.MonkeyPatch) -> None:
    """A time zone comes from its name, the environment or the machine."""
    assert find_timezone("Europe/Berlin") == BERLIN
    monkeypatch.setenv("TZ", ":America/New_York")
    assert find_timezone(None) == ZoneInfo("America/New_York")
    assert read_time("2026-07-01 12:00", None) == datetime(2026, 7, 1, 16, 0, 59, tzinfo=UTC)
    monkeypatch.setenv("TZ", "nowhere")
    assert find_timezone(None).utcoffset(DUE) is not None
    for name in ("Middle/Earth", "../../etc/passwd", "\0"):
        with pytest.raises(UsageError, match="there is no time zone"):
            find_timezone(name)


@given(policy=policies, submitted=moments, score=scores)
def test_bounds_of_penalty(policy: LatePolicy, submitted: datetime, score: float) -> None:
    """Points are neither won nor negative, and penalty and final points add up."""
    result = policy.lateness(ALICE, submitted).with_penalty(score)
    final_points = result.final_points(score)
    assert 0 <= final_points <= score
    assert final_points + result.penalty_points == pytest.approx(score)
    assert (result.days_late == 0) == (submitted <= policy.due.astimezone(UTC) + policy.grace)
    assert bool(result.reason) == (result.days_late > 0)


@given(policy=policies, one=moments, other=moments)
def test_later_is_never_better(policy: LatePolicy, one: datetime, other: datetime) -> None:
    """A later submission has as many days or more, and keeps as much or less."""
    earlier, later = sorted([one, other])
    before, after = (policy.lateness(ALICE, moment) for moment in (earlier, later))
    assert before.days_late <= after.days_late
    assert before.share_kept >= after.share_kept


@given(due=moments, submitted=moments, hours=st.integers(-12, 14))
def test_days_without_clock_change(due: datetime, submitted: datetime, hours: int) -> None:
    """Without clock changes, days are begun stretches of 24 hours."""
    zone = timezone(timedelta(hours=hours))
    late = submitted - due
    expected = max(0, -(-late // timedelta(days=1)))
    assert days_late(due.astimezone(zone), timedelta(), submitted) == expected
