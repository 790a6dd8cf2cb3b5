"""One run over the students of a class: take in, train what is needed, record what is done.

Student code runs in sandboxes on this machine. What it leaves to be trained are jobs, which are
pure data; equal jobs of different students are trained once. Whatever one submission does, and
whatever fails while it is graded, ends that student's grading and nobody else's.
"""

from __future__ import annotations

import threading
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from grader.cohort.summary import Status, StudentSummary, summarize_items
from grader.errors import GraderError, SubmissionError, UnusableSubmissionError, UsageError
from grader.grading.stages import Clock, Options, Setting, Underway, ask, begin, prepare
from grader.intake.pictures import keep_pictures
from grader.intake.private_copy import collect
from grader.intake.submitted import SubmittedWork, open_submission
from grader.report.files import keep_graded_files
from grader.results import Outcome, Score, SubmissionResult
from grader.training.cached_trainer import CachedTrainer
from grader.training.job import TrainingJob
from grader.training.plans import PlanRunner
from grader.training.pool import count_cores

if TYPE_CHECKING:
    from grader.assignment.records import Assignment
    from grader.results import EpochResult
    from grader.sandbox.isolation.choice import Sandbox

STUDENTS_AHEAD = 16
"""Students between intake and result beyond one for each round in training: enough to find long
trainings early, and few enough that memory does not grow with the class."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """One student to grade.

    Attributes:
        work: the student's submission.
        folder: of the student's reports, below the output directory.
        inputs_sha256: over all that the grade depends on.
    """

    work: SubmittedWork
    folder: str
    inputs_sha256: str


class RunObserver(Protocol):
    """Told what happens while a class is graded, in the thread that grades."""

    def warn(self, text: str) -> None:
        """Something that the user must not miss."""

    def taken_in(self, student_id: str) -> None:
        """A student's questions were asked; training follows, where any is needed."""

    def runs_counted(self, *, trained: int, reused: int) -> None:
        """How many training runs were begun so far, and how many more could be shared or reused."""


Recorder = Callable[["Task", StudentSummary, SubmissionResult | None], None]
"""Keeps a finished student's result, in the thread that grades."""

TrainerFactory = Callable[[Setting], CachedTrainer]


@dataclass(kw_only=True)
class _Student:
    """A student in training.

    Attributes:
        waiting_for: the items whose plans have not ended.
    """

    task: Task
    underway: Underway
    waiting_for: set[str]


