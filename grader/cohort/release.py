"""What students may see of a graded class: one folder each, without what is hidden from them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path

from grader.assignment.records import Assignment
from grader.cohort.store import Store
from grader.cohort.summary import Status
from grader.errors import UsageError
from grader.report.files import write_reports
from grader.results import Score, SubmissionResult


@dataclass(frozen=True, kw_only=True)
class Released:
    """What was written.

    Attributes:
        folders: how many students got one.
        without_grade: the ids of those who did not, because there is no grade to show.
    """

    folders: int
    without_grade: tuple[str, ...]


def release(store: Store, target: Path, *, hidden: Collection[str]) -> Released:
    """Write a folder with the report and the record for each student who has a grade.

    Args:
        store: the class.
        target: an empty directory, or one that does not exist yet.
        hidden: the ids of the parts that students do not see.

    Raises:
        UsageError: the directory holds something already.
    """
    if target.exists() and any(target.iterdir()):
        raise UsageError(
            f"{target} is not empty, and may hold what somebody was shown before",
            next_step="name a new directory with --to",
        )
    without_grade = []
    folders = 0
    for summary in store.summaries():
        result = store.result(summary.student.id)
        if result is None or summary.status is not Status.GRADED:
            without_grade.append(summary.student.id)
            continue
        write_reports(without_parts(result, hidden), target / summary.folder)
        folders += 1
    return Released(folders=folders, without_grade=tuple(without_grade))


def refuse_another_assignment(store: Store, assignment: Assignment) -> None:
    """Let only the assignment say what is hidden that the class was graded by.

    Raises:
        UsageError: somebody was graded by another.
    """
    digests = {assignment.digest(), assignment.for_practice().digest()}
    for summary in store.summaries():
        result = store.result(summary.student.id)
        if result is not None and result.provenance.assignment_sha256 not in digests:
            raise UsageError(
                f"{summary.student.id} was graded by another assignment, or an earlier version: "
                f"{result.provenance.assignment_title}",
                next_step="name the assignment of the class with --assignment, or grade again",
            )


def without_parts(result: SubmissionResult, hidden: Collection[str]) -> SubmissionResult:
    """The result without these parts and their points."""
    if not hidden:
        return result
    problems = []
    for problem in result.problems:
        parts = tuple(part for part in problem.parts if part.id not in hidden)
        if parts:
            score = Score.total([part.score for part in parts])
            problems.append(replace(problem, parts=parts, score=score))
    score = Score.total([problem.score for problem in problems])
    late = result.late.applied_to(score.earned)[1] if result.late else None
    return replace(result, problems=tuple(problems), score=score, late=late)
