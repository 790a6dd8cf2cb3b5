"""The stages that one submission and a whole class go through alike, between the private copy of
the files and the finished result. Nothing here prints.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import grader
from grader.assignment.selection import list_questions, select_items
from grader.errors import DatasetError, MachineError
from grader.results import Provenance, Score, SubmissionResult, Timing
from grader.sandbox.extract import extract
from grader.sandbox.worker.quick_imports import garbage_collection_paused

if TYPE_CHECKING:
    import threading

    from grader.assignment.records import Assignment
    from grader.grading.submission import Grading
    from grader.intake.private_copy import Submission
    from grader.questions import Extraction
    from grader.sandbox.isolation.choice import Sandbox
    from grader.training.datasets import Dataset


@dataclass(frozen=True, kw_only=True)
class Options:
    """How to grade, as the command line says it.

    Attributes:
        data_directory: where MNIST lies, or None to look for it.
        practice: use the embedded practice set.
        may_fall_back: use the practice set where MNIST cannot be had.
        seeds: instead of the assignment's own; then every one of them is run.
        device: "auto", "cpu" or "cuda".
        scheduler: address of a Dask scheduler whose workers train, or None to train here.
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
    scheduler: str | None = None
    only: tuple[str, ...] = ()
    full: bool = False
    quick: bool = False
    unsafe: bool = False
    use_cache: bool = True


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What all submissions of one run of the grader share.

    Attributes:
        assignment: with the thresholds of the data that is really used.
        device: "cpu" or "cuda".
    """

    assignment: Assignment
    options: Options
    dataset: Dataset
    sandbox: Sandbox
    device: str


class Clock:
    """Seconds since the start, and of each stage."""

    def __init__(self) -> None:
        self.started_at = datetime.now(UTC).isoformat(timespec="seconds")
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


def ask(
    submission: Submission,
    assignment: Assignment,
    options: Options,
    sandbox: Sandbox,
    stop: threading.Event,
) -> Mapping[str, Extraction]:
    """What the sandbox says to every question that the selected items need, by question id.

    Raises:
        SandboxError: the sandbox does not start here.
        ExtractionStoppedError: `stop` was set.
    """
    questions = list_questions(assignment, select_items(assignment, options.only))
    answers = extract(submission, questions, limits=assignment.limits, sandbox=sandbox, stop=stop)
    return {answer.question.id: answer for answer in answers}


def prepare(
    assignment: Assignment, options: Options, sandbox: Sandbox, warn: Callable[[str], None]
) -> Setting:
    """Load the data, and torch with it, and choose the device.

    Args:
        assignment: as its author wrote it.
        options: as the user gave them.
        sandbox: that works here.
        warn: told if the practice set is used in place of the assignment's own data.

    Raises:
        DatasetError: the data cannot be had.
        MachineError: the wanted device is not there.
    """
    with garbage_collection_paused():
        import_module(
            "grader.grading.submission"
        )  # and torch with it, while the sandbox is at work
    dataset = _choose_dataset(assignment, options, warn)
    return Setting(
        assignment=assignment.for_practice() if dataset.practice else assignment,
        options=options,
        dataset=dataset,
        sandbox=sandbox,
        device=_choose_device(options),
    )


def _choose_dataset(
    assignment: Assignment, options: Options, warn: Callable[[str], None]
) -> Dataset:
    from grader.training.datasets import load_dataset  # noqa: PLC0415  # torch loads beside the sandbox

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
        warn(
            f"{error}. The practice set {assignment.practice.dataset} is used instead: this is "
            "PRACTICE and no grade."
        )
        return load_dataset(assignment.practice.dataset)


def _choose_device(options: Options) -> str:
    if options.scheduler:  # The device of the workers; this machine may have none.
        return "cpu" if options.device == "auto" else options.device
    import torch  # noqa: PLC0415  # loads beside the sandbox

    available = torch.cuda.is_available()
    if options.device == "cuda" and not available:
        raise MachineError(
            "there is no GPU that torch can use here", next_step="use --device cpu or auto"
        )
    return "cuda" if available and options.device != "cpu" else "cpu"


@dataclass(frozen=True, kw_only=True)
class Underway:
    """A submission between its answers and its result.

    Attributes:
        submission: what was handed in; its private copy may be gone once `begin` has returned.
        grading: what is known so far.
    """

    submission: Submission
    grading: Grading
    setting: Setting
    clock: Clock = field(default_factory=Clock)

    def result(self) -> SubmissionResult:
        """The result, when every item of the grading has one."""
        results = self.grading.results.values()
        seconds = self.clock.seconds
        return SubmissionResult(
            name=self.submission.name,
            score=Score.total([item.score for item in results]),
            complete=all(item.score.undecided == 0 for item in results),
            problems=self.grading.problems(),
            intake=self.submission.notes,
            provenance=_describe(self.setting, self.submission.sha256),
            timing=Timing(
                started_at=self.clock.started_at,
                extract_seconds=seconds.get("extract", 0.0),
                train_seconds=seconds.get("train", 0.0),
                total_seconds=self.clock.total(),
            ),
        )


def begin(
    setting: Setting,
    submission: Submission,
    extractions: Mapping[str, Extraction],
    clock: Clock,
) -> Underway:
    """Check everything, and grade what needs no training."""
    from grader.grading.submission import Grading  # noqa: PLC0415  # torch loads beside the sandbox

    assignment, options, dataset = setting.assignment, setting.options, setting.dataset
    grading = Grading(
        assignment=assignment,
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
    grading.grade_untrained()
    return Underway(submission=submission, grading=grading, setting=setting, clock=clock)


def _describe(setting: Setting, submission_sha256: str) -> Provenance:
    assignment, options, dataset = setting.assignment, setting.options, setting.dataset
    return Provenance(
        grader_version=grader.__version__,
        assignment_id=assignment.id,
        assignment_title=assignment.title,
        assignment_sha256=assignment.digest(),
        submission_sha256=submission_sha256,
        dataset=dataset.name,
        dataset_sha256=dataset.sha256,
        train_examples=len(dataset.train_labels),
        test_examples=len(dataset.test_labels),
        practice=dataset.practice,
        seeds=options.seeds or assignment.seeds,
        official_seeds=not options.seeds,
        python_version=platform.python_version(),
        torch_version=version("torch"),
        torchvision_version=version("torchvision"),
        numpy_version=version("numpy"),
        platform=platform.platform(),
        processor=_name_processor(),
        device=setting.device,
        threads_per_run=1,
        isolation=setting.sandbox.isolation,
        isolation_details=setting.sandbox.details,
        unsafe=setting.sandbox.unsafe,
    )


@cache
def _name_processor() -> str:
    """The processor's name as Linux knows it; elsewhere what Python says."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
