"""Grade a class into a directory: students without a grade or with changed files, and no others.

The directory holds the store, a folder of reports for each student, the training runs of
`--no-cache`, and the class page.
"""

from __future__ import annotations

import re
import socket
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from filelock import FileLock, Timeout

import grader
from grader.assignment.records import Assignment, record_of
from grader.assignment.selection import select_items
from grader.cohort.late_policy import LatePolicy, percent, read_time, submission_time
from grader.cohort.people import IN_TIME, read_matches, read_times, settled_row, taken_out
from grader.cohort.run import ClassRun, RunObserver, Task, write_student_reports
from grader.cohort.store import STORE_NAME, Store, StoredGrading
from grader.cohort.summary import Status, StudentSummary, summarize_items
from grader.errors import MachineError, UsageError
from grader.grading.options import Options
from grader.intake.class_intake import Intake, find_submissions
from grader.intake.commits import Commit, last_commit, read_commit, write_archive
from grader.intake.private_directory import private_directory
from grader.intake.roster import Roster
from grader.intake.students import Platform, Student
from grader.intake.submitted import SubmittedWork, submission_digest
from grader.models.digest import digest_of
from grader.report.files import (
    CLASS_PAGE_NAME,
    REPORT_NAME,
    SIDE_BY_SIDE_NAME,
    remove_links,
    write_reports,
)
from grader.results import Lateness, Outcome, Score, SubmissionResult
from grader.text import clean_line, display_name

LOCK_NAME = ".lock"
ALL_STUDENTS = "all"
SCHEDULER_SECONDS = 5.0
SHOWN_PENALTIES = 10
_OWN_NAMES = frozenset(
    {LOCK_NAME, STORE_NAME, "journal.jsonl", CLASS_PAGE_NAME, "runs", SIDE_BY_SIDE_NAME}
)
"""Names in the output directory that no student's folder may have."""


@dataclass(frozen=True, kw_only=True)
class ClassRequest:
    """A class to grade, and the options.

    Attributes:
        directory: of the submissions, one folder or archive for each student.
        roster: the expected students; None for everyone who submitted.
        regrade: ids of students to grade again without a change; `ALL_STUDENTS` for all.
        at_deadline: of a clone, grade the last commit before the deadline.

    Raises:
        UsageError: an option names no item, or the roster has an extension that cannot be read.
    """

    directory: Path
    output: Path
    assignment: Assignment
    options: Options
    roster: Roster | None = None
    regrade: frozenset[str] = frozenset()
    late_policy: LatePolicy | None = None
    at_deadline: bool = False

    def __post_init__(self) -> None:
        select_items(self.assignment, self.options.only)
        if self.late_policy is not None and self.roster is not None:
            self.late_policy.check_extensions(self.roster.students)


@dataclass(frozen=True, kw_only=True)
class ClassTotals:
    """The number of students with each outcome, over the whole store.

    Attributes:
        passed: every automatic part was passed.
        fell_short: graded, with a failed part.
        error: without a grade, or with an earlier one, because the grader failed; the next run
            retries.
        unusable: submitted nothing that can be graded.
        missing: on the roster, without a submission.
        pending: of all, the students with parts that a person must grade.
        borderline: of all, the students with an accuracy too near its threshold to be sure.
        unknown: of all, the submissions of which nobody knows whose they are.
    """

    passed: int
    fell_short: int
    error: int
    unusable: int
    missing: int
    pending: int
    borderline: int
    unknown: int = 0


class ClassObserver(RunObserver, Protocol):
    """An observer from the intake to the last result."""

    def stage(self, text: str) -> None:
        """Announce a stage."""

    def starts(self, *, to_grade: int, unchanged: int, missing: int) -> None:
        """Announce the grading, with the numbers of students."""

    def graded(self, summary: StudentSummary) -> None:
        """Announce a student whose result was stored."""


@contextmanager
def locked(output: Path) -> Iterator[None]:
    """Keep other `grade batch` commands out of the directory, which is created if missing.

    Raises:
        UsageError: another command is running.
    """
    output.mkdir(parents=True, exist_ok=True)
    remove_links(output / LOCK_NAME)
    lock = FileLock(output / LOCK_NAME, timeout=0, thread_local=False)
    try:
        lock.acquire()
    except Timeout:
        raise UsageError(
            f"another `grade batch` is running in {output}",
            next_step="wait until it has ended, or choose another --output",
        ) from None
    try:
        yield
    finally:
        lock.release()


