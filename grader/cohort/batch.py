"""Grade a class into a directory: what is missing, has changed or failed, and nothing twice.

The directory holds the store, a folder of reports for each student, the training runs of
`--no-cache`, and the class page.
"""

from __future__ import annotations

import fcntl
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import grader
from grader.assignment.selection import select_items
from grader.cohort import late_policy
from grader.cohort.run import ClassRun, RunObserver, Task
from grader.cohort.store import STORE_NAME, Store, StoredGrading
from grader.cohort.summary import Status, StudentSummary
from grader.digest import digest_of
from grader.errors import UsageError
from grader.grading.stages import Options, Setting
from grader.intake.class_intake import Intake, find_submissions
from grader.intake.submitted import SubmittedWork, submission_digest
from grader.report.files import CLASS_PAGE_NAME, FILES_NAME, REPORT_NAME, write_reports
from grader.results import Lateness, Outcome, Score, SubmissionResult
from grader.sandbox.isolation.choice import choose_sandbox
from grader.text import display_name
from grader.training.cached_trainer import CachedTrainer, StartPool
from grader.training.data_places import default_cache_directory, directories_with_labels
from grader.training.pool import TrainingPool, count_cores
from grader.training.run_cache import RunCache

if TYPE_CHECKING:
    from grader.assignment.records import Assignment
    from grader.intake.roster import Roster
    from grader.intake.students import Student

LOCK_NAME = ".lock"
EVERYBODY = "all"
_PAGE_SHOWS = "class_page_shows"
"""The setting that holds the number of the newest grading on the class page."""

CLUSTER_ROUNDS = 1000
"""Rounds in training at a time on a cluster: enough for some hundred workers."""


@dataclass(frozen=True, kw_only=True)
class ClassRequest:
    """What to grade, and how.

    Attributes:
        directory: holds the submissions, one folder or archive for each student.
        output: where everything goes.
        roster: who is expected; None for whoever handed in.
        regrade: students to grade again although nothing has changed; `EVERYBODY` for all.
        late_policy: what being late costs, or None.
        template: what the students were given, which two may have in common; or None.
    """

    directory: Path
    output: Path
    assignment: Assignment
    options: Options
    roster: Roster | None = None
    regrade: frozenset[str] = frozenset()
    late_policy: late_policy.LatePolicy | None = None
    template: Path | None = None


@dataclass(frozen=True, kw_only=True)
class ClassTotals:
    """How many students of the whole store ended how.

    Attributes:
        passed: every automatic part was passed.
        fell_short: graded, and some part was not passed.
        error: without a grade; the next call tries again.
        unusable: handed in nothing that can be graded.
        missing: on the roster, with nothing handed in.
        pending: of all, those with parts that a person must grade.
        borderline: of all, those with an accuracy too near its threshold to be sure.
    """

    passed: int
    fell_short: int
    error: int
    unusable: int
    missing: int
    pending: int
    borderline: int


class ClassObserver(RunObserver, Protocol):
    """Told what happens, from the intake to the last result."""

    def stage(self, text: str) -> None:
        """A stage begins."""

    def starts(self, *, to_grade: int, unchanged: int, missing: int) -> None:
        """The grading begins; how many need it, and how many do not."""

    def graded(self, summary: StudentSummary) -> None:
        """A student is done, and recorded."""


def grade_class(request: ClassRequest, observer: ClassObserver) -> ClassTotals:
    """Grade everybody who needs it, and write the class page.

    Ctrl-C and SIGKILL lose what was in training and nothing that was recorded; the next call goes
    on where this one ended.

    Raises:
        UsageError: the directory, the roster or an option cannot be used.
        MachineError: nobody can be graded on this machine.
        KeyboardInterrupt: Ctrl-C; the class page shows what was finished.
    """
    select_items(request.assignment, request.options.only)
    if request.late_policy is not None and request.roster is not None:
        request.late_policy.check_extensions(request.roster.students)
    request.output.mkdir(parents=True, exist_ok=True)
    with _locked(request.output), Store(request.output / STORE_NAME) as store:
        observer.stage("looking for submissions")
        batch = _Batch(request=request, store=store, observer=observer)
        with find_submissions(request.directory, request.roster) as intake:
            try:
                batch.grade(intake)
            finally:
                batch.finish()
        return batch.totals()


