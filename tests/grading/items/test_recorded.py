"""Recorded trainings become models and recipes, with a note for each difference."""

from typing import Any

import pytest

from grader.assignment.constraints import MaxHiddenUnits
from grader.assignment.records import ModelItem
from grader.grading.items import model as model_kind
from grader.grading.items.model import ModelTraining
from grader.grading.items.recorded import extract_training, report_programs
from grader.models.failures import Failure
from grader.models.questions import Extraction, Question
from grader.models.recording import Attribution, Doubt, Place, RecordedTraining, Recording
from grader.models.spec import SchedulerSpec
from grader.results import ItemResult, Outcome
from tests.support.item_samples import ITEMS, make_context
from tests.support.program_samples import C, trained
from tests.support.specs import model, replace

ITEM = ITEMS["2C"]
assert isinstance(ITEM, ModelItem)
QUESTION = Question(id="2C", kind="model", file="problem_2.py", function="model_c")
FAILURE = Failure(kind="wrong-type", phase="", message="it is a closure", next_step="use Adam")
STEP_LR = SchedulerSpec(kind="StepLR", arguments={"step_size": 5, "gamma": 0.5})


def extract(*, item: ModelItem = ITEM, others: tuple[Any, ...] = (), **changes: Any) -> Extraction:
    """The answer to 2C from a training."""
    attribution = Attribution(training=trained(C, 7, **changes), reason="so", others=others)
    return extract_training(QUESTION, item, attribution)


def check(
    extraction: Extraction | None = None, *, item: ModelItem = ITEM, **changes: Any
) -> ItemResult | ModelTraining:
    extractions = {"2C": extraction or extract(item=item, **changes)}
    return model_kind.check("2C", item, make_context(extractions=extractions))


def ready(**changes: Any) -> ModelTraining:
    found = check(**changes)
    assert isinstance(found, ModelTraining)
    return found


def test_recipe():
    """Epochs, batch size, optimiser, scheduler and normalisation are the program's."""
    training = ready(
        epochs=20,
        batch_size=64,
        scheduler=STEP_LR,
        scheduler_steps="epoch",
        mean=(0.1307,),
        std=(0.3081,),
    )
    job = training.job
    assert (job.epochs, job.batch_size, job.scheduler) == (20, 64, STEP_LR)
    assert job.normalization is not None
    assert job.normalization.mean == (0.1307,)
    assert training.so_far.notes == ()
    assert training.so_far.source is not None
    assert training.so_far.source.location == "problem_2.ipynb, cell 7, line 1"
    assert training.so_far.source.recipe == "20 epochs, batch size 64"
    assert training.so_far.recipe is not None


@pytest.mark.parametrize(
    ("changes", "note"),
    [
        ({"epochs": 100}, "epochs is 100: cut to 60, the maximum."),
        ({"batch_size": 1}, "The program's batch size is 1; the grader uses 16."),
        ({"batch_size": 0}, "The program's batch size was not recorded; the grader uses 32."),
        ({"loops": (10, 10), "epochs": 20}, "in 2 loops of 10 and 10 epochs: all count together"),
        ({"loss": "MSELoss"}, "The program's loss is MSELoss; the grader trains with cross"),
        ({"mean": (0.5, 0.4, 0.3), "std": (1.0, 1.0, 1.0)}, "normalisation fits no image"),
        ({"scheduler": STEP_LR}, "The program never steps its StepLR"),
        ({"scheduler": STEP_LR, "scheduler_steps": "batch"}, "StepLR after every batch"),
        ({"class_name": "Net"}, "Net is a class whose forward() is one chain"),
        (
            {"own_initialisation": Place(file="problem_2.ipynb", cell=3, line=9)},
            "Initial weights are set at problem_2.ipynb, cell 3, line 9.",
        ),
    ],
)
def test_notes(changes, note):
    """Each difference from the program is one note, and costs nothing."""
    training = ready(**changes)
    (found,) = training.so_far.notes
    assert note in found


