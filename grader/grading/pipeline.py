"""Grade one submission: collect, extract, check, train, score. Nothing here prints."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from grader.assignment.selection import select_items
from grader.grading.clock import Clock
from grader.grading.options import Options
from grader.grading.stages import ask, begin, hidden_paths, prepare, start_tests
from grader.intake.private_copy import collect
from grader.results import LEFT_OUT_BY_QUICK, EpochResult, ItemResult, SubmissionResult
from grader.sandbox.isolation.choice import choose_sandbox

if TYPE_CHECKING:
    from grader.assignment.records import Assignment
    from grader.grading.submission import Grading
    from grader.models.questions import Extraction
    from grader.training.job import TrainingJob


class Observer(Protocol):
    """Shows the progress of a grading."""

    def stage(self, text: str) -> None:
        """Show that a stage begins."""

    def warn(self, text: str) -> None:
        """Show something that the user must not miss."""

    def training_starts(self, work: Mapping[str, float]) -> None:
        """Show the items that are about to be trained, each with the multiply-adds of one run."""

    def epoch_ended(self, item_id: str, job: TrainingJob, epoch: int, result: EpochResult) -> None:
        """Show one epoch of one run of an item; epochs count from 1."""

    def item_finished(self, item: ItemResult) -> None:
        """Show the result of an item that was trained."""


@dataclass(frozen=True, kw_only=True)
class Graded:
    """The result; `interrupted` says that Ctrl-C ended the grading early."""

    result: SubmissionResult
    interrupted: bool


def grade_submission(
    directory: Path,
    assignment: Assignment,
    options: Options,
    observer: Observer,
    while_waiting: Callable[[], None] = lambda: None,
) -> Graded:
    """Grade the submission in `directory`.

    `while_waiting` is called while the sandbox is at work, to load what comes after grading.

    Raises:
        UsageError: the directory cannot be graded, or an option names something unknown.
        MachineError: this machine cannot grade.
        KeyboardInterrupt: Ctrl-C before anything was graded.
    """
    clock = Clock()
    select_items(assignment, options.only)  # raises before anything starts
    with (
        start_tests(assignment, options) as tests,
        collect(directory, assignment.files(), dict(assignment.file_names)) as submission,
    ):
        sandbox = choose_sandbox(
            own_work=options.own_work, hidden=hidden_paths(assignment, options)
        )
        where = "without a sandbox" if sandbox.unsafe else "in the sandbox"
        observer.stage(f"asking {submission.name} for its answers {where}")
        asking = partial(ask, submission, assignment, options, sandbox, tests)
        with _extracting(asking) as extracting:
            # torch loads here, while the sandbox is at work.
            setting = prepare(assignment, options, sandbox, observer.warn)
            while_waiting()
            extractions = extracting.result()
        clock.mark("extract")
        observer.stage("checking")
        grading = begin(setting, submission, extractions, clock)
    interrupted = _train(grading, observer)
    clock.mark("train")
    return Graded(result=grading.result(), interrupted=interrupted)


@contextmanager
def _extracting(
    asking: Callable[[threading.Event], Mapping[str, Extraction]],
) -> Iterator[Future[Mapping[str, Extraction]]]:
    """Ask the sandbox in the background; leaving the block early ends the sandbox."""
    stop = threading.Event()
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="extract") as executor:
        try:
            yield executor.submit(asking, stop)
        finally:
            stop.set()


def _train(grading: Grading, observer: Observer) -> bool:
    """Train the items that need training, and return True if Ctrl-C ended it."""
    setting = grading.setting
    if setting.options.show:
        grading.leave_out_rest("left out by --show")
        return False
    if setting.options.quick:
        grading.rehearse()
        grading.leave_out_rest(LEFT_OUT_BY_QUICK)
        return False

    # The sandbox need not wait for these, and --quick does without.
    from grader.training.cached_trainer import CachedTrainer  # noqa: PLC0415
    from grader.training.data_places import default_cache_directory  # noqa: PLC0415
    from grader.training.plans import run_plans  # noqa: PLC0415
    from grader.training.pool import TrainingPool  # noqa: PLC0415
    from grader.training.run_cache import RunCache  # noqa: PLC0415

    cache = RunCache(default_cache_directory(), device=setting.device)
    plans = {item_id: training.plan() for item_id, training in grading.trainings.items()}
    work = {item_id: training.multiply_adds for item_id, training in grading.trainings.items()}
    observer.training_starts(work)
    try:
        with CachedTrainer(
            start_pool=partial(TrainingPool, setting.datasets, device=setting.device),
            cache=cache if setting.options.use_cache else None,
        ) as trainer:
            for item_id, outcome in run_plans(plans, trainer, observer.epoch_ended):
                observer.item_finished(grading.finish(item_id, outcome))
    except KeyboardInterrupt:
        grading.leave_out_rest("stopped by Ctrl-C before it was trained")
        return True
    return False
