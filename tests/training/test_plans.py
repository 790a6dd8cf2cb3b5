"""Many plans run over one trainer."""

from dataclasses import replace

import pytest

from grader.errors import MachineError, ModelError
from grader.models.spec import LayerSpec, ModelSpec, default_optimizer
from grader.training.job import TrainingJob
from grader.training.plans import Round, run_plans
from tests.support.item_samples import TableTrainer

MODEL = ModelSpec(
    layers=(
        LayerSpec(kind="Dropout", path="0", arguments={"p": 0.5, "inplace": False}),
        LayerSpec(
            kind="Linear",
            path="1",
            arguments={"in_features": 784, "out_features": 10, "bias": True},
        ),
    )
)
JOB = TrainingJob(
    model=MODEL,
    optimizer=default_optimizer(MODEL),
    scheduler=None,
    epochs=10,
    batch_size=32,
    seed=0,
    dataset="mnist",
    dataset_sha256="data",
    input_shape=(784,),
    counted_epoch="best",
    stop_at_accuracy=None,
)


@pytest.mark.parametrize(
    "failure", [MachineError("the process was killed"), ModelError("SGD cannot be built")]
)
def test_error_ends_one_plan(failure):
    """One item's lost worker, or model that PyTorch refuses, costs no other item its grade."""

    def accuracy(job: TrainingJob) -> float:
        if job.epochs == 7:
            raise failure
        return 0.99

    def plan(epochs: int):
        return (yield Round(jobs=[replace(JOB, epochs=epochs)]))

    plans = {"broken": plan(7), "whole": plan(3)}
    outcomes = dict(run_plans(plans, TableTrainer(accuracy), lambda *_: None))
    assert outcomes["broken"] is failure
    assert outcomes["whole"][0].best_accuracy == 0.99