def grade_class(request: ClassRequest, store: Store, observer: ClassObserver) -> None:
    """Grade every student who needs it.

    Ctrl-C and SIGKILL lose the trainings in progress and no stored result; the next call resumes.

    Raises:
        UsageError: the directory or an option cannot be used.
        MachineError: this machine cannot grade.
        KeyboardInterrupt: Ctrl-C.
    """
    if request.options.scheduler:
        _require_scheduler(request.options.scheduler)
    observer.stage("looking for submissions")
    if request.roster is not None and request.roster.note:
        observer.stage(request.roster.note)
    matches = read_matches(store)
    with (
        ExitStack() as resources,
        find_submissions(request.directory, request.roster, matches) as intake,
    ):
        for sentence in intake.recognised:
            observer.stage(sentence)
        for problem in intake.problems:
            observer.warn(f"{display_name(problem.source.name)}: {problem.message}")
        submitted, times = intake.submitted, read_times(store)
        if request.at_deadline and request.late_policy is not None:
            directory = resources.enter_context(private_directory())
            submitted = tuple(
                _at_deadline(request.late_policy, each, directory / f"{number}.zip")
                if each.student.id not in times
                else each
                for number, each in enumerate(submitted)
            )
        tasks = _list_tasks(request, submitted, times)
        _check_regrade(request, tasks)
        removed = taken_out(store)
        if out := [task for task in tasks if task.work.student.id in removed]:
            names = ", ".join(clean_line(task.work.student.id) for task in out)
            observer.stage(f"left out, as a person took them out of the class: {names}")
            tasks = [task for task in tasks if task not in out]
        to_grade = _leave_out_unchanged(request, store, intake, tasks, matches, observer)
        for student in intake.missing:
            if student.id not in removed:
                _record_missing(request, store, student, observer)
        observer.starts(
            to_grade=len(to_grade),
            unchanged=len(tasks) - len(to_grade),
            missing=len(intake.missing),
        )
        if not to_grade:
            return
        run = ClassRun(
            assignment=request.assignment,
            options=request.options,
            output=request.output,
            observer=observer,
        )
        with closing(run.grade(to_grade)) as graded:
            for each in graded:
                _record(request, store, *each)
                observer.graded(each[1])


def _require_scheduler(address: str) -> None:
    """Raise before anybody is graded if nothing listens at a scheduler's address.

    Raises:
        MachineError: there is no connection within `SCHEDULER_SECONDS`.
    """
    try:
        parts = urlsplit(address)
        place = (parts.hostname or "", parts.port or 0)
    except ValueError:
        return  # the trainer says what is wrong with the address
    if not all(place):
        return
    try:
        socket.create_connection(place, timeout=SCHEDULER_SECONDS).close()
    except OSError as error:
        raise MachineError(
            f"no Dask scheduler answers at {address}: {error}",
            next_step="start one (`dask scheduler`), or correct the address; nobody was graded",
        ) from None


def _record(
    request: ClassRequest,
    store: Store,
    task: Task,
    summary: StudentSummary,
    result: SubmissionResult | None,
) -> None:
    """Record a grading, so that no earlier grade is lost by a failure or by --only."""
    if earlier := _grade_to_keep(store, summary):
        items = ", ".join(item.id for item in summary.items if item.outcome is Outcome.ERROR)
        of_items = f"the grader failed in {items}"
        reason = summary.message if summary.status is Status.ERROR else of_items
        _keep_grade(store, request.output, earlier, reason)
        return
    whole = _last_grade(store, summary) if request.options.only else None
    if whole is None or not whole.summary.complete:
        store.record(summary, inputs_sha256=task.inputs_sha256, result=result)
        return
    before = store.automatic_result(whole.number)
    if before is None or result is None or not _are_of_one_work(before, result):
        reason = "graded only in part, but the work or the assignment has changed since"
        _keep_grade(store, request.output, whole, reason)
        return
    merged = write_student_reports(request.output, task, before.with_items_of(result))
    merged_summary = replace(
        summary,
        score=merged.score,
        complete=merged.complete,
        items=summarize_items(merged),
    )
    # With the whole grading's digest, the next whole grading finds it up to date.
    store.record(task.decide(merged_summary), inputs_sha256=whole.inputs_sha256, result=merged)


def _are_of_one_work(before: SubmissionResult, later: SubmissionResult) -> bool:
    """Return True if two results are of the same files by the same assignment."""
    first, second = before.provenance, later.provenance
    return (first.submission_sha256, first.assignment_sha256) == (
        second.submission_sha256,
        second.assignment_sha256,
    )


def _grade_to_keep(store: Store, summary: StudentSummary) -> StoredGrading | None:
    """Return the earlier grading that counts on, because the grader itself failed this time."""
    return _last_grade(store, summary) if summary.has_error else None


def _last_grade(store: Store, summary: StudentSummary) -> StoredGrading | None:
    """Return the student's grading that counts, or None if there is no grade.

    An older one does not count: a failure of the grader takes none away, so a person did.
    """
    history = store.history(summary.student.id)
    if not history:
        return None
    newest = history[-1]
    has_grade = newest.summary.status is Status.GRADED and not newest.summary.has_error
    return newest if has_grade else None


