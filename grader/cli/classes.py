"""`grade class`: the settings of a class, and who is in it."""

from __future__ import annotations

import getpass
from pathlib import Path

import click

from grader.cli.class_settings import DIGEST, OPTIONS, SETTINGS_NAME, kept_in, shown
from grader.cli.options import class_option
from grader.cohort.batch import locked
from grader.cohort.late_policy import read_time
from grader.cohort.looked_at import keep_looked_at
from grader.cohort.people import IN_TIME, keep_match, keep_time, remove_student, restore_student
from grader.cohort.store import STORE_NAME, Store
from grader.errors import UsageError
from grader.intake.roster import read_roster
from grader.text import clean_line

EXAMPLES = """
\b
Examples:
  grade class show                      what the class is graded by
  grade class match 2043 dora           the submission 2043 is Dora's
  grade class match set4-team7 ann,bob  it is both Ann's and Bob's
  grade class match 2043 --nobody       it is nobody's in this class
  grade class remove carl               Carl has left the course
  grade class looked-at ann ben --reason "they work together"
  grade class time ann '2026-03-10 9:30'  when Ann handed in
"""
AGAIN = "run the same `grade batch` again"


@click.group("class", epilog=EXAMPLES)
def class_group() -> None:
    """Show a class's settings, and say who is in it."""


@class_group.command(epilog=EXAMPLES)
@class_option
def show(output: Path) -> None:
    """Print what the first `grade batch` was given; it holds until --change-settings."""
    with Store.open_existing(output) as store:
        kept = kept_in(store)
        removed = [summary.student.id for summary in store.removed()]
    if not kept:
        raise UsageError(
            f"no settings are kept in {output}: an older grader graded this class",
            next_step="run `grade batch` with the class's options once",
        )
    for name, option in OPTIONS.items():
        click.echo(f"{option:<21}{clean_line(shown(kept.get(name)))}")
    click.echo(f"{'assignment digest':<21}{kept[DIGEST][:12]}")
    if removed:
        click.echo(f"{'removed':<21}{clean_line(', '.join(removed))}")


@class_group.command(epilog=EXAMPLES)
@click.argument("submission")
@click.argument("student_ids", metavar="[ID,…]", required=False, default="")
@click.option("--nobody", is_flag=True, help="It is nobody's in this class, and is left out.")
@click.option("--forget", is_flag=True, help="Take back what was said of it.")
@class_option
def match(submission: str, student_ids: str, output: Path, *, nobody: bool, forget: bool) -> None:
    """Say whose SUBMISSION is: the ids on the roster, several for a group.

    SUBMISSION is its id on the class page, under "Needs a person". What is said is kept; the next
    `grade batch` gives the work to the students named, and judgements of its answers go with it.
    """
    ids = [one.strip() for one in student_ids.split(",") if one.strip()]
    if [bool(ids), nobody, forget].count(True) != 1:
        raise UsageError(
            "say whose the submission is", next_step="give ids of the roster, --nobody or --forget"
        )
    with locked(output), Store.open_existing(output) as store:
        roster = kept_in(store).get("roster")
        known = [student.id for student in read_roster(Path(roster)).students] if roster else []
        keep_match(store, submission, None if forget else ids, known)
    whose = "whatever the roster says" if forget else ", ".join(ids) or "nobody"
    click.echo(f"{clean_line(submission)}: {clean_line(whose)}. To give the grade, {AGAIN}")


@class_group.command(epilog=EXAMPLES)
@click.argument("student_id", metavar="ID")
@class_option
def remove(student_id: str, output: Path) -> None:
    """Take a student out of page, exports and releases; the history stays.

    `grade undo` takes this back, and so does `grade class restore`.
    """
    with locked(output), Store(output / STORE_NAME) as store:
        store.begin_run(f"removed {student_id}", SETTINGS_NAME)
        summary = remove_student(store, student_id)
        _refresh_page(store, output)
    click.echo(f"{clean_line(summary.student.id)} is out of the class; `grade undo` takes it back")


@class_group.command(epilog=EXAMPLES)
@click.argument("student_id", metavar="ID")
@class_option
def restore(student_id: str, output: Path) -> None:
    """Let a removed student into the class again."""
    with locked(output), Store(output / STORE_NAME) as store:
        store.begin_run(f"restored {student_id}", SETTINGS_NAME)
        restore_student(store, student_id)
        _refresh_page(store, output)
    click.echo(f"{clean_line(student_id)} is in the class again. To grade the work, {AGAIN}")


@class_group.command(epilog=EXAMPLES)
@click.argument("student_id", metavar="ID")
@click.argument("moment", metavar="[TIME]", required=False, default="")
@click.option(
    "--in-time", is_flag=True, help="The submission was in time, whatever the platform says."
)
@click.option("--forget", is_flag=True, help="Take back what was said.")
@class_option
def time(student_id: str, moment: str, output: Path, *, in_time: bool, forget: bool) -> None:
    """Say when a student submitted, such as '2026-03-10 23:58', for the late policy.

    It counts instead of the platform's time, the roster's or Git's.
    """
    if [bool(moment), in_time, forget].count(True) != 1:
        raise UsageError("say when it was", next_step="give TIME, --in-time or --forget")
    if moment:
        read_time(moment, None)
    with locked(output), Store.open_existing(output) as store:
        keep_time(store, student_id, None if forget else IN_TIME if in_time else moment)
    said = "whatever the platform says" if forget else moment or IN_TIME
    click.echo(f"{clean_line(student_id)}: {said}. To apply it, {AGAIN}")


@class_group.command("looked-at", epilog=EXAMPLES)
@click.argument("student_ids", metavar="ID...", nargs=-1, required=True)
@click.option("--reason", default="", help="What you found; the class page shows it.")
@click.option("--forget", is_flag=True, help="Take back that somebody has looked.")
@click.option("--as", "grader", default="", help="Your name. [default: your user name]")
@class_option
def looked_at(
    student_ids: tuple[str, ...], output: Path, *, reason: str, grader: str, forget: bool
) -> None:
    """Say that you looked at what the students of one group on the class page share.

    The page then lists the group under "Looked at", until the work of one of them changes.
    """
    from grader.cohort.class_page import kept_similarity  # noqa: PLC0415 - slow
    from grader.review.store import ReviewStore  # noqa: PLC0415 - slow

    if bool(reason.strip()) == forget:
        raise UsageError("say what you found", next_step="give --reason TEXT, or --forget")
    by = grader or getpass.getuser()
    with locked(output), ReviewStore.open_existing(output) as store:
        similar = kept_similarity(store)
        before = keep_looked_at(store, similar, student_ids, reason.strip(), by=by)
        who = clean_line(", ".join(student_ids))
        store.record_change(
            grader=by, kind=f"looked at {who}", before=before and before.reason, after=reason
        )
        _refresh_page(store, output)
    click.echo(f"{who}: {'to be looked at' if forget else 'looked at'}")


def _refresh_page(store: Store, output: Path) -> None:
    from grader.cohort.class_page import refresh_class_page  # noqa: PLC0415 - slow

    results = (store.result(summary.student.id) for summary in store.summaries())
    result = next(filter(None, results), None)
    if result is not None:
        refresh_class_page(store, output, title=result.provenance.assignment_title)
