"""Models: each check broken alone, the runs that a verdict takes, and the verdict."""

import math

import pytest
import torch
from safetensors.torch import save

from grader.assignment.records import ModelItem
from grader.grading.items import model as model_kind
from grader.grading.items.interface import Context
from grader.grading.items.model import ModelTraining, check_one_step
from grader.grading.options import Options
from grader.models.build import build_model
from grader.models.questions import Extraction, PlainMapping
from grader.models.spec import ModelSpec, OptimizerSpec, default_optimizer
from grader.results import EpochResult, ItemResult, Outcome, TrainingRun
from grader.training.budget import Budget
from grader.training.data_sources.vision import TorchvisionDataset
from grader.training.job import TrainingJob
from tests.support.item_samples import ITEMS, make_context, run_plan
from tests.support.specs import (
    FAILURE,
    FLATTEN,
    LOCATION,
    RELU,
    answer_extraction,
    failed_extraction,
    linear,
    mlp,
    model,
    model_extraction,
    replace,
)
from tests.support.training_samples import conv, training_job

ITEM = ITEMS["2C"]
assert isinstance(ITEM, ModelItem)

FACTS = TorchvisionDataset("MNIST").facts()


def check(
    extraction: Extraction,
    *,
    reported: Extraction | None = None,
    item: ModelItem = ITEM,
    **conditions: object,
) -> ItemResult | ModelTraining:
    """Check 2C on the full MNIST."""
    extractions = {"2C": extraction} | ({"2C:reported": reported} if reported else {})
    return model_kind.check("2C", item, make_context(extractions=extractions, **conditions))


def limited_context(**limits: float) -> Context:
    """Two models, under limits of the assignment."""
    extraction = model_extraction(mlp())
    context = make_context(extractions={"2C": extraction, "2D": extraction})
    assignment = context.setting.assignment
    assignment = replace(assignment, limits=replace(assignment.limits, **limits))
    return replace(context, setting=replace(context.setting, assignment=assignment))


def checked(extraction: Extraction | None = None, **others: object) -> ModelTraining:
    """A model that passed its checks."""
    found = check(extraction or model_extraction(mlp()), **others)
    assert isinstance(found, ModelTraining)
    return found


def failures(found: ItemResult | ModelTraining) -> dict[str, str]:
    """The observations of failed checks by the check's id."""
    result = found if isinstance(found, ItemResult) else found.so_far
    return {check.id: check.observed for check in result.checks if check.outcome is Outcome.FAILED}


def test_allowed_model_gets_a_job():
    """The job carries the student's recipe, or the assignment's."""
    training = checked()
    job = training.job
    assert (job.epochs, job.batch_size) == (10, 32)
    assert job.input_shape == (1, 28, 28)
    assert [row.hidden_units for row in training.so_far.architecture] == [0, 100, 0, 0]
    assert training.so_far.hidden_units == 100
    assert training.multiply_adds == (784 * 100 + 100 * 10) * 60_000 * 10


def test_flat_input():
    """A model may take 784 numbers: Flatten is the student's choice."""
    training = checked(model_extraction(model(linear(784, 100), RELU, linear(100, 10))))
    assert training.job.input_shape == (784,)


@pytest.mark.parametrize(
    ("extraction", "check_id", "observed"),
    [
        (model_extraction(mlp(hidden=101)), "max-hidden-units", "101"),
        (
            model_extraction(model(FLATTEN, linear(784, 10), ("Tanh", {}))),
            "allowed-layers",
            "Tanh",
        ),
        (model_extraction(mlp(outputs=9)), "fit", "gives (9,)"),
        (
            model_extraction(model(FLATTEN, linear(28, 100), RELU, linear(100, 10))),
            "fit",
            "28",
        ),
        (model_extraction(mlp(), failures=(("optimizer", FAILURE),)), "optimizer", "ValueError"),
        (model_extraction(mlp(), failures=(("scheduler", FAILURE),)), "scheduler", "ValueError"),
        (model_extraction(mlp(), failures=(("training", FAILURE),)), "recipe", "ValueError"),
    ],
)
def test_broken_rule_fails_alone(extraction, check_id, observed):
    """A model that breaks one rule is told of one."""
    found = failures(check(extraction))
    assert list(found) == [check_id]
    assert observed in found[check_id]


