"""Grade one submission: collect, extract, check, train, score. Nothing here prints."""

from __future__ import annotations

import platform
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import grader
from grader.cache_directory import default_cache_directory
from grader.collect import Submission, collect
from grader.errors import DatasetError, MachineError
from grader.extract import extract
from grader.results import (
    EpochResult,
    ItemResult,
    Provenance,
    Score,
    SubmissionResult,
    Timing,
)
from grader.run_cache import RunCache
from grader.sandbox import Sandbox, choose_sandbox
from grader.selection import list_questions, select_items

if TYPE_CHECKING:
    from grader.assignment import Assignment
    from grader.datasets import Dataset
    from grader.grading import Grading
    from grader.questions import Extraction
    from grader.train import TrainingJob


@dataclass(frozen=True, kw_only=True)
class Options:
    """How to grade, as the command line says it.

    Attributes:
        data_directory: where MNIST lies, or None to look for it.
        practice: use the embedded practice set.
        may_fall_back: use the practice set where MNIST cannot be had.
        seeds: instead of the assignment's own; then every one of them is run.
        device: "auto", "cpu" or "cuda".
        only: problems, parts or items to grade; empty for all.
        full: train every epoch, even past a met threshold.
        quick: everything but training.
        unsafe: run the student's code without a sandbox.
        use_cache: take runs of the same job from the cache, and keep new ones there.
    """

    data_directory: Path | None = None
    practice: bool = False
    may_fall_back: bool = True
    seeds: tuple[int, ...] = ()
    device: str = "auto"
    only: tuple[str, ...] = ()
    full: bool = False
    quick: bool = False
    unsafe: bool = False
    use_cache: bool = True


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
    directory: Path, assignment: Assignment, options: Options, observer: Observer
) -> Graded:
    """Grade the submission in `directory`.

    Raises:
        UsageError: the directory cannot be graded, or an option names something unknown.
        MachineError: no grade can be given on this machine.
        KeyboardInterrupt: Ctrl-C before anything was graded.
    """
    started_at = datetime.now(UTC).isoformat(timespec="seconds")
    clock = _Clock()
    sandbox = choose_sandbox(unsafe=options.unsafe)
    with closing(collect(directory, assignment.files())) as submission:
        observer.stage(f"asking {submission.name} for its answers in the sandbox")
        with _extracting(submission, assignment, options, sandbox) as extracting:
            # torch loads here while the sandbox is already at work.
            dataset = _choose_dataset(assignment, options, observer)
            extractions = extracting.result()
        clock.mark("extract")
        grading = _begin(assignment, options, submission, dataset, extractions)
        observer.stage("checking")
        grading.grade_untrained()
        interrupted = _train(grading, dataset, options, observer)
        clock.mark("train")
        return Graded(
            interrupted=interrupted,
            result=SubmissionResult(
                name=submission.name,
                score=Score.total([item.score for item in grading.results.values()]),
                complete=all(item.score.undecided == 0 for item in grading.results.values()),
                problems=grading.problems(),
                intake=submission.notes,
                provenance=_describe(grading, submission, dataset, options, sandbox),
                timing=Timing(
                    started_at=started_at,
                    extract_seconds=clock.seconds["extract"],
                    train_seconds=clock.seconds["train"],
                    total_seconds=clock.total(),
                ),
            ),
        )


class _Clock:
    """Seconds since the start, and of each stage."""

    def __init__(self) -> None:
        self._start = self._last = time.monotonic()
        self.seconds: dict[str, float] = {}

    def mark(self, stage: str) -> None:
        """End a stage."""
        now = time.monotonic()
        self.seconds[stage] = round(now - self._last, 3)
        self._last = now

    def total(self) -> float:
        """Seconds since the start."""
        return round(time.monotonic() - self._start, 3)


@contextmanager
def _extracting(
    submission: Submission, assignment: Assignment, options: Options, sandbox: Sandbox
) -> Iterator[Future[Mapping[str, Extraction]]]:
    """Extract in the background; whatever ends the block early ends the sandbox too."""
    questions = list_questions(assignment, select_items(assignment, options.only))
    stop = threading.Event()

    def run() -> Mapping[str, Extraction]:
        answers = extract(
            submission, questions, limits=assignment.limits, sandbox=sandbox, stop=stop
        )
        return {answer.question.id: answer for answer in answers}

    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="extract") as executor:
        try:
            yield executor.submit(run)
        finally:
            stop.set()