@dataclass(kw_only=True)
class ClassRun:
    """One run over the students that need grading.

    Attributes:
        assignment: as its author wrote it.
        options: for every student alike.
        sandbox: that works here.
        output: where reports go.
        record: called once for each student, in the calling thread.
        make_trainer: a context manager that trains.
        rounds_at_once: how many rounds the trainer is given at a time: enough that it is never
            idle, and few enough that a longer one can still overtake those that wait.
    """

    assignment: Assignment
    options: Options
    sandbox: Sandbox
    output: Path
    observer: RunObserver
    record: Recorder
    make_trainer: TrainerFactory
    rounds_at_once: int
    _stop: threading.Event = field(default_factory=threading.Event)
    _setting: Future[Setting] = field(default_factory=Future)
    _taking_in: dict[Future[Underway], Task] = field(default_factory=dict)
    _students: dict[str, _Student] = field(default_factory=dict)

    def grade(self, tasks: Sequence[Task]) -> None:
        """Grade everybody; what was recorded before an exception stays.

        Raises:
            MachineError: the data cannot be had, so nobody can be graded.
            KeyboardInterrupt: Ctrl-C.
        """
        left = deque(tasks)
        with ExitStack() as resources:
            extractors = ThreadPoolExecutor(count_cores(), thread_name_prefix="extract")
            resources.callback(extractors.shutdown, wait=True, cancel_futures=True)
            resources.callback(self._stop.set)
            self._fill_window(left, extractors)
            self._load_setting()
            trainer = resources.enter_context(self.make_trainer(self._setting.result()))
            self._run(left, extractors, trainer)

    def _load_setting(self) -> None:
        """Load torch and the data while the first sandboxes are at work already."""
        try:
            setting = prepare(self.assignment, self.options, self.sandbox, self.observer.warn)
        except BaseException as error:
            self._setting.set_exception(error)
            raise
        self._setting.set_result(setting)

    def _run(
        self, left: deque[Task], extractors: ThreadPoolExecutor, trainer: CachedTrainer
    ) -> None:
        runner: PlanRunner[tuple[str, str]] = PlanRunner(
            trainer, _ignore_epoch, rounds_at_once=self.rounds_at_once
        )
        while self._taking_in or self._students:
            waited: list[Future[Any]] = [*self._taking_in, *runner.futures()]
            if waited:
                wait(waited, return_when=FIRST_COMPLETED)
            for future in [future for future in self._taking_in if future.done()]:
                self._begin_training(self._taking_in.pop(future), future, runner)
            for (student_id, item_id), outcome in runner.collect():
                self._finish_item(student_id, item_id, outcome)
            self.observer.runs_counted(trained=trainer.trained_runs, reused=trainer.reused_runs)
            self._fill_window(left, extractors)

    def _fill_window(self, left: deque[Task], extractors: ThreadPoolExecutor) -> None:
        window = STUDENTS_AHEAD + self.rounds_at_once
        while left and len(self._taking_in) + len(self._students) < window:
            task = left.popleft()
            self._taking_in[extractors.submit(self._take_in, task)] = task

    def _take_in(self, task: Task) -> Underway:
        """Ask and check one student; runs in a thread of the extractors."""
        clock = Clock()
        files = self.assignment.files()
        with (
            open_submission(task.work, files) as directory,
            closing(collect(directory, files)) as submission,
        ):
            student = task.work.student
            named = replace(submission, name=student.name or student.id)
            extractions = ask(named, self.assignment, self.options, self.sandbox, self._stop)
            clock.mark("extract")
            keep_graded_files(named, files, self.output / task.folder)
            keep_pictures(named, self.output / task.folder)
            return begin(self._setting.result(), named, extractions, clock)

    def _begin_training(
        self, task: Task, taken_in: Future[Underway], runner: PlanRunner[tuple[str, str]]
    ) -> None:
        with self._recording_failure(task):
            underway = taken_in.result()
            planned = underway.grading.plans()
            student_id = task.work.student.id
            self._students[student_id] = _Student(
                task=task, underway=underway, waiting_for=set(planned)
            )
            self.observer.taken_in(student_id)
            for item_id, training in planned.items():
                runner.add((student_id, item_id), training.plan, work=training.work)
            if not planned:
                self._finish(student_id)

    def _finish_item(self, student_id: str, item_id: str, outcome: Any) -> None:
        student = self._students.get(student_id)
        if student is None:  # ended by a failure while others of its items were in training
            return
        with self._recording_failure(student.task):
            student.underway.grading.finish(item_id, outcome)
            student.waiting_for.remove(item_id)
            if not student.waiting_for:
                self._finish(student_id)

    def _finish(self, student_id: str) -> None:
        student = self._students[student_id]
        student.underway.clock.mark("train")
        result = student.underway.result()
        outcomes = {item.outcome for item in result.items()}
        summary = StudentSummary(
            student=student.task.work.student,
            status=Status.ERROR if Outcome.ERROR in outcomes else Status.GRADED,
            message="; ".join(f"{note.file} {note.message}" for note in result.intake[:3]),
            folder=student.task.folder,
            score=result.score,
            complete=result.complete,
            practice=result.provenance.practice,
            items=summarize_items(result),
        )
        self.record(student.task, summary, result)
        del self._students[student_id]

    @contextmanager
    def _recording_failure(self, task: Task) -> Iterator[None]:
        """Record whatever goes wrong with one student as that student's, and go on."""
        try:
            yield
        except UnusableSubmissionError as error:
            status = Status.ERROR if error.needs_person else Status.UNUSABLE
            self._record_failure(task, status, str(error))
        except (SubmissionError, UsageError) as error:
            self._record_failure(task, Status.UNUSABLE, str(error))
        except GraderError as error:
            self._record_failure(task, Status.ERROR, f"{error} {error.next_step}".strip())
        except Exception as error:  # noqa: BLE001  # a fault of the grader costs one student only
            trace = "".join(traceback.format_exception(error))
            self.observer.warn(f"the grader failed on {task.work.student.id}:\n{trace}")
            message = f"the grader itself failed: {type(error).__name__}: {error}"
            self._record_failure(task, Status.ERROR, message)

    def _record_failure(self, task: Task, status: Status, message: str) -> None:
        self._students.pop(task.work.student.id, None)
        possible = self.assignment.points
        lost = possible if status is Status.UNUSABLE else 0.0
        summary = StudentSummary(
            student=task.work.student,
            status=status,
            message=message,
            score=Score(possible=possible, lost=lost, undecided=possible - lost),
            complete=False,
            practice=self.options.practice,
        )
        self.record(task, summary, None)


def _ignore_epoch(_key: tuple[str, str], _job: TrainingJob, _epoch: int, _: EpochResult) -> None:
    """A class's progress is told by student, not by epoch."""
