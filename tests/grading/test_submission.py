"""One submission from its extractions to its results, without a sandbox and without training."""

from dataclasses import replace
from types import SimpleNamespace

import torch

from grader.assignment.loading import load_assignment
from grader.assignment.records import Assignment
from grader.assignment.selection import list_questions
from grader.errors import MachineError
from grader.grading.clock import Clock
from grader.grading.items.model import ModelTraining
from grader.grading.items.sweep import SweepTraining
from grader.grading.options import Options, Setting
from grader.grading.submission import Grading
from grader.intake.written import WrittenAnswer
from grader.results import Outcome
from grader.training.data_sources.vision import TorchvisionDataset
from grader.training.datasets import Dataset, Datasets
from tests.support.specs import answer_extraction, linear, model, model_extraction

SWEPT = model(
    ("Flatten", {"start_dim": 1, "end_dim": -1}),
    ("Dropout", {"p": 0.5, "inplace": False}),
    linear(784, 10),
)


def sweep_first() -> Assignment:
    """Part 3G of set 4 without constraints, its sweep before its model."""
    assignment = load_assignment("set4")
    problem = assignment.problems[-1]
    part = next(part for part in problem.parts if part.id == "3G")
    named = dict(part.items)
    items = (
        ("sweep", named["sweep"]),
        ("model", replace(named["model"], constraints=())),
    )
    return replace(assignment, problems=(replace(problem, parts=(replace(part, items=items),)),))


def check(assignment: Assignment, *only: str) -> Grading:
    """A grading after its checks."""
    images = torch.zeros(10, 28, 28, dtype=torch.uint8)
    labels = torch.arange(10)
    dataset = Dataset(
        name="mnist",
        sha256="",
        facts=TorchvisionDataset("MNIST").facts(),
        train_inputs=images,
        train_targets=labels,
        test_inputs=images,
        test_targets=labels,
    )
    setting = Setting(
        assignment=assignment,
        options=Options(only=only),
        datasets=Datasets.of(dataset),
        practice=False,
        sandbox=SimpleNamespace(),
        device="cpu",
    )
    grading = Grading(
        setting=setting,
        submission=SimpleNamespace(read_written=lambda _file, _below: WrittenAnswer()),
        extractions={
            "3G.model": model_extraction(SWEPT),
            "3G.sweep": answer_extraction((0.9,) * 10, "dropout_sweep"),
        },
        clock=Clock(),
    )
    grading.check()
    return grading


def test_sweep_may_come_first():
    """A sweep finds its model's training in either order of the items."""
    trainings = check(sweep_first()).trainings
    assert list(trainings) == ["3G.model", "3G.sweep"]
    assert isinstance(trainings["3G.model"], ModelTraining)
    assert isinstance(trainings["3G.sweep"], SweepTraining)


def test_only_the_sweep():
    """A sweep alone asks for its model too, and the model itself is left out."""
    assignment = sweep_first()
    questions = list_questions(assignment, frozenset({"3G.sweep"}))
    assert [question.id for question in questions] == [
        "3G.sweep",
        "3G.model",
        "3G.model:reported",
    ]
    grading = check(assignment, "3G.sweep")
    assert list(grading.trainings) == ["3G.sweep"]
    assert grading.results["3G.model"].checks[0].observed == "left out by --only"


def test_error_ends_one_item():
    """A lost worker costs one item its grade; the rest is left out with its reason."""
    grading = check(sweep_first())
    assert grading.finish("3G.model", MachineError("killed")).outcome is Outcome.ERROR
    grading.leave_out_rest("stopped by Ctrl-C before it was trained")
    assert grading.results["3G.sweep"].outcome is Outcome.SKIPPED
    assert grading.trainings == {}
