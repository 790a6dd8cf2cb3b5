"""Losses and metrics: classes, two classes by one output, and numbers to predict."""

import math

import pytest
import torch
from torch import nn

from grader.errors import ModelError
from grader.results import Metric
from grader.training.datasets import Datasets, load_dataset
from grader.training.loop import train
from grader.training.losses import mean_loss, mean_loss_of_each, rmse
from grader.training.stacked import can_stack, train_stacked
from tests.support.dask_cluster import started_cluster
from tests.support.data_samples import colours, plane, save_arrays, slope
from tests.support.specs import FLATTEN, RELU, linear, model, replace
from tests.support.training_samples import conv, submit, training_job

FEATURES = model(linear(2, 16), RELU, linear(16, 3))
TWO = model(linear(2, 8), RELU, linear(8, 1))
NUMBERS = model(linear(4, 2))
RGB = model(conv(3, 2), RELU, FLATTEN, linear(2 * 30 * 30, 3))

CASES = {
    "rgb": (colours(), RGB, "CrossEntropyLoss", 0.9),
    "features": (plane(), FEATURES, "CrossEntropyLoss", 0.9),
    "two-classes": (plane(2), TWO, "BCEWithLogitsLoss", 0.9),
    "numbers": (slope(2), NUMBERS, "MSELoss", 0.2),
    "absolute": (slope(2), NUMBERS, "L1Loss", 0.2),
}


@pytest.fixture(params=CASES)
def case(request, tmp_path):
    """A small data set, a job on it, and the value that the job reaches."""
    arrays, spec, loss, reached = CASES[request.param]
    dataset = load_dataset(save_arrays(tmp_path, "data.npz", arrays).beside(tmp_path))
    shape = dataset.facts.input_shape
    job = training_job(
        spec,
        loss=loss,
        epochs=12,
        batch_size=8,
        counted_epoch="final",
        dataset=dataset.name,
        input_shape=shape,
    )
    rate = {**job.optimizer.groups[0].settings, "lr": 1e-3 if spec is RGB else 1e-2}
    group = replace(job.optimizer.groups[0], settings=rate)
    return dataset, replace(job, optimizer=replace(job.optimizer, groups=(group,))), reached


@pytest.mark.parametrize("name", ["CrossEntropyLoss", "BCEWithLogitsLoss", "MSELoss", "L1Loss"])
def test_as_in_pytorch(name):
    """Each loss is PyTorch's, for one model and for each model of a stack."""
    random = torch.Generator().manual_seed(0)
    columns = {"CrossEntropyLoss": 3, "BCEWithLogitsLoss": 1}.get(name, 2)
    outputs = torch.randn(4, 5, columns, generator=random)
    if name in {"MSELoss", "L1Loss"}:
        targets = torch.randn(4, 5, 2, generator=random)
        wanted = targets
    else:
        targets = torch.randint(0, 2, (4, 5), generator=random)
        wanted = targets if columns == 3 else targets.unsqueeze(-1).float()
    expected = [
        getattr(nn, name)()(one, of_one) for one, of_one in zip(outputs, wanted, strict=True)
    ]
    alone = [mean_loss(name, one, of_one) for one, of_one in zip(outputs, targets, strict=True)]
    torch.testing.assert_close(alone, expected)
    torch.testing.assert_close(mean_loss_of_each(name, outputs, targets), torch.stack(expected))
    shared = mean_loss_of_each(name, outputs, targets[:1])
    torch.testing.assert_close(shared[0], expected[0])


def test_training(case):
    """Each kind of data is learnt, and a run says what was measured."""
    dataset, job, reached = case
    run = train(job, dataset)
    metric = job.metric
    assert metric.is_met(run.final(metric), reached)
    assert bool(run.confusion) is (metric is Metric.ACCURACY)
    pictures = {bool(example.pixels_base64) for example in run.misclassified}
    assert pictures <= {dataset.facts.is_images}
    if metric is Metric.RMSE:
        assert 0 < run.rmse_error < run.final(metric)
        assert [epoch.test_accuracy for epoch in run.epochs] == [0.0] * 12
    else:
        assert sum(map(sum, run.confusion)) == dataset.facts.test_examples


def test_stack(case):
    """A stack of two seeds ends where the two end alone."""
    dataset, job, _ = case
    jobs = [replace(job, seed=seed, epochs=3) for seed in (1, 2)]
    assert can_stack(jobs)
    stacked = train_stacked(jobs, dataset)
    for one, together in zip(jobs, stacked, strict=True):
        alone = train(one, dataset)
        assert together.final(job.metric) == pytest.approx(alone.final(job.metric), abs=0.04)
        losses = [epoch.train_loss for epoch in together.epochs]
        assert losses == pytest.approx([epoch.train_loss for epoch in alone.epochs], rel=1e-3)


def test_output_that_does_not_fit(tmp_path):
    """A model with two outputs for BCEWithLogitsLoss is refused in words."""
    dataset = load_dataset(save_arrays(tmp_path, "data.npz", plane(2)).beside(tmp_path))
    job = training_job(model(linear(2, 2)), loss="BCEWithLogitsLoss", input_shape=(2,))
    with pytest.raises(ModelError, match=r"the shape must be \(1,\)"):
        train(job, dataset)


def test_error_and_its_standard_error():
    """The standard error is the spread of the RMSE over many test sets."""
    random = torch.Generator().manual_seed(0)
    errors = 0.5 * torch.randn(400, 1000, 1, generator=random)
    found = [rmse(one, torch.zeros_like(one)) for one in errors]
    values, deviations = torch.tensor(found).T
    assert float(values.std()) == pytest.approx(float(deviations.mean()), rel=0.1)
    assert rmse(torch.tensor([[math.inf]]), torch.zeros(1, 1)) == (Metric.RMSE.worst, 0.0)


def test_digest():
    """Cross entropy has the digest that it had before there was a choice; another has its own."""
    job = training_job(NUMBERS)
    assert job.digest() != replace(job, loss="MSELoss").digest()


@pytest.mark.slow
def test_cluster(case, tmp_path):
    """A worker of a cluster computes what this machine computes."""
    from grader.training.cluster import DaskTrainer  # needs the extra "cluster"

    dataset, job, _ = case
    with started_cluster(tmp_path) as cluster:
        cluster.add_worker()
        with DaskTrainer(Datasets.of(dataset), address=cluster.address) as trainer:
            remote = submit(trainer, job).result()
    local = train(job, dataset)
    assert replace(remote, wall_seconds=0.0) == replace(local, wall_seconds=0.0)
