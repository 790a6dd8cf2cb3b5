"""Release a graded class to its students: one folder each, without the hidden parts.

Who has no grade gets a page with the reason and what to do.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from grader.assignment.records import Assignment
from grader.cohort.batch import folder_names
from grader.cohort.store import Store
from grader.cohort.summary import Status, StudentSummary
from grader.errors import UsageError
from grader.models.digest import digest_of
from grader.report.files import REPORT_NAME, write_reports
from grader.report.wording import (
    counted,
    items_that_await_a_person,
    items_that_fell_short,
    items_to_answer,
    points,
    score_line,
)
from grader.results import ItemResult, Lateness, SubmissionResult
from grader.text import clean_line

SHOWN_ITEMS = 6
"""Of each kind, in a few sentences; the report has them all."""

MAXIMUM_REASON = 500
"""Characters of a reason, which may quote a student's file names."""

_DIRECTORIES = re.compile(r"(?<![\w.~])(?:~|[A-Za-z]:)?[/\\](?:[^\s/\\'\"]+[/\\])+")
"""Of a path that begins at a root: they tell of the grader's machine."""

_GRADER_FAILED = (
    "The grader could not grade your work. This is not a verdict on it.",
    "You need not do anything. Ask your instructor if no grade follows.",
)


@dataclass(frozen=True, kw_only=True)
class Released:
    """The message to one student.

    Attributes:
        folder: of the report, below the directory of all students.
        sentences: the result in a few words.
        points: after the late policy, without hidden parts; None without a grade.
    """

    summary: StudentSummary
    folder: str
    sentences: str
    points: float | None = None


def release(
    store: Store, target: Path, *, hidden: Collection[str], files: Sequence[str] = ()
) -> list[Released]:
    """Write a folder with a report for each student; return what each is told, by id.

    A student with a grade gets the record too. `files` are those to hand in.

    Raises:
        UsageError: the directory is not empty.
    """
    from grader.report.html import render_ungraded  # noqa: PLC0415  # loads the templates

    if target.exists() and any(target.iterdir()):
        raise UsageError(
            f"{target} is not empty, and may hold an earlier release",
            next_step="name a new directory with --to",
        )
    summaries = list(store.summaries())
    title = _title(store, summaries)
    folders = _folders(summaries)
    released = []
    for summary in summaries:
        student, folder = summary.student, folders[summary.student.id]
        result = store.result(student.id)
        if result is not None and summary.status is Status.GRADED:
            shown = result.with_parts(
                lambda part: None if part.id in hidden else part
            ).for_students()
            write_reports(shown, target / folder)
            final = _final_points(shown)
            sentences = _sentences(shown)
            released.append(
                Released(summary=summary, folder=folder, sentences=sentences, points=final)
            )
            continue
        decided = None if summary.total is None else summary.final_points
        reason, next_step = (
            _why_ungraded(summary, files)
            if decided is None
            else (f"Decided by a person: {points(decided)} points.", summary.total_reason)
        )
        heading = "Not graded" if decided is None else "Graded"
        page = render_ungraded(
            student.name or student.id, title, heading=heading, reason=reason, next_step=next_step
        )
        (target / folder).mkdir(parents=True)
        (target / folder / REPORT_NAME).write_text(page, encoding="utf-8")
        sentences = clean_line(f"{reason} {next_step}")
        released.append(
            Released(summary=summary, folder=folder, sentences=sentences, points=decided)
        )
    return released


def require_assignment(store: Store, assignment: Assignment) -> None:
    """Raise if the class was graded with another assignment.

    Raises:
        UsageError: names the first such student.
    """
    digests = assignment.digests()
    for summary in store.summaries():
        result = store.result(summary.student.id)
        if result is not None and result.provenance.assignment_sha256 not in digests:
            raise UsageError(
                f"{summary.student.id} was graded with another assignment, or an earlier version: "
                f"{result.provenance.assignment_title}",
                next_step="name the assignment of the class with --assignment, or grade again",
            )