def test_failed_check_names_the_place():
    """A student can go straight to the line."""
    result = check(model_extraction(mlp(hidden=300)))
    assert isinstance(result, ItemResult)
    (failed,) = [check for check in result.checks if check.outcome is Outcome.FAILED]
    assert failed.location == LOCATION
    assert "200" in failed.next_step
    assert result.checks[-1].observed == "not trained, because 1 of the checks above failed"


def test_climbing_optimizer():
    """maximize=True is legal PyTorch and never meant."""
    spec = mlp()
    optimizer = default_optimizer(spec)
    group = optimizer.groups[0]
    climbing = replace(
        optimizer, groups=(replace(group, settings={**group.settings, "maximize": True}),)
    )
    assert list(failures(check(model_extraction(spec, optimizer=climbing)))) == ["optimizer"]


def test_work_past_the_budget():
    """The cost of all seeds is known before a tensor exists."""
    found = failures(model_kind.check("2C", ITEM, limited_context(training_multiply_adds=1e9)))
    assert found == {"work": "up to 143 billion multiply-adds over all seeds"}


def test_budget_is_each_items_own():
    """Another model changes no verdict, so that --only changes none."""
    context = limited_context(training_multiply_adds=2e11)
    for item_id in ("2C", "2D"):
        found = model_kind.check(item_id, ITEM, context)
        assert isinstance(found, ModelTraining)
        budget = next(found.plan()).budget
        assert budget == Budget(reference_epochs=1200, repetitions=3, memory_bytes=900_000_000)


def test_without_a_model():
    """Without a model there is the student's failure, and nothing is checked."""
    result = check(failed_extraction(FAILURE, "model_c"))
    assert isinstance(result, ItemResult)
    assert [check.id for check in result.checks] == ["called", "accuracy"]
    assert (result.parameters, result.architecture) == (None, ())


def with_huge_weights(spec: ModelSpec) -> ModelSpec:
    """The model with weights so large that its outputs overflow float32."""
    tensors = {
        name: torch.full_like(parameter, 1e30)
        for name, parameter in build_model(spec).named_parameters()
    }
    return replace(spec, weights=save(tensors))


def test_rehearsal_takes_one_step():
    """--quick adds one training step to the checks, and skips the accuracy."""
    result = checked().rehearse().leave_out("left out by --quick")
    assert [check.id for check in result.checks[-2:]] == ["one-step", "accuracy"]
    assert result.outcome is Outcome.SKIPPED
    assert result.checks[-1].observed == "left out by --quick"


def test_one_step_with_infinite_loss():
    """--quick finds a loss that is not a number."""
    spec = mlp()
    job = checked(model_extraction(spec)).job
    assert check_one_step(job, FACTS, seed=1)[0].outcome is Outcome.PASSED
    exploding = replace(job, model=with_huge_weights(spec))
    assert check_one_step(exploding, FACTS, seed=1)[0].outcome is Outcome.FAILED


def with_rate(job: TrainingJob, learning_rate: float, **settings: object) -> TrainingJob:
    """The job with SGD."""
    (group,) = job.optimizer.groups
    defaults = {"momentum": 0.0, "dampening": 0.0, "weight_decay": 0.0, "maximize": False}
    changed = replace(
        group, settings={"lr": learning_rate, "nesterov": False} | defaults | settings
    )
    return replace(job, optimizer=OptimizerSpec(kind="SGD", groups=(changed,)))


def test_one_step_with_refused_optimizer():
    """It fails with PyTorch's words, and what PyTorch takes passes."""
    job = checked().job
    refused, _ = check_one_step(
        with_rate(job, 0.1, momentum=0.9, dampening=0.1, nesterov=True), FACTS, seed=1
    )
    assert refused.outcome is Outcome.FAILED
    assert "Nesterov" in refused.observed
    allowed = with_rate(job, 0.1, momentum=0.0, nesterov=True)
    assert check_one_step(allowed, FACTS, seed=1)[0].outcome is Outcome.PASSED


