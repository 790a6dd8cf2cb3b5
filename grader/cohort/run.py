"""One run over the students of a class: extract, train the plans together, and yield results.

Student code runs in sandboxes on this machine. It leaves training jobs, which are pure data; equal
jobs of different students are trained once. A failure ends the grading of one student only.
"""

from __future__ import annotations

import shutil
import threading
import traceback
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from grader.assignment.records import Assignment
from grader.cohort.summary import Status, StudentSummary, now, summarize_items
from grader.errors import GraderError, SubmissionError, UnusableSubmissionError, UsageError
from grader.grading.clock import Clock
from grader.grading.options import Options, Setting
from grader.grading.stages import ask, begin, hidden_paths, prepare, start_tests
from grader.intake.names import suffix_of
from grader.intake.pictures import PDF, PICTURES_NAME, keep_pictures
from grader.intake.private_copy import collect
from grader.intake.submission import Submission
from grader.intake.submitted import SubmittedWork, open_submission
from grader.report.files import FILES_NAME, remove_links, write_reports
from grader.results import IntakeNote, Lateness, Outcome, Score, SubmissionResult
from grader.sandbox.isolation.choice import Sandbox, choose_sandbox
from grader.sandbox.pdf_pages import draw_pages
from grader.testing.service import PytestService
from grader.training.cached_trainer import CachedTrainer, StartPool
from grader.training.data_places import default_cache_directory
from grader.training.plans import PlanRunner
from grader.training.pool import TrainingPool, count_cores
from grader.training.run_cache import RunCache

if TYPE_CHECKING:
    from grader.grading.submission import Grading  # loads torch

STUDENTS_AHEAD = 16
"""Students in progress beyond one for each round in training: enough to find long trainings early,
and few enough that memory does not grow with the class."""

SHOWN_NOTES = 3
"""Of a student's files, on the class page."""

DEAR_SHARE = 0.1
"""A model that takes more than this share of the permitted work waits for all others in progress,
so that a few of them hold up nobody. The course's own networks take a fiftieth of it or less."""