def _title(store: Store, summaries: Sequence[StudentSummary]) -> str:
    results = (store.result(summary.student.id) for summary in summaries)
    return next((each.provenance.assignment_title for each in results if each), "Assignment")


def _folders(summaries: Sequence[StudentSummary]) -> dict[str, str]:
    """Return a folder for each student: that of the class's directory if there is one."""
    names = folder_names([summary.student.id for summary in summaries])
    folders = {each.student.id: each.folder for each in summaries if each.folder}
    taken = {folder.casefold() for folder in folders.values()}
    for summary in summaries:
        student_id = summary.student.id
        if student_id not in folders:
            name = names[student_id]
            if name.casefold() in taken:
                name = f"{name}-{digest_of(student_id)[:8]}"
            folders[student_id] = name
            taken.add(name.casefold())
    return folders


def _why_ungraded(summary: StudentSummary, files: Sequence[str]) -> tuple[str, str]:
    """Return the reason and what to do; nothing of the grader's machine or of other students."""
    hand_in = f"hand in {', '.join(files)}" if files else "hand in the assignment's files"
    if summary.status is Status.MISSING:
        return (
            "Nothing was submitted.",
            f"If you may still do so, {hand_in}. If you did, tell your instructor.",
        )
    if summary.status is not Status.UNUSABLE and not summary.needs_person:
        return _GRADER_FAILED
    message = _DIRECTORIES.sub("", clean_line(summary.message)).rstrip(".")
    if len(message) > MAXIMUM_REASON:
        message = f"{message[:MAXIMUM_REASON]} …"
    if summary.status is Status.UNUSABLE:
        next_step = (
            f"If you may still do so, {hand_in}, as plain files or in one ordinary zip archive. "
            "If something is wrong here, tell your instructor."
        )
        return f"Your submission could not be graded, so it has no points: {message}.", next_step
    return (
        f"Your submission is not graded yet: {message}.",
        f"Ask your instructor, who decides what counts. If you may still do so, {hand_in}.",
    )


def _sentences(shown: SubmissionResult) -> str:
    """Return a few sentences about a result that a student may see."""
    sentences = ["This is practice, not a grade."] if shown.provenance.practice else []
    sentences.append(f"Your points: {score_line(shown.score)}.")
    if shown.late and shown.late.penalty_points:
        left = points(shown.late.final_points(shown.score.earned))
        sentences.append(
            f"Late: {points(shown.late.penalty_points)} points are deducted, and {left} remain."
        )
    elif shown.late and shown.late.needs_person:
        sentences.append("It came late, and the penalty is not decided yet.")
    if shown.total is not None or shown.extra is not None:
        sentences.append(f"With a person's decision: {points(_final_points(shown))} points.")
    for words, items in (
        ("Fell short", items_that_fell_short(shown)),
        ("Not answered", items_to_answer(shown)),
        ("Not graded yet", items_that_await_a_person(shown)),
    ):
        if items:
            sentences.append(f"{words}: {_listed(items)}.")
    comments = sum(1 for item in shown.items() if item.personal and item.personal.comment)
    if comments:
        sentences.append(f"The report has {counted(comments, 'comment')} for you.")
    return " ".join(map(clean_line, sentences))


def _final_points(shown: SubmissionResult) -> float:
    """Return the points after the late policy and a person's decisions."""
    total = shown.total.points if shown.total is not None else None
    extra = shown.extra.points if shown.extra is not None else None
    late = shown.late or Lateness()
    return late.final_points(shown.score.earned, total=total, extra=extra or 0.0)


def _listed(items: Sequence[ItemResult]) -> str:
    more = len(items) - SHOWN_ITEMS
    listed = ", ".join(f"{item.id} {item.title}" for item in items[:SHOWN_ITEMS])
    return f"{listed}, and {more} more" if more > 0 else listed


def is_one_name(name: str) -> bool:
    """Return True if a name is one step of a path, on any system."""
    return (
        bool(name)
        and name not in {".", ".."}
        and PurePosixPath(name.replace("\\", "/")).name == name
    )