def with_irregularity(spec: ModelSpec, code: str) -> ModelSpec:
    """The model with an oddity of its layers that have parameters."""
    layers = (
        replace(layer, irregularity=code) if layer.kind == "Linear" else layer
        for layer in spec.layers
    )
    return replace(spec, layers=tuple(layers))


def test_frozen_weights():
    """The grader sets the mode itself; what must be trained must be trainable."""
    checked(model_extraction(with_irregularity(mlp(), "evaluation")))
    assert list(failures(check(model_extraction(with_irregularity(mlp(), "frozen"))))) == [
        "ordinary-layers"
    ]


def run_model(accuracies: dict[int, float], **conditions: object) -> list[TrainingJob]:
    """The jobs that were run for the threshold of 2C on 10,000 test images."""
    jobs, runs = run_plan(checked(**conditions).plan(), lambda job: accuracies[job.seed])
    assert [run.seed for run in runs] == [job.seed for job in jobs]
    return jobs


@pytest.mark.parametrize(
    ("accuracies", "seeds"),
    [
        ({1: 0.9751}, [1]),
        ({1: 0.9600}, [1]),
        ({1: 0.9700, 2: 0.9700, 3: 0.9760}, [1, 2, 3]),
        ({1: 0.9745, 2: 0.9760}, [1, 2]),
        ({1: 0.9745, 2: 0.9740, 3: 0.9741}, [1, 2, 3]),
    ],
    ids=[
        "a clear pass",
        "a clear failure",
        "by the spread between seeds",
        "met by the second seed",
        "met by none",
    ],
)
def test_further_seeds(accuracies, seeds):
    """A clear verdict costs one run; a shortfall that chance explains costs up to three."""
    assert [job.seed for job in run_model(accuracies)] == seeds


def test_every_seed():
    """--seeds runs all of them, for any verdict."""
    jobs = run_model({1: 0.99, 2: 0.99, 3: 0.99}, options=Options(seeds=(1, 2, 3)))
    assert [job.seed for job in jobs] == [1, 2, 3]


def test_early_stop():
    """A best-epoch run stops once its verdict is clear, unless --full."""
    assert run_model({1: 0.99})[0].stop_at_accuracy == pytest.approx(0.97806, abs=1e-5)
    assert run_model({1: 0.99}, options=Options(full=True))[0].stop_at_accuracy is None


def grade(
    *accuracies: float, extraction: Extraction | None = None, reported: Extraction | None = None
) -> ItemResult:
    """The verdict on runs whose first epoch has these accuracies."""
    runs = [
        TrainingRun(
            seed=seed,
            epochs=(
                EpochResult(train_loss=0.1, test_accuracy=accuracy),
                EpochResult(train_loss=0.05, test_accuracy=accuracy - 0.01),
            ),
        )
        for seed, accuracy in enumerate(accuracies, start=1)
    ]
    result = checked(extraction, reported=reported).result(runs)
    assert result.training is not None
    return result


def test_one_seed_is_enough():
    """The best epoch of the best seed counts in 2C; a person is told that the other fell short."""
    result = grade(0.974, 0.976)
    assert result.outcome is Outcome.PASSED
    assert result.training.accuracy == 0.976
    assert result.training.borderline
    assert result.checks[-1].observed.endswith("(the best of 2 seeds); the other seeds fell short")


def test_pass_without_a_flag():
    """A pass by the rule is a pass, however near the threshold is."""
    result = grade(0.9751)
    assert result.outcome is Outcome.PASSED
    assert not result.training.borderline


def test_failure_in_doubt():
    """A failure is flagged if the threshold is inside the interval."""
    result = grade(0.9745, 0.9740)
    assert result.training.borderline
    assert "the threshold is within the 95% interval" in result.checks[-1].observed


