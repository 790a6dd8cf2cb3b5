"""Grade one submission: collect, extract, check, train, score. Nothing here prints."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from grader.assignment.selection import select_items
from grader.grading.stages import Clock, Options, Setting, Underway, ask, begin, prepare
from grader.intake.private_copy import Submission, collect
from grader.results import EpochResult, ItemResult, SubmissionResult
from grader.sandbox.isolation.choice import Sandbox, choose_sandbox
from grader.training.cached_trainer import CachedTrainer
from grader.training.data_places import default_cache_directory, directories_with_labels
from grader.training.plans import run_plans
from grader.training.pool import TrainingPool
from grader.training.run_cache import RunCache

if TYPE_CHECKING:
    from grader.assignment.records import Assignment
    from grader.questions import Extraction
    from grader.training.job import TrainingJob


class Observer(Protocol):
    """Told what happens while a submission is graded."""

    def stage(self, text: str) -> None:
        """A stage begins."""

    def warn(self, text: str) -> None:
        """Something that the user must not miss."""

    def training_starts(self, item_ids: list[str]) -> None:
        """These items are about to be trained."""

    def epoch_ended(self, item_id: str, job: TrainingJob, epoch: int, result: EpochResult) -> None:
        """One epoch of one run of an item ended; epochs count from 1."""

    def item_finished(self, item: ItemResult) -> None:
        """An item that needed training has its result."""


@dataclass(frozen=True, kw_only=True)
class Graded:
    """The result, and whether Ctrl-C ended the grading before everything was graded."""

    result: SubmissionResult
    interrupted: bool


def grade_submission(
    directory: Path,
    assignment: Assignment,
    options: Options,
    observer: Observer,
    meanwhile: Callable[[], None] = lambda: None,
) -> Graded:
    """Grade the submission in `directory`.

    Args:
        directory: what was handed in.
        assignment: as its author wrote it.
        options: as the user gave them.
        observer: told what happens.
        meanwhile: called while the sandbox is at work, to load ahead what comes after grading.

    Raises:
        UsageError: the directory cannot be graded, or an option names something unknown.
        MachineError: no grade can be given on this machine.
        KeyboardInterrupt: Ctrl-C before anything was graded.
    """
    clock = Clock()
    select_items(assignment, options.only)  # a wrong part is told before anything is begun
    sandbox = choose_sandbox(
        unsafe=options.unsafe, hidden=directories_with_labels(options.data_directory)
    )
    with closing(collect(directory, assignment.files())) as submission:
        observer.stage(f"asking {submission.name} for its answers in the sandbox")
        with _extracting(submission, assignment, options, sandbox) as extracting:
            # torch loads here while the sandbox is already at work.
            setting = prepare(assignment, options, sandbox, observer.warn)
            meanwhile()
            extractions = extracting.result()
        clock.mark("extract")
        observer.stage("checking")
        underway = begin(setting, submission, extractions, clock)
    interrupted = _train(underway, observer)
    clock.mark("train")
    return Graded(result=underway.result(), interrupted=interrupted)


@contextmanager
def _extracting(
    submission: Submission, assignment: Assignment, options: Options, sandbox: Sandbox
) -> Iterator[Future[Mapping[str, Extraction]]]:
    """Extract in the background; whatever ends the block early ends the sandbox too."""
    stop = threading.Event()
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="extract") as executor:
        try:
            yield executor.submit(ask, submission, assignment, options, sandbox, stop)
        finally:
            stop.set()


def _train(underway: Underway, observer: Observer) -> bool:
    """Train what is still needed; returns whether Ctrl-C ended it."""
    grading, setting = underway.grading, underway.setting
    if setting.options.quick:
        grading.rehearse()
        grading.leave_out_rest("left out by --quick")
        return False

    plans = {item_id: planned.plan for item_id, planned in grading.plans().items()}
    observer.training_starts(list(plans))
    try:
        with CachedTrainer(
            setting.dataset,
            start_pool=partial(TrainingPool, device=setting.device),
            cache=_open_cache(setting),
        ) as trainer:
            for item_id, outcome in run_plans(plans, trainer, observer.epoch_ended):
                observer.item_finished(grading.finish(item_id, outcome))
    except KeyboardInterrupt:
        grading.leave_out_rest("stopped by Ctrl-C before it was trained")
        return True
    return False


def _open_cache(setting: Setting) -> RunCache | None:
    if not setting.options.use_cache:
        return None
    return RunCache(
        default_cache_directory(), dataset_sha256=setting.dataset.sha256, device=setting.device
    )
