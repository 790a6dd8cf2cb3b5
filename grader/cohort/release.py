"""Release a graded class to its students: one folder each, without the hidden parts."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from grader.assignment.records import Assignment
from grader.cohort.store import Store
from grader.cohort.summary import Status
from grader.errors import UsageError
from grader.report.files import write_reports


def release(store: Store, target: Path, *, hidden: Collection[str]) -> list[str]:
    """Write a folder with report and record for each student; return the ids without a grade.

    Raises:
        UsageError: the directory is not empty.
    """
    if target.exists() and any(target.iterdir()):
        raise UsageError(
            f"{target} is not empty, and may hold an earlier release",
            next_step="name a new directory with --to",
        )
    without_grade = []
    for summary in store.summaries():
        result = store.result(summary.student.id)
        if result is None or summary.status is not Status.GRADED:
            without_grade.append(summary.student.id)
            continue
        shown = result.with_parts(lambda part: None if part.id in hidden else part).for_students()
        write_reports(shown, target / summary.folder)
    return without_grade


def require_assignment(store: Store, assignment: Assignment) -> None:
    """Raise if the class was graded with another assignment.

    Raises:
        UsageError: names the first such student.
    """
    digests = {assignment.digest(), assignment.for_practice().digest()}
    for summary in store.summaries():
        result = store.result(summary.student.id)
        if result is not None and result.provenance.assignment_sha256 not in digests:
            raise UsageError(
                f"{summary.student.id} was graded with another assignment, or an earlier version: "
                f"{result.provenance.assignment_title}",
                next_step="name the assignment of the class with --assignment, or grade again",
            )