def _choose_dataset(assignment: Assignment, options: Options, observer: Observer) -> Dataset:
    from grader.datasets import load_dataset  # noqa: PLC0415  # torch loads beside the sandbox

    if options.practice:
        return load_dataset(assignment.practice.dataset)
    try:
        return load_dataset(
            assignment.dataset,
            data_directory=options.data_directory,
            download=not options.quick,
        )
    except DatasetError as error:
        if options.quick and options.data_directory is None:
            return load_dataset(assignment.practice.dataset)
        if not options.may_fall_back or options.data_directory is not None:
            raise
        observer.warn(
            f"{error}. The practice set {assignment.practice.dataset} is used instead: this is "
            "PRACTICE and no grade."
        )
        return load_dataset(assignment.practice.dataset)


def _begin(
    assignment: Assignment,
    options: Options,
    submission: Submission,
    dataset: Dataset,
    extractions: Mapping[str, Extraction],
) -> Grading:
    from grader.grading import Grading  # noqa: PLC0415  # torch loads beside the sandbox

    return Grading(
        assignment=assignment.for_practice() if dataset.practice else assignment,
        selected=select_items(assignment, options.only),
        extractions=extractions,
        read_written=submission.read_written,
        dataset=dataset.name,
        train_examples=len(dataset.train_labels),
        test_examples=len(dataset.test_labels),
        practice=dataset.practice,
        seeds=options.seeds or assignment.seeds,
        every_seed=bool(options.seeds),
        full=options.full,
    )


def _train(grading: Grading, dataset: Dataset, options: Options, observer: Observer) -> bool:
    """Train what is still needed; returns whether Ctrl-C ended it."""
    if options.quick:
        grading.rehearse()
        grading.leave_out_rest("left out by --quick")
        return False

    # torch loads beside the sandbox, so nothing that needs it is imported any earlier.
    from grader.cached_trainer import CachedTrainer  # noqa: PLC0415
    from grader.rounds import run_plans  # noqa: PLC0415

    plans = grading.plans()
    observer.training_starts(list(plans))
    device = _choose_device(options.device)
    cache = None
    if options.use_cache:
        directory = default_cache_directory()
        cache = RunCache(directory, dataset_sha256=dataset.sha256, device=device)
    try:
        with CachedTrainer(dataset, device=device, cache=cache) as trainer:
            for item_id, outcome in run_plans(plans, trainer, observer.epoch_ended):
                observer.item_finished(grading.finish(item_id, outcome))
    except KeyboardInterrupt:
        grading.leave_out_rest("stopped by Ctrl-C before it was trained")
        return True
    return False


def _choose_device(name: str) -> str:
    import torch  # noqa: PLC0415  # loads beside the sandbox

    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise MachineError(
            "there is no GPU that torch can use here", next_step="use --device cpu or auto"
        )
    return "cuda" if available and name != "cpu" else "cpu"


def _describe(
    grading: Grading,
    submission: Submission,
    dataset: Dataset,
    options: Options,
    sandbox: Sandbox,
) -> Provenance:
    assignment = grading.assignment
    return Provenance(
        grader_version=grader.__version__,
        assignment_id=assignment.id,
        assignment_title=assignment.title,
        assignment_sha256=assignment.digest(),
        submission_sha256=submission.sha256,
        dataset=dataset.name,
        dataset_sha256=dataset.sha256,
        train_examples=grading.train_examples,
        test_examples=grading.test_examples,
        practice=dataset.practice,
        seeds=grading.seeds,
        official_seeds=not options.seeds,
        python_version=platform.python_version(),
        torch_version=version("torch"),
        torchvision_version=version("torchvision"),
        numpy_version=version("numpy"),
        platform=platform.platform(),
        processor=_name_processor(),
        device=_choose_device(options.device),
        threads_per_run=1,
        isolation=sandbox.isolation,
        isolation_details=sandbox.details,
        unsafe=sandbox.unsafe,
    )


def _name_processor() -> str:
    """The processor's name as Linux knows it; elsewhere what Python says."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
