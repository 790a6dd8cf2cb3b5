"""A person's word on who is in a class, and on whose a submission is; kept in the store."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import msgspec

from grader.cohort.store import Store
from grader.cohort.summary import StudentSummary
from grader.errors import UsageError
from grader.intake.class_intake import NOT_ON_ROSTER
from grader.text import clean_line, did_you_mean

_MATCHES = "matches"
"""The setting with the ids of students by the label of a submission, as JSON."""

_TIMES = "times"
"""The setting with times of submission by student, as JSON."""

IN_TIME = "in time"

_TAKEN_OUT = "taken out of the class by a person"


def read_matches(store: Store) -> dict[str, tuple[str, ...]]:
    """Return the students' ids by the label of a submission, as a person said."""
    kept = store.setting(_MATCHES)
    return msgspec.json.decode(kept, type=dict[str, tuple[str, ...]]) if kept else {}


def keep_match(
    store: Store, submission: str, student_ids: Sequence[str] | None, known_ids: Collection[str]
) -> None:
    """Keep whose a submission is, or forget it with None.

    Args:
        store: of the class.
        submission: its id or label on the class page.
        student_ids: several for a group; none if it is nobody's in this class.
        known_ids: the ids of the roster.

    Raises:
        UsageError: there is no such submission, or an id is not on the roster.
    """
    matches = read_matches(store)
    summaries = list(store.summaries())
    label = submission.removesuffix(NOT_ON_ROSTER)
    unsettled = {
        summary.student.id.removesuffix(NOT_ON_ROSTER): summary
        for summary in summaries
        if summary.whose or not summary.student.on_roster
    }
    labels = {summary.source for summary in summaries if summary.source}
    if label not in unsettled.keys() | matches.keys() | labels:
        waiting = ", ".join(map(clean_line, list(unsettled)[:10])) or "none"
        raise UsageError(
            f"the class has no submission {clean_line(submission)!r}"
            f"{did_you_mean(label, unsettled)}",
            next_step=f"name one of those that nobody is known for: {waiting}",
        )
    for student_id in student_ids or ():
        if known_ids and student_id not in known_ids:
            raise UsageError(
                f"{clean_line(student_id)!r} is not on the roster"
                f"{did_you_mean(student_id, known_ids)}",
                next_step="give an id as the roster has it",
            )
    if student_ids is None:
        matches.pop(label, None)
    else:
        matches[label] = tuple(student_ids)
    store.keep_setting(_MATCHES, msgspec.json.encode(matches).decode())


def read_times(store: Store) -> dict[str, str]:
    """Return the times of submission that a person decided, by student; `IN_TIME` for no time."""
    kept = store.setting(_TIMES)
    return msgspec.json.decode(kept, type=dict[str, str]) if kept else {}


def keep_time(store: Store, student_id: str, time: str | None) -> None:
    """Keep when a student submitted, or forget it with None.

    Raises:
        UsageError: there is no such student.
    """
    known = {summary.student.id for summary in store.summaries()}
    if student_id not in known:
        raise UsageError(
            f"there is no student {clean_line(student_id)!r}{did_you_mean(student_id, known)}",
            next_step="give an id as on the class page",
        )
    times = read_times(store) | {student_id: time or ""}
    kept = {name: text for name, text in times.items() if text}
    store.keep_setting(_TIMES, msgspec.json.encode(kept).decode())


def settled_row(
    summary: StudentSummary, matches: Mapping[str, Sequence[str]], owners: Mapping[str, str]
) -> StudentSummary | None:
    """Return the new row of a student without a submission whose old one is somebody else's now.

    Args:
        summary: the row so far.
        matches: students' ids by the label of a submission, as a person said.
        owners: the id of the student of each submission of today, by its label.

    Returns:
        None if nothing was said about the submission of that row, or that it is this student's.
    """
    label = summary.source
    if not label and not summary.student.on_roster:  # graded by an earlier version
        label = summary.student.id.removesuffix(NOT_ON_ROSTER)
    if summary.student.id in matches.get(label, ()):
        return None
    owner = ", ".join(matches[label]) or "nobody in this class" if label in matches else ""
    owner = owner or owners.get(label, "")
    if not owner:
        return None
    if not summary.student.on_roster:
        return summary.removed(f"the submission is that of {owner}")
    return summary.without_grade(f"the submission {label} is that of {owner}")


def remove_student(store: Store, student_id: str) -> StudentSummary:
    """Take a student out of the class; the history stays, and `grade undo` brings the row back.

    Raises:
        UsageError: there is no such student.
    """
    by_id = {summary.student.id: summary for summary in store.summaries()}
    if student_id not in by_id:
        raise UsageError(
            f"there is no student {clean_line(student_id)!r}{did_you_mean(student_id, by_id)}",
            next_step="give an id as on the class page",
        )
    summary = by_id[student_id].removed(_TAKEN_OUT)
    store.record(summary, inputs_sha256="", result=None)
    return summary


def taken_out(store: Store) -> set[str]:
    """Return the ids of the students whom a person took out of the class."""
    return {row.student.id for row in store.removed() if row.message == _TAKEN_OUT}


def restore_student(store: Store, student_id: str) -> None:
    """Let a removed student in again, without a grade until the next `grade batch`.

    Raises:
        UsageError: nobody of this id was removed.
    """
    by_id = {summary.student.id: summary for summary in store.removed()}
    if student_id not in by_id:
        raise UsageError(
            f"nobody of the id {clean_line(student_id)!r} was removed"
            f"{did_you_mean(student_id, by_id)}",
            next_step=f"removed are: {', '.join(map(clean_line, by_id)) or 'none'}",
        )
    row = by_id[student_id].without_grade("let into the class again")
    store.record(row, inputs_sha256="", result=None)