CLUSTER_ROUNDS = 1000
"""Rounds in training at a time on a cluster: enough for some hundred workers."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """One student to grade, with the folder for reports below the output directory.

    `inputs_sha256` is over everything that the grade depends on.
    """

    work: SubmittedWork
    folder: str
    late: Lateness
    inputs_sha256: str

    def decide(self, summary: StudentSummary) -> StudentSummary:
        """Return a summary with this student and with the points after the late policy."""
        decided = replace(
            summary,
            student=self.work.student,
            whose=self.work.whose,
            shared_as=self.work.shared_as,
            source=self.work.identity.label,
            platform=self.work.identity.platform,
            feedback_name=self.work.feedback_name,
        )
        return decided.with_score(summary.score, self.late)


Graded = tuple[Task, StudentSummary, SubmissionResult | None]
"""A finished student; the result is None if nothing could be graded."""


class RunObserver(Protocol):
    """An observer of the grading, called in the thread that grades."""

    def warn(self, text: str) -> None:
        """Show a message that the user must not miss."""

    def taken_in(self) -> None:
        """Count a student whose extraction has ended and whose training follows."""

    def runs_counted(self, *, trained: int, reused: int) -> None:
        """Show the numbers of training runs started, and of runs shared or reused."""


@dataclass(kw_only=True)
class _Student:
    """A student in training, with the ids of the items whose plans have not ended."""

    task: Task
    grading: Grading
    waiting_for: set[str]


@dataclass(kw_only=True)
class ClassRun:
    """One run over the students that need grading; `output` is the directory of the class."""

    assignment: Assignment
    options: Options
    output: Path
    observer: RunObserver
    _stop: threading.Event = field(default_factory=threading.Event)
    _setting: Future[Setting] = field(default_factory=Future)
    _extracting: dict[Future[Grading], Task] = field(default_factory=dict)
    _students: dict[str, _Student] = field(default_factory=dict)

    def grade(self, tasks: Sequence[Task]) -> Generator[Graded, None, None]:
        """Yield every student as soon as it is finished, with the reports written.

        Raises:
            MachineError: no sandbox works, or the data is missing.
            KeyboardInterrupt: Ctrl-C.
        """
        hidden = hidden_paths(self.assignment, self.options)
        sandbox = choose_sandbox(hidden=hidden)
        remaining = deque(tasks)
        with ExitStack() as resources:
            tests = resources.enter_context(start_tests(self.assignment, self.options))
            extractors = ThreadPoolExecutor(count_cores(), thread_name_prefix="extract")
            resources.callback(extractors.shutdown, wait=True, cancel_futures=True)
            resources.callback(self._setting.cancel)  # extractors may wait for it
            resources.callback(self._stop.set)
            extract = partial(self._extract, sandbox, tests)
            fill_window = partial(self._fill_window, remaining, extractors, extract)
            fill_window()
            self._load_setting(sandbox)
            tests.require_sound_tests()
            trainer = resources.enter_context(self._make_trainer())
            yield from self._run(trainer, fill_window)

    @property
    def _rounds_at_once(self) -> int:
        """Enough rounds that the trainer is never idle, and few enough that long ones overtake."""
        return CLUSTER_ROUNDS if self.options.scheduler else 2 * count_cores()

    def _fill_window(
        self,
        remaining: deque[Task],
        extractors: ThreadPoolExecutor,
        extract: Callable[[Task], Grading],
    ) -> None:
        window = STUDENTS_AHEAD + self._rounds_at_once
        while remaining and len(self._extracting) + len(self._students) < window:
            task = remaining.popleft()
            self._extracting[extractors.submit(extract, task)] = task

    def _load_setting(self, sandbox: Sandbox) -> None:
        """Load torch and the data while the first sandboxes are already running."""
        try:
            setting = prepare(self.assignment, self.options, sandbox, self.observer.warn)
        except BaseException as error:
            self._setting.set_exception(error)
            raise
        self._setting.set_result(setting)

    def _make_trainer(self) -> CachedTrainer:
        setting = self._setting.result()
        directory = default_cache_directory() if self.options.use_cache else self.output
        cache = RunCache(directory, device=setting.device)
        start_pool: StartPool = partial(TrainingPool, setting.datasets, device=setting.device)
        if address := self.options.scheduler:
            try:
                from grader.training.cluster import DaskTrainer  # noqa: PLC0415  # an extra
            except ImportError as error:
                next_step = "Install it: pip install 'sequential-grader[cluster]'"
                message = f"training on a cluster needs Dask: {error}"
                raise UsageError(message, next_step=next_step) from error
            start_pool = partial(
                DaskTrainer, setting.datasets, address=address, device=setting.device
            )
        return CachedTrainer(start_pool=start_pool, cache=cache)

    def _run(self, trainer: CachedTrainer, fill_window: Callable[[], None]) -> Iterator[Graded]:
        runner: PlanRunner[tuple[str, str]] = PlanRunner(
            trainer, lambda *_: None, rounds_at_once=self._rounds_at_once
        )
        while self._extracting or self._students:
            waited: list[Future[Any]] = [*self._extracting, *runner.futures()]
            if waited:
                wait(waited, return_when=FIRST_COMPLETED)
            for future in [future for future in self._extracting if future.done()]:
                task = self._extracting.pop(future)
                yield from self._attempt(task, partial(self._start_training, task, future, runner))
            for (student_id, item_id), outcome in runner.collect():
                student = self._students.get(student_id)
                if student is not None:  # else another of the student's items failed earlier
                    finish = partial(self._finish_item, student, item_id, outcome)
                    yield from self._attempt(student.task, finish)
            self.observer.runs_counted(trained=trainer.trained_runs, reused=trainer.reused_runs)
            fill_window()

    def _extract(self, sandbox: Sandbox, tests: PytestService, task: Task) -> Grading:
        """Ask and check one student, in a thread of the extractors."""
        clock = Clock()
        files = self.assignment.files()
        names = dict(self.assignment.file_names)
        with (
            open_submission(task.work, files, names) as opened,
            collect(opened.directory, files, names, opened.left_out) as submission,
        ):
            student = task.work.student
            named = replace(submission, name=student.name or student.id)
            extractions = ask(named, self.assignment, self.options, sandbox, tests, self._stop)
            clock.mark("extract")
            folder = self.output / task.folder
            remove_links(folder, folder / FILES_NAME, folder / PICTURES_NAME)
            _keep_graded_files(named, folder)
            pdfs = [file for file in named.answering_files() if suffix_of(file) == PDF]
            keep_pictures(named, folder, draw_pages(sandbox, named.root, pdfs))
            return begin(self._setting.result(), named, extractions, clock)

    def _start_training(
        self, task: Task, extracted: Future[Grading], runner: PlanRunner[tuple[str, str]]
    ) -> Graded | None:
        grading = extracted.result()
        trainings = dict(grading.trainings)
        student_id = task.work.student.id
        student = _Student(task=task, grading=grading, waiting_for=set(trainings))
        self._students[student_id] = student
        self.observer.taken_in()
        dear = self.assignment.limits.training_multiply_adds * DEAR_SHARE
        seeds = len(self.assignment.seeds)
        for item_id, training in trainings.items():
            runner.add(
                (student_id, item_id),
                training.plan(),
                work=training.multiply_adds,
                waits_for_all=training.multiply_adds * seeds > dear,
            )
        return None if trainings else self._finish(student)

    def _finish_item(self, student: _Student, item_id: str, outcome: Any) -> Graded | None:
        student.grading.finish(item_id, outcome)
        student.waiting_for.remove(item_id)
        return None if student.waiting_for else self._finish(student)

    def _finish(self, student: _Student) -> Graded:
        task = student.task
        student.grading.clock.mark("train")
        result = write_student_reports(self.output, task, student.grading.result())
        outcomes = {item.outcome for item in result.items()}
        summary = StudentSummary(
            student=task.work.student,
            status=Status.ERROR if Outcome.ERROR in outcomes else Status.GRADED,
            message=_in_words(result.intake),
            unclear_files=_in_words([note for note in result.intake if note.needs_person]),
            folder=task.folder,
            score=result.score,
            complete=result.complete,
            practice=result.provenance.practice,
            graded_at=now(),
            items=summarize_items(result),
        )
        del self._students[task.work.student.id]
        return task, task.decide(summary), result

    def _attempt(self, task: Task, step: Callable[[], Graded | None]) -> Iterator[Graded]:
        """Take a step for one student, and yield the student if it finished or failed."""
        try:
            graded = step()
        except Exception as error:  # noqa: BLE001  # a failure costs one student only
            graded = self._failed(task, error)
        if graded is not None:
            yield graded

    def _failed(self, task: Task, error: Exception) -> Graded:
        student_id = task.work.student.id
        self._students.pop(student_id, None)
        status, message, needs_person = Status.ERROR, str(error), False
        if isinstance(error, SubmissionError | UsageError):
            needs_person = isinstance(error, UnusableSubmissionError) and error.needs_person
            status = Status.ERROR if needs_person else Status.UNUSABLE
        elif isinstance(error, GraderError):
            message = f"{error} {error.next_step}".strip()
        else:
            trace = "".join(traceback.format_exception(error))
            self.observer.warn(f"the grader failed on {student_id}:\n{trace}")
            message = f"the grader itself failed: {type(error).__name__}: {error}"
        possible = self.assignment.points
        lost = possible if status is Status.UNUSABLE else 0.0
        summary = StudentSummary(
            student=task.work.student,
            status=status,
            message=message,
            score=Score(possible=possible, lost=lost, undecided=possible - lost),
            complete=False,
            practice=self.options.practice,
            graded_at=now(),
            needs_person=needs_person,
        )
        return task, task.decide(summary), None


def write_student_reports(output: Path, task: Task, result: SubmissionResult) -> SubmissionResult:
    """Write a student's reports, and return the result with its lateness if there is a policy.

    Reports are written before the store, so that every stored result has its reports.
    """
    late = task.late.with_penalty(result.score.earned) if task.late.due_at else None
    result = replace(result, late=late)
    write_reports(result, output / task.folder)
    return result


def _in_words(notes: Sequence[IntakeNote]) -> str:
    shown = "; ".join(f"{note.file}: {note.message}" for note in notes[:SHOWN_NOTES])
    more = len(notes) - SHOWN_NOTES
    return f"{shown}; and {more} more" if more > 0 else shown


def _keep_graded_files(submission: Submission, folder: Path) -> None:
    """Write the graded code and the written answers below `folder`, replacing earlier ones.

    Code has the assignment's names, so that it is compared with other students' code.
    """
    target = folder / FILES_NAME
    shutil.rmtree(target, ignore_errors=True)
    contents = {file: text.encode() for file, text in submission.graded_code().items()}
    for file in submission.answering_files():
        contents.setdefault(file, submission.root.joinpath(file).read_bytes())
    for file, content in contents.items():
        copy = target / file
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(content)