def _keep_grade(store: Store, output: Path, earlier: StoredGrading, reason: str) -> None:
    """Record an earlier grade once more, marked; the next run grades the work again."""
    since = f"the grade of {earlier.summary.graded_at} is kept"
    kept = replace(earlier.summary, kept_because=f"{reason}; {since}")
    result = store.automatic_result(earlier.number)
    if result is not None:
        write_reports(result, output / kept.folder)
    # No inputs have this digest, so the work is graded again.
    store.record(kept, inputs_sha256="", result=result)


def count_totals(summaries: Iterable[StudentSummary]) -> ClassTotals:
    """Count the outcomes of a class."""
    statuses: Counter[Status] = Counter()
    passed = pending = borderline = kept = unknown = 0
    for summary in summaries:
        statuses[summary.status] += 1
        kept += bool(summary.kept_because)
        automatic = {
            item.outcome for item in summary.items if not record_of(item.kind).graded_by_person
        }
        passed += summary.status is Status.GRADED and Outcome.FAILED not in automatic
        pending += any(item.outcome is Outcome.PENDING for item in summary.items)
        unknown += bool(summary.whose)
        borderline += any(item.borderline for item in summary.items)
    return ClassTotals(
        passed=passed,
        fell_short=statuses[Status.GRADED] - passed,
        error=statuses[Status.ERROR] + kept,
        unusable=statuses[Status.UNUSABLE],
        missing=statuses[Status.MISSING],
        pending=pending,
        borderline=borderline,
        unknown=unknown,
    )


def folder_names(student_ids: Sequence[str]) -> dict[str, str]:
    """Return a folder name for each student: the id itself if possible."""
    safe = {one: re.sub(r"[^\w.@+-]+", "_", one).strip(".-")[:60] for one in student_ids}
    taken = Counter(name.casefold() for name in safe.values())
    return {
        one: name
        if name == one and taken[name.casefold()] == 1 and name not in _OWN_NAMES
        else f"{name}-{digest_of(one)[:8]}"
        for one, name in safe.items()
    }


def _list_tasks(
    request: ClassRequest, submitted: Sequence[SubmittedWork], times: Mapping[str, str]
) -> list[Task]:
    options = request.options
    folders = folder_names([each.student.id for each in submitted])
    common = digest_of(
        request.assignment.digest(),
        grader.__version__,
        (options.practice, options.only, options.seeds, options.full),
    )
    return [
        Task(
            work=each,
            folder=folders[each.student.id],
            late=_lateness(request.late_policy, each, times.get(each.student.id)),
            inputs_sha256=digest_of(submission_digest(each), common),
        )
        for each in submitted
    ]


def _lateness(policy: LatePolicy | None, work: SubmittedWork, decided: str | None) -> Lateness:
    """Return a student's lateness: by what a person decided, the platform, the roster, or Git."""
    if decided == IN_TIME and policy is not None:
        due_at = policy.due_for(work.student).isoformat(timespec="seconds")
        return Lateness(due_at=due_at, reason="in time, as a person decided")
    submitted_at, source = work.submitted_at, ""
    if decided and policy is not None:
        submitted_at = read_time(decided, policy.due.tzinfo)
        source = "the time is what a person decided"
    elif submitted_at is None and (submitted_at := submission_time(work.student)) is not None:
        source = "the time is the roster's"
    elif submitted_at is None and _is_clone(work) and (commit := read_commit(work.source)):
        submitted_at, source = commit.committed_at, f"commit {commit.sha[:10]}"
        if policy is not None and (earlier := _commit_in_time(policy, work, commit)):
            source += f"; --at-deadline grades {earlier.sha[:10]} instead, the last one in time"
    if policy is not None:
        late = policy.lateness(work.student, submitted_at, marked_late=work.late, source=source)
        if work.commit:
            graded = f"graded as of commit {work.commit[:10]}, the last one before the deadline"
            late = replace(late, reason="; ".join(filter(None, (graded, late.reason))))
        return late
    return Lateness(submitted_at=submitted_at.isoformat(timespec="seconds") if submitted_at else "")


def _at_deadline(policy: LatePolicy, work: SubmittedWork, archive: Path) -> SubmittedWork:
    """Return a clone's work as it was at the deadline, if its newest commit is later."""
    head = read_commit(work.source) if _is_clone(work) else None
    earlier = _commit_in_time(policy, work, head) if head else None
    if earlier is None or not write_archive(work.source, earlier, archive):
        return work
    return replace(work, source=archive, commit=earlier.sha, submitted_at=earlier.committed_at)