@contextmanager
def _locked(output: Path) -> Iterator[None]:
    with (output / LOCK_NAME).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError(
                f"another `grade batch` is at work in {output}",
                next_step="wait until it has ended, or choose another --output",
            ) from None
        yield


@dataclass(kw_only=True)
class _Batch:
    """One call of `grade_class`."""

    request: ClassRequest
    store: Store
    observer: ClassObserver

    def grade(self, intake: Intake) -> None:
        for sentence in intake.recognised:
            self.observer.stage(sentence)
        for problem in (*intake.extra, *intake.ambiguous, *intake.ignored):
            self.observer.warn(f"{display_name(problem.source.name)}: {problem.message}")
        tasks = self._tasks(intake.submitted)
        self._check_regrade(tasks)
        left = self._leave_out_unchanged(tasks, {student.id for student in intake.missing})
        for student in intake.missing:
            self._record_missing(student)
        self.observer.starts(
            to_grade=len(left), unchanged=len(tasks) - len(left), missing=len(intake.missing)
        )
        if left:
            self._run(left)

    def _run(self, tasks: Sequence[Task]) -> None:
        run = ClassRun(
            assignment=self.request.assignment,
            options=self.request.options,
            sandbox=choose_sandbox(
                unsafe=self.request.options.unsafe,
                hidden=directories_with_labels(self.request.options.data_directory),
            ),
            output=self.request.output,
            observer=self.observer,
            record=self._record,
            make_trainer=self._make_trainer,
            rounds_at_once=(
                CLUSTER_ROUNDS if self.request.options.scheduler else 2 * count_cores()
            ),
        )
        run.grade(tasks)

    def _tasks(self, submitted: Sequence[SubmittedWork]) -> list[Task]:
        request = self.request
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
                inputs_sha256=digest_of(submission_digest(each), common),
            )
            for each in submitted
        ]

    def _check_regrade(self, tasks: Sequence[Task]) -> None:
        known = {task.work.student.id for task in tasks}
        unknown = sorted(self.request.regrade - known - {EVERYBODY})
        if unknown:
            raise UsageError(
                f"--regrade names {unknown[0]!r}, and nobody of that id handed in",
                next_step="give ids as the class page shows them, or all",
            )

    def _leave_out_unchanged(self, tasks: Sequence[Task], missing: set[str]) -> list[Task]:
        """The tasks that are still to do; the late policy is applied anew to the others."""
        by_student = {task.work.student.id: task for task in tasks}
        outdated = []
        for stored in self.store.automatic():
            student_id = stored.summary.student.id
            task = by_student.get(student_id)
            if task is None:
                if student_id not in missing or stored.summary.status is not Status.MISSING:
                    self.observer.warn(
                        f"{student_id} was graded before, and nothing is handed in now; the "
                        "earlier grade is kept"
                    )
            elif self._is_up_to_date(stored, task):
                del by_student[student_id]
                if self._decide(stored.summary, task.work) != stored.summary:
                    outdated.append((stored, task))
        for stored, task in outdated:
            self._keep(
                self._decide(stored.summary, task.work),
                stored.inputs_sha256,
                self.store.automatic_result(stored.number),
            )
        return list(by_student.values())

    def _is_up_to_date(self, stored: StoredGrading, task: Task) -> bool:
        summary = stored.summary
        report = self.request.output / task.folder / REPORT_NAME
        return (
            stored.inputs_sha256 == task.inputs_sha256
            and summary.status in {Status.GRADED, Status.UNUSABLE}
            and not self.request.regrade & {summary.student.id, EVERYBODY}
            and (summary.status is Status.UNUSABLE or report.is_file())
        )

    def _record_missing(self, student: Student) -> None:
        if self.store.history(student.id):
            return
        possible = self.request.assignment.points
        summary = StudentSummary(
            student=student,
            status=Status.MISSING,
            message="nothing was handed in",
            score=Score(possible=possible, undecided=possible),
            complete=False,
            practice=self.request.options.practice,
        )
        self._keep(summary, "", None)

    def _record(self, task: Task, summary: StudentSummary, result: SubmissionResult | None) -> None:
        decided = self._decide(summary, task.work)
        now = datetime.now(UTC).isoformat(timespec="seconds")
        self._keep(replace(decided, graded_at=now), task.inputs_sha256, result)

    def _keep(
        self, summary: StudentSummary, inputs_sha256: str, result: SubmissionResult | None
    ) -> None:
        if result is not None:
            # Before the store: what the store holds is then always there to be read.
            result = replace(result, late=summary.late if self.request.late_policy else None)
            write_reports(result, self.request.output / summary.folder)
        self.store.record(summary, inputs_sha256=inputs_sha256, result=result)
        self.observer.graded(summary)

    def _decide(self, summary: StudentSummary, work: SubmittedWork) -> StudentSummary:
        """The summary with the student as now known, and the points after the late policy."""
        final_points, late = self._judge_lateness(work).applied_to(summary.score.earned)
        return replace(summary, student=work.student, final_points=final_points, late=late)

    def _judge_lateness(self, work: SubmittedWork) -> Lateness:
        policy, submitted_at = self.request.late_policy, work.submitted_at
        if policy is not None:
            return late_policy.judge(policy, work.student, submitted_at, late=work.late)
        shown = submitted_at.isoformat(timespec="seconds") if submitted_at else ""
        return Lateness(submitted_at=shown)

    def _make_trainer(self, setting: Setting) -> CachedTrainer:
        directory = default_cache_directory() if setting.options.use_cache else self.request.output
        cache = RunCache(directory, dataset_sha256=setting.dataset.sha256, device=setting.device)
        start_pool: StartPool = partial(TrainingPool, device=setting.device)
        if address := setting.options.scheduler:
            try:
                from grader.training.cluster import DaskTrainer  # noqa: PLC0415  # an extra
            except ImportError as error:
                raise UsageError(
                    f"training on a cluster needs Dask: {error}",
                    next_step="Install it: pip install 'sequential-grader[cluster]'",
                ) from error
            start_pool = partial(DaskTrainer, address=address, device=setting.device)
        return CachedTrainer(setting.dataset, start_pool=start_pool, cache=cache)

    def finish(self) -> None:
        """Apply people's judgements to what is new and write the class page, if there is reason."""
        path = self.request.output / CLASS_PAGE_NAME
        newest = str(self.store.last_number())
        if self.store.setting(_PAGE_SHOWS) == newest and path.is_file():
            return
        self.observer.stage("writing the class page")
        # Half a second of imports, which a run without changes saves.
        from grader.cohort.page import keep_similarity, write_class_page  # noqa: PLC0415
        from grader.cohort.similarity import find_similar  # noqa: PLC0415
        from grader.review.publishing import publish  # noqa: PLC0415

        publish(self.store, self.request.assignment, self.request.output)
        summaries = list(self.store.summaries())
        sources = {
            summary.student.id: self.request.output / summary.folder / FILES_NAME
            for summary in summaries
            if summary.folder
        }
        similar = find_similar(summaries, sources, self.request.template)
        keep_similarity(self.store, similar)
        write_class_page(summaries, similar, path, title=self.request.assignment.title)
        self.store.keep_setting(_PAGE_SHOWS, newest)

    def totals(self) -> ClassTotals:
        """Count the outcomes of the whole store."""
        statuses: Counter[Status] = Counter()
        passed = pending = borderline = 0
        for summary in self.store.summaries():
            statuses[summary.status] += 1
            outcomes = {item.outcome for item in summary.items}
            passed += summary.status is Status.GRADED and Outcome.FAILED not in outcomes
            pending += Outcome.PENDING in outcomes
            borderline += any(item.borderline for item in summary.items)
        return ClassTotals(
            passed=passed,
            fell_short=statuses[Status.GRADED] - passed,
            error=statuses[Status.ERROR],
            unusable=statuses[Status.UNUSABLE],
            missing=statuses[Status.MISSING],
            pending=pending,
            borderline=borderline,
        )


_OWN_NAMES = frozenset({LOCK_NAME, STORE_NAME, CLASS_PAGE_NAME, "runs"})


def folder_names(student_ids: Sequence[str]) -> dict[str, str]:
    """A folder's name for each student: the id itself wherever it can be one."""
    safe = {one: re.sub(r"[^\w.@+-]+", "_", one).strip(".-")[:60] for one in student_ids}
    taken = Counter(name.casefold() for name in safe.values())
    return {
        one: name
        if name == one and taken[name.casefold()] == 1 and name not in _OWN_NAMES
        else f"{name}-{digest_of(one)[:8]}"
        for one, name in safe.items()
    }