def test_clear_failure():
    """A clear failure is not borderline, and the next step names the gap."""
    result = grade(0.95)
    assert result.outcome is Outcome.FAILED
    assert not result.training.borderline
    assert "2.50 percentage points" in result.checks[-1].next_step


def test_reported_accuracy_costs_nothing():
    """A gap wider than chance explains is flagged for a person to look at."""
    honest = grade(0.98, reported=answer_extraction(0.979, "reported_accuracy_c"))
    inflated = grade(0.98, reported=answer_extraction(0.999, "reported_accuracy_c"))
    assert (honest.training.reported_differs, inflated.training.reported_differs) == (False, True)
    assert inflated.outcome is Outcome.PASSED


def test_reported_percentage():
    """97.9 is taken as 0.979, and a hint says how to write it."""
    result = grade(0.98, reported=answer_extraction(97.9, "reported_accuracy_c"))
    assert result.training.reported_accuracy == pytest.approx(0.979)
    assert not result.training.reported_differs
    assert result.hints[-1].message == ("97.9 is not a share: write 0.979 in reported_accuracy_c()")


@pytest.mark.parametrize("value", [979, -0.5, "0.979", True, math.nan])
def test_unusable_report(value):
    """A note says that nothing is compared."""
    result = grade(0.98, reported=answer_extraction(value, "reported_accuracy_c"))
    assert result.training.reported_accuracy is None
    assert result.notes[-1].endswith("which is not a share from 0 to 1.")


def test_surest_cause_is_the_next_step():
    """A Softmax at the end explains a failure, so no training is advised."""
    layers = (FLATTEN, linear(784, 100), RELU, linear(100, 10))
    softmax = model(*layers, ("Softmax", {"dim": 1}))
    result = grade(0.95, extraction=model_extraction(softmax))
    assert result.checks[-1].next_step == ("remove layer 4 (Softmax): cross entropy expects scores")


@pytest.mark.parametrize(
    ("epochs", "longer"), [(10, "train longer or faster"), (60, "still falling, learn faster")]
)
def test_longer_training_is_advised_where_it_is_possible(epochs, longer):
    """At the maximum of epochs, longer training is no way out."""
    training = PlainMapping(pairs=(("epochs", epochs),))
    result = grade(0.95, extraction=model_extraction(mlp(), training=training))
    assert longer in result.checks[-1].next_step


def test_layer_that_is_not_allowed_is_never_built(monkeypatch):
    """Of a model with such a layer, nothing is built, its other layers included."""
    monkeypatch.setattr("grader.models.build._build_layer", lambda *_: pytest.fail("built"))
    found = check(model_extraction(model(FLATTEN, linear(784, 10), ("Sigmoid", {}))))
    assert "allowed-layers" in failures(found)
    assert isinstance(found, ItemResult)


def test_one_step_of_a_large_model(monkeypatch):
    """A large model gets a smaller batch, and a huge one is not even built."""
    batches = []

    def train(job, noise, on_epoch):
        batches.append(len(noise.train_targets))
        return TrainingRun(seed=1, epochs=(EpochResult(train_loss=1.0),))

    monkeypatch.setattr(model_kind, "train", train)
    wide = training_job(model(conv(1, 64), RELU, FLATTEN, linear(64 * 676, 10)), batch_size=1024)
    assert check_one_step(wide, FACTS, seed=1)[0].outcome is Outcome.PASSED
    assert 2 <= batches[0] < 500
    window = {"kernel_size": 511, "stride": 1, "padding": 255, "dilation": 1, "ceil_mode": False}
    padded = ("Conv2d", {**conv(1, 1)[1], "padding": 400})
    for huge in (
        model(padded, ("MaxPool2d", window), FLATTEN, linear(826 * 826, 10)),
        model(FLATTEN, linear(784, 30_000), linear(30_000, 10)),
    ):
        left_out, seconds = check_one_step(training_job(huge), FACTS, seed=1)
        assert (left_out.outcome, seconds) == (Outcome.SKIPPED, 0.0)
        assert "too large for a quick step" in left_out.observed
    assert len(batches) == 1