def _commit_in_time(policy: LatePolicy, work: SubmittedWork, head: Commit) -> Commit | None:
    """Return the last commit before the deadline, if the one that is checked out is later."""
    deadline = policy.due_for(work.student) + policy.grace
    return last_commit(work.source, deadline) if head.committed_at > deadline else None


def _is_clone(work: SubmittedWork) -> bool:
    """Return False for what a platform took, and for files in a directory of the whole class."""
    return not work.loose and work.identity.platform is Platform.NONE


def _check_regrade(request: ClassRequest, tasks: Sequence[Task]) -> None:
    known = {task.work.student.id for task in tasks}
    unknown = sorted(request.regrade - known - {ALL_STUDENTS})
    if unknown:
        raise UsageError(
            f"--regrade names {unknown[0]!r}, but no student of that id submitted anything",
            next_step="give ids as on the class page, or all",
        )


def _leave_out_unchanged(
    request: ClassRequest,
    store: Store,
    intake: Intake,
    tasks: Sequence[Task],
    matches: Mapping[str, Sequence[str]],
    observer: ClassObserver,
) -> list[Task]:
    """Return the tasks that need grading; apply the late policy of today to the others."""
    to_grade, moved = {task.work.student.id: task for task in tasks}, list[str]()
    missing = {student.id for student in intake.missing}
    # Not of `tasks`: who was taken out of the class still owns their submission.
    owners = {work.identity.label: work.student.id for work in intake.submitted}
    for stored in list(store.automatic()):
        student_id = stored.summary.student.id
        task = to_grade.get(student_id)
        if task is None:
            if (row := settled_row(stored.summary, matches, owners)) is not None:
                observer.warn(f"{student_id}: {row.message}")
                store.record(row, inputs_sha256="", result=None)
            elif student_id not in missing or stored.summary.status is not Status.MISSING:
                observer.warn(
                    f"{student_id} was graded before, but has no submission now; the earlier "
                    "grade is kept"
                )
        elif _is_up_to_date(request, stored, task):
            del to_grade[student_id]
            decided = task.decide(stored.summary)
            if decided != _as_if_new(stored.summary, decided):
                result = store.automatic_result(stored.number)
                if result is not None:
                    result = write_student_reports(request.output, task, result)
                store.record(decided, inputs_sha256=stored.inputs_sha256, result=result)
                before, after = (each.late for each in (stored.summary, decided))
                if before.share_kept != after.share_kept:
                    reason = f" ({after.reason})" if after.reason else ""
                    change = f"{percent(before.share_kept)} → {percent(after.share_kept)}"
                    moved.append(f"{clean_line(student_id)} {change}{reason}")
                observer.graded(decided)
            elif decided.feedback_name != stored.summary.feedback_name:
                # Feedback goes to the newest download, or an earlier version kept no name.
                result = store.automatic_result(stored.number)
                store.record(decided, inputs_sha256=stored.inputs_sha256, result=result)
    _warn_of_penalties(moved, observer)
    return list(to_grade.values())


def _warn_of_penalties(moved: Sequence[str], observer: ClassObserver) -> None:
    if not moved:
        return
    shown = "; ".join(moved[:SHOWN_PENALTIES])
    more = f"; and {len(moved) - SHOWN_PENALTIES} more" if len(moved) > SHOWN_PENALTIES else ""
    observer.warn(
        f"another share of the points is kept for unchanged work: {shown}{more}. "
        "`grade diff` lists them all, and `grade undo` takes this run back"
    )


def _as_if_new(stored: StudentSummary, decided: StudentSummary) -> StudentSummary:
    """Return a row with the facts that earlier versions did not keep, and that move no points."""
    student = replace(stored.student, id_header=decided.student.id_header)
    return replace(
        stored,
        source=decided.source,
        student=student,
        platform=decided.platform,
        feedback_name=decided.feedback_name,
    )


def _is_up_to_date(request: ClassRequest, stored: StoredGrading, task: Task) -> bool:
    summary = stored.summary
    return (
        stored.inputs_sha256 == task.inputs_sha256
        and summary.status in {Status.GRADED, Status.UNUSABLE}
        and not request.regrade & {summary.student.id, ALL_STUDENTS}
        and (
            summary.status is Status.UNUSABLE
            or (request.output / task.folder / REPORT_NAME).is_file()
        )
    )


def _record_missing(
    request: ClassRequest, store: Store, student: Student, observer: ClassObserver
) -> None:
    if store.history(student.id):
        return
    possible = request.assignment.points
    summary = StudentSummary(
        student=student,
        status=Status.MISSING,
        message="nothing was submitted",
        score=Score(possible=possible, undecided=possible),
        complete=False,
        practice=request.options.practice,
    )
    store.record(summary, inputs_sha256="", result=None)
    observer.graded(summary)
