"""`grade override`: a person's last word on an item, a part or the whole."""

from __future__ import annotations

import getpass
from pathlib import Path

import click

from grader.assignment.loading import load_assignment
from grader.cli.class_settings import kept_in
from grader.cli.options import class_option
from grader.cohort.batch import locked
from grader.cohort.changes import points_of
from grader.errors import UsageError
from grader.review.decisions import EXTRA, TOTAL, make_decision
from grader.review.store import ReviewStore
from grader.text import clean_line, did_you_mean

EXAMPLES = """
\b
Examples:
  grade override ann 2C 10 --reason "a typo in the layer's name"
  grade override ann extra 2 --reason "found an error in the question"
  grade override ann total 80 --reason "handed in on paper"
  grade override ann 2C --looked-at --reason "the runs differ by chance"
  grade override ann 2C --forget
"""


@click.command(epilog=EXAMPLES, context_settings={"ignore_unknown_options": True})
@click.argument("student")
@click.argument("target")
@click.argument("points", required=False, type=float)
@click.option("--reason", default="", help="Why; the student reads it.")
@click.option("--looked-at", is_flag=True, help="Change no points, and ask no person again.")
@click.option("--forget", is_flag=True, help="Take the decision back.")
@click.option("--as", "name", default="", help="Whose decision it is. [default: your login]")
@class_option
def override(
    student: str,
    target: str,
    points: float | None,
    *,
    reason: str,
    looked_at: bool,
    forget: bool,
    name: str,
    output: Path,
) -> None:
    """Give STUDENT other POINTS for TARGET: an item, a part, `total` or `extra`.

    A decision stands through regrades until the work changes; the class page then asks again. It
    shows in the report, the export, `grade diff` and `grade history`. `extra` is added after the
    late policy; `total` is what counts in the end, instead of everything else.
    """
    from grader.review.publishing import publish  # noqa: PLC0415 - slow

    if [points is not None, looked_at, forget].count(True) != 1:
        raise UsageError("say what you decide", next_step="give POINTS, --looked-at or --forget")
    with locked(output), ReviewStore.open_existing(output) as store:
        assignment = load_assignment(kept_in(store).get("assignment", "set4"))
        before = {each.student.id: each for each in store.summaries()}
        if student not in before:
            raise UsageError(
                f"there is no student {clean_line(student)!r}{did_you_mean(student, before)}",
                next_step="give an id as on the class page",
            )
        kept = store.decisions().get(student, {})
        if forget and target not in kept:
            raise UsageError(
                f"nothing was decided about {clean_line(target)} of {clean_line(student)}",
                next_step=f"decided is: {', '.join(kept) or 'nothing'}",
            )
        if target == EXTRA and points is not None and not before[student].has_points:
            raise UsageError(
                f"{clean_line(student)} has no grade to which points could be added",
                next_step=f"decide about the whole: `{TOTAL}`",
            )
        decision = None
        if not forget:
            automatic = store.automatic_result(store.history(student)[-1].number)
            by = name or getpass.getuser()
            decision = make_decision(assignment, automatic, target, points, reason=reason, by=by)
        store.keep_decision(student, target, decision)
        publish(store, assignment, output)
        after = next(each for each in store.summaries() if each.student.id == student)
    was, now_has = (
        "no grade" if found is None else f"{found:g}"
        for found in (points_of(before[student]), points_of(after))
    )
    click.echo(f"{clean_line(student)}: {was} → {now_has} points")