def test_cross_entropy():
    """The usual names of the loss get no note; LogSoftmax with NLLLoss is the same."""
    assert ready(loss="cross_entropy").so_far.notes == ()
    log_softmax = model(
        *((layer.kind, layer.arguments) for layer in C.layers), ("LogSoftmax", {"dim": 1})
    )
    item = replace(ITEM, constraints=())
    training = ready(item=item, layers=log_softmax.layers, loss="NLLLoss")
    assert training.so_far.notes == (
        "LogSoftmax with NLLLoss is cross entropy, with which the grader trains.",
    )


def test_fixed_recipe():
    """A fixed recipe is the assignment's, whatever the program trains."""
    item = replace(ITEM, recipe=replace(ITEM.recipe, fixed=True, maximum_epochs=10))
    training = ready(item=item, epochs=12, batch_size=64)
    assert (training.job.epochs, training.job.batch_size) == (10, 32)
    (note,) = training.so_far.notes
    assert note.startswith("The program trains 12 epochs, batch size 64. The assignment fixes 10")


def test_scaled_twice():
    """Pixels that are divided twice get a hint."""
    assert [hint.id for hint in ready(scaled_twice=True).so_far.hints] == ["pixels-scaled-twice"]


def test_class_refused():
    """An assignment may insist on nn.Sequential."""
    result = check(item=replace(ITEM, modules=False), class_name="Net")
    assert isinstance(result, ItemResult)
    failed = [check.id for check in result.checks if check.outcome is Outcome.FAILED]
    assert failed == ["sequential"]


@pytest.mark.parametrize("role", ["optimizer", "scheduler"])
def test_optimizer_that_cannot_be_read(role):
    """An optimiser or scheduler that could not be read is for a person."""
    changes: dict[str, Any] = {"failures": ((role, FAILURE),), role: None}
    result = check(**changes)
    assert isinstance(result, ItemResult)
    assert result.outcome is Outcome.PENDING
    assert result.score.pending == ITEM.points
    pending = next(check for check in result.checks if check.outcome is Outcome.PENDING)
    assert pending.observed == "it is a closure"
    assert pending.title.startswith("The program's ")


def test_rule_broken_beside_a_doubt():
    """A rule that is certainly broken fails, whatever else is unclear."""
    changes: dict[str, Any] = {"failures": (("optimizer", FAILURE),), "optimizer": None}
    item = replace(ITEM, constraints=(MaxHiddenUnits(units=1),))
    result = check(extract(**changes), item=item)
    assert isinstance(result, ItemResult)
    assert result.outcome is Outcome.FAILED


def test_doubt():
    """A doubt is pending with all of its points."""
    doubt = Doubt(observed="2 trainings", next_step="name it", location="problem_2.ipynb, cell 3")
    result = check(Extraction(question=QUESTION, doubt=doubt))
    assert isinstance(result, ItemResult)
    assert result.outcome is Outcome.PENDING
    assert result.score.pending == ITEM.points
    assert [check.observed for check in result.checks] == ["2 trainings"]


def test_branch():
    """A model that is no chain fails, as a function's does."""
    result = check(layers=(), failure=FAILURE)
    assert isinstance(result, ItemResult)
    assert result.outcome is Outcome.FAILED
    assert result.checks[0].observed == "it is a closure"


def test_programs():
    """The report lists each program once: its trainings, and what failed in it."""
    question = Question(id="record:a.ipynb", kind="recording", file="a.ipynb", function="")
    failed = Failure(
        kind="exception",
        phase="",
        message="no drive",
        next_step="",
        location="a.ipynb, cell 2, line 1",
    )
    training: RecordedTraining = trained(C, 7)
    found = Extraction(
        question=question, recording=Recording(trainings=(training,), failures=(failed,))
    )
    unread = Extraction(question=question, failure=FAILURE)
    first, second = report_programs([found, unread, extract()])
    assert first.trainings == ("problem_2.ipynb, cell 7, line 1 (Linear 100-10, 10 epochs)",)
    assert [fault.location for fault in first.faults] == ["a.ipynb, cell 2, line 1"]
    assert [fault.message for fault in second.faults] == ["it is a closure"]
