"""The stages that one submission and a whole class share, from the private copy to the result."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from grader.assignment.records import FunctionsItem
from grader.assignment.selection import list_questions, needed_items, select_items
from grader.errors import AssignmentError, DatasetError, MachineError
from grader.grading.clock import Clock
from grader.grading.options import Options, Setting
from grader.sandbox.extract import Interview
from grader.sandbox.worker.preload import garbage_collection_paused
from grader.testing.service import PytestService
from grader.training.data_sources.named import label_paths, named_source

if TYPE_CHECKING:
    import threading

    from grader.assignment.records import Assignment
    from grader.grading.submission import Grading
    from grader.intake.submission import Submission
    from grader.models.questions import Extraction
    from grader.sandbox.isolation.choice import Sandbox
    from grader.training.datasets import Dataset, Datasets


def ask(
    submission: Submission,
    assignment: Assignment,
    options: Options,
    sandbox: Sandbox,
    tests: PytestService,
    stop: threading.Event,
) -> Mapping[str, Extraction]:
    """Return the sandbox's answers to the questions of the selected items, by question id.

    Programs are recorded, and their trainings given to the items.

    Raises:
        AssignmentError: the author made mistakes in the tests.
        MachineError: the sandbox or the tests do not start here.
        ExtractionStoppedError: `stop` was set.
    """
    needed = needed_items(assignment, select_items(assignment, options.only))
    with Interview(
        submission=submission, limits=assignment.limits, sandbox=sandbox, stop=stop
    ) as interview:
        questions = list_questions(assignment, needed)
        if any(question.file in submission.files for question in questions):
            interview.launch_ahead()  # loads torch while this thread loads what asks
        from grader.grading.asking import ask_submission  # noqa: PLC0415

        answers = ask_submission(interview.ask, submission, assignment, needed)
    return answers | tests.answer(submission, sandbox, stop)


def start_tests(assignment: Assignment, options: Options) -> PytestService:
    """Return a context manager that runs the author's tests of the selected items."""
    return PytestService(assignment, select_items(assignment, options.only))


def hidden_paths(assignment: Assignment, options: Options) -> list[Path]:
    """Return the paths that student code must not see: labels and the author's tests."""
    tests = [
        Path(item.tests_path).parent
        for _, item in assignment.item_ids()
        if isinstance(item, FunctionsItem)
    ]
    return [*label_paths(assignment.all_sources(), options.data_directory), *dict.fromkeys(tests)]


def prepare(
    assignment: Assignment, options: Options, sandbox: Sandbox, warn: Callable[[str], None]
) -> Setting:
    """Load torch and the data, and choose the device, while the sandbox is at work.

    `warn` is called if the practice set replaces the assignment's own data.

    Raises:
        DatasetError: the data is missing and cannot be downloaded.
        MachineError: the chosen device is missing.
    """
    with garbage_collection_paused():
        import_module("grader.grading.submission")  # imports torch
    chosen, datasets = _load_data(assignment, options, warn)
    return Setting(
        assignment=chosen,
        options=options,
        datasets=datasets,
        practice=chosen is not assignment,
        sandbox=sandbox,
        device=_choose_device(options),
    )


def begin(
    setting: Setting,
    submission: Submission,
    extractions: Mapping[str, Extraction],
    clock: Clock,
) -> Grading:
    """Check every item, and grade the items that need no training."""
    from grader.grading.excerpts import Sources  # noqa: PLC0415
    from grader.grading.submission import Grading  # noqa: PLC0415  # torch loads beside the sandbox

    grading = Grading(
        setting=setting,
        submission=submission,
        extractions=extractions,
        clock=clock,
        sources=Sources(submission),
    )
    grading.check()
    return grading


def _load_data(
    assignment: Assignment, options: Options, warn: Callable[[str], None]
) -> tuple[Assignment, Datasets]:
    """Return the assignment as it is graded, and the data sets of its trained items.

    Raises:
        DatasetError: the data is missing and cannot be downloaded.
        UsageError: the assignment has no practice set.
    """
    if options.practice:
        practised = assignment.for_practice()
        return practised, _load_datasets(practised, options, download=False)
    directory, trains = options.data_directory, not (options.quick or options.show)
    try:
        return assignment, _load_datasets(assignment, options, download=trains)
    except DatasetError as error:
        practice = assignment.practice
        falls_back = directory is None and (options.may_fall_back or not trains)
        if practice is None or not falls_back:
            raise
        if trains:
            warn(
                f"{error}. The practice set {named_source(practice.dataset).id} is used "
                "instead: this is PRACTICE, not a grade."
            )
        practised = assignment.for_practice()
        return practised, _load_datasets(practised, options, download=False)


def _load_datasets(assignment: Assignment, options: Options, *, download: bool) -> Datasets:
    """Load the data sets that the selected items need, each once.

    Raises:
        AssignmentError: an item does not fit a data set that was not at hand at the start.
    """
    from grader.training.datasets import Datasets, load_dataset  # noqa: PLC0415  # torch loads beside the sandbox

    items = dict(assignment.item_ids())
    selected = needed_items(assignment, select_items(assignment, options.only))
    loaded: dict[str, Dataset] = {}
    misfits = []
    for item_id, source in assignment.sources(selected).items():
        if source.id not in loaded:
            loaded[source.id] = load_dataset(
                source, data_directory=options.data_directory, download=download
            )
        facts = loaded[source.id].facts
        misfits += [
            f"item {item_id}.{each}" for each in items[item_id].find_misfits(source.id, facts)
        ]
    if misfits:
        raise AssignmentError(assignment.id, misfits)
    return Datasets(loaded)


def _choose_device(options: Options) -> str:
    if options.scheduler:  # The device of the workers; this machine may have none.
        return "cpu" if options.device == "auto" else options.device
    import torch  # noqa: PLC0415  # loads beside the sandbox

    available = torch.cuda.is_available()
    if options.device == "cuda" and not available:
        raise MachineError(
            "torch cannot use a GPU here", next_step="use --device cpu or --device auto"
        )
    return "cuda" if available and options.device != "cpu" else "cpu"
