"""The options that say what being late costs."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import click

from grader.cli.options import Command
from grader.cohort.late_policy import LatePolicy, find_timezone, read_time
from grader.errors import UsageError

_OPTIONS = (
    click.option(
        "--due", help="When it was due, such as '2026-03-01 23:59'; without it nobody is late."
    ),
    click.option(
        "--timezone", help="Of --due and the roster's extensions. [default: this machine's]"
    ),
    click.option(
        "--grace-minutes",
        type=click.IntRange(min=0),
        default=0,
        show_default=True,
        help="How long after it is still in time.",
    ),
    click.option(
        "--penalty-per-day",
        type=click.FloatRange(0, 1),
        default=0.0,
        show_default=True,
        help="Fraction of the earned points that each begun day takes.",
    ),
    click.option(
        "--penalty-floor",
        type=click.FloatRange(0, 1),
        default=0.0,
        show_default=True,
        help="Fraction of the earned points that is left however late.",
    ),
    click.option(
        "--maximum-days-late",
        type=click.IntRange(min=0),
        help="Later than that there are no points at all.",
    ),
)


def late_options(command: Command) -> Command:
    """Add the late policy's options; `late_policy` makes one from them."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def late_policy(options: dict[str, Any]) -> LatePolicy | None:
    """Take the late policy's options out of all options.

    Raises:
        UsageError: the due date or a number cannot be used, or a penalty has no due date.
    """
    due = options.pop("due")
    timezone = options.pop("timezone")
    grace_minutes = options.pop("grace_minutes")
    penalty_per_day = options.pop("penalty_per_day")
    floor = options.pop("penalty_floor")
    maximum_days = options.pop("maximum_days_late")
    if due is None:
        if penalty_per_day or floor or grace_minutes or timezone or maximum_days is not None:
            raise UsageError(
                "what being late costs needs a due date", next_step="give it with --due"
            )
        return None
    return LatePolicy(
        due=read_time(due, find_timezone(timezone), what="--due"),
        grace=timedelta(minutes=grace_minutes),
        penalty_per_day=penalty_per_day,
        floor=floor,
        maximum_days=maximum_days,
    )
