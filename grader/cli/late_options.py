"""Options for late submissions."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import click

from grader.cli.options import option_group
from grader.cohort.late_policy import LatePolicy, find_timezone, read_time
from grader.errors import UsageError

late_options = option_group(
    click.option(
        "--due",
        metavar="TIME",
        help="Deadline, such as '2026-03-01 23:59'. Without it, nobody is late.",
    ),
    click.option(
        "--timezone",
        metavar="NAME",
        help="Time zone of --due and of the roster. [default: this machine's]",
    ),
    click.option(
        "--grace-minutes",
        metavar="MINUTES",
        type=click.IntRange(min=0),
        default=0,
        show_default=True,
        help="Minutes after the deadline that still count as in time.",
    ),
    click.option(
        "--penalty-per-day",
        metavar="SHARE",
        type=click.FloatRange(0, 1),
        default=0.0,
        show_default=True,
        help="Share of the earned points that each started day takes.",
    ),
    click.option(
        "--penalty-floor",
        "floor",
        metavar="SHARE",
        type=click.FloatRange(0, 1),
        default=0.0,
        show_default=True,
        help="Share of the earned points that always remains.",
    ),
    click.option(
        "--maximum-days-late",
        "maximum_days",
        metavar="DAYS",
        type=click.IntRange(min=0),
        help="No points if the submission is more days late than this.",
    ),
)


def late_policy(options: dict[str, Any]) -> LatePolicy | None:
    """Remove the options of the late policy from `options`, and return the policy.

    Raises:
        UsageError: the deadline cannot be read, or a rule is given without a deadline.
    """
    due, timezone, minutes = (options.pop(name) for name in ("due", "timezone", "grace_minutes"))
    rules = {name: options.pop(name) for name in ("penalty_per_day", "floor", "maximum_days")}
    if due is not None:
        moment = read_time(due, find_timezone(timezone), what="--due")
        return LatePolicy(due=moment, grace=timedelta(minutes=minutes), **rules)
    if timezone or minutes or any(rules.values()) or rules["maximum_days"] == 0:
        raise UsageError("the late policy needs a deadline", next_step="give it with --due")
    return None
