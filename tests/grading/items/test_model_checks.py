"""The static checks of a model, each broken alone."""

import pytest
import torch
from safetensors.torch import save

from grader.assignment.loading import load_assignment
from grader.assignment.records import ModelItem
from grader.grading.items.model_checks import CheckedModel, check_model
from grader.grading.items.one_step import check_one_step
from grader.models.build import build_model
from grader.models.spec import ModelSpec, OptimizerSpec, default_optimizer
from grader.questions import Extraction
from grader.results import Outcome
from grader.training.job import TrainingJob
from tests.support.specs import (
    FAILURE,
    FLATTEN,
    LOCATION,
    RELU,
    failed_extraction,
    linear,
    mlp,
    model,
    model_extraction,
    replace,
)

ITEM = dict(load_assignment("set4").item_ids())["2C"]
assert isinstance(ITEM, ModelItem)


def check(extraction: Extraction, *, left: float = 1e14) -> CheckedModel:
    """All checks of 2C on the full MNIST."""
    return check_model(
        "2C",
        ITEM,
        extraction,
        dataset="mnist",
        train_examples=60_000,
        multiply_adds_left=left,
        seeds=3,
    )


def failures(checked: CheckedModel) -> dict[str, str]:
    """What failed: the observation by the check's id."""
    return {
        result.id: result.observed for result in checked.checks if result.outcome is Outcome.FAILED
    }


def test_a_model_within_the_rules_gets_a_job():
    """The job carries the student's recipe, or the assignment's."""
    checked = check(model_extraction(mlp()))
    assert checked.passed
    assert checked.job is not None
    assert (checked.job.epochs, checked.job.batch_size) == (10, 32)
    assert checked.job.input_shape == (1, 28, 28)
    assert [row.hidden_units for row in checked.architecture] == [0, 100, 0, 0]
    assert checked.multiply_adds == (784 * 100 + 100 * 10) * 60_000 * 10


def test_a_model_may_take_784_numbers():
    """Flatten is the student's choice."""
    checked = check(model_extraction(model(linear(784, 100), RELU, linear(100, 10))))
    assert checked.passed
    assert checked.job is not None
    assert checked.job.input_shape == (784,)


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
def test_each_broken_rule_fails_its_own_check_alone(extraction, check_id, observed):
    """A model that breaks one rule is told of one."""
    found = failures(check(extraction))
    assert list(found) == [check_id]
    assert observed in found[check_id]


def test_a_failed_check_says_where_and_what_next():
    """A student can go straight to the line."""
    checked = check(model_extraction(mlp(hidden=300)))
    (failed,) = [result for result in checked.checks if result.outcome is Outcome.FAILED]
    assert failed.location == LOCATION
    assert "200" in failed.next_step
    assert checked.job is None


def test_an_optimizer_that_climbs_is_refused():
    """maximize=True is legal PyTorch and never meant."""
    spec = mlp()
    optimizer = default_optimizer(spec)
    group = optimizer.groups[0]
    climbing = replace(
        optimizer, groups=(replace(group, settings={**group.settings, "maximize": True}),)
    )
    assert list(failures(check(model_extraction(spec, optimizer=climbing)))) == ["optimizer"]


def test_work_past_the_budget_is_refused_before_it_is_paid():
    """The cost of all seeds is known before a tensor exists."""
    found = failures(check(model_extraction(mlp()), left=1e9))
    assert list(found) == ["work"]
    assert "143 billion" in found["work"]


def test_without_a_model_there_is_the_students_failure_and_nothing_else():
    """Checks on a model that is not there would only confuse."""
    checked = check(failed_extraction(FAILURE, "model_c"))
    assert [result.id for result in checked.checks] == ["called"]
    assert checked.job is None


def with_huge_weights(spec: ModelSpec) -> ModelSpec:
    """The model with weights so large that its outputs overflow float32."""
    tensors = {
        name: torch.full_like(parameter, 1e30)
        for name, parameter in build_model(spec).named_parameters()
    }
    return replace(spec, weights=save(tensors))


def test_one_step_finds_a_loss_that_is_not_a_number():
    """--quick tells of a learning rate that explodes at once."""
    spec = mlp()
    checked = check(model_extraction(spec))
    assert checked.job is not None
    assert check_one_step(checked.job, seed=1).outcome is Outcome.PASSED
    exploding = replace(checked.job, model=with_huge_weights(spec))
    assert check_one_step(exploding, seed=1).outcome is Outcome.FAILED


def with_rate(job: TrainingJob, learning_rate: float, **settings: object) -> TrainingJob:
    """The job with SGD."""
    (group,) = job.optimizer.groups
    defaults = {"momentum": 0.0, "dampening": 0.0, "weight_decay": 0.0, "maximize": False}
    changed = replace(
        group, settings={"lr": learning_rate, "nesterov": False} | defaults | settings
    )
    return replace(job, optimizer=OptimizerSpec(kind="SGD", groups=(changed,)))


def test_one_step_finds_an_optimizer_that_pytorch_refuses():
    """It fails with PyTorch's words, and what PyTorch takes passes."""
    job = check(model_extraction(mlp())).job
    assert job is not None
    refused = check_one_step(
        with_rate(job, 0.1, momentum=0.9, dampening=0.1, nesterov=True), seed=1
    )
    assert refused.outcome is Outcome.FAILED
    assert "Nesterov" in refused.observed
    allowed = with_rate(job, 0.1, momentum=0.0, nesterov=True)
    assert check_one_step(allowed, seed=1).outcome is Outcome.PASSED


def with_irregularity(spec: ModelSpec, code: str) -> ModelSpec:
    """The model with an oddity of its layers that have parameters."""
    layers = (
        replace(layer, irregularity=code) if layer.kind == "Linear" else layer
        for layer in spec.layers
    )
    return replace(spec, layers=tuple(layers))


def test_evaluation_mode_is_no_mistake_and_frozen_weights_are():
    """The grader sets the mode itself; what must be trained must be trainable."""
    assert check(model_extraction(with_irregularity(mlp(), "evaluation"))).job is not None
    assert list(failures(check(model_extraction(with_irregularity(mlp(), "frozen"))))) == [
        "ordinary-layers"
    ]
