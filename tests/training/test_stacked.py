"""Stacked training against training one at a time."""

import math
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from torch.nn import functional

from grader.models.build import build_model
from grader.models.kinds import OPTIMIZER_KINDS
from grader.training import stacked
from grader.training.job import Normalization
from grader.training.loop import train
from grader.training.stacked import StackedDropout, can_stack, stack_models, train_stacked
from tests.support.specs import FLATTEN, RELU, linear, mlp, model
from tests.support.training_samples import (
    POOL,
    batch_norm,
    cnn,
    conv,
    dropout,
    optimizer,
    practice_set,
    training_job,
)

AVERAGE = (
    "AvgPool2d",
    {
        "kernel_size": 2,
        "stride": 2,
        "padding": 0,
        "ceil_mode": False,
        "count_include_pad": True,
    },
)

pytestmark = pytest.mark.usefixtures("one_thread")
SOFTMAX = ("Softmax", {"dim": 1})
NO_BIAS = {"in_features": 784, "out_features": 10, "bias": False}
GROUPED = ("Conv2d", {**conv(8, 8)[1], "groups": 2, "stride": 2, "padding": 1})

STACKABLE = {
    "mlp": mlp(20),
    "cnn": cnn(0.0),
    "softmax": model(FLATTEN, linear(784, 10), SOFTMAX),
    "no bias": model(FLATTEN, ("Linear", NO_BIAS), ("LogSoftmax", {"dim": 1})),
    "norm of vectors": model(
        FLATTEN, linear(784, 16), batch_norm(16, 1), RELU, linear(16, 16), RELU, linear(16, 10)
    ),
    "norm without a bias": model(
        conv(1, 4), ("BatchNorm2d", {**batch_norm(4)[1], "bias": False}), RELU, FLATTEN
    ),
    "groups and pools": model(
        POOL, RELU, conv(1, 8), AVERAGE, GROUPED, ("Tanh", {}), FLATTEN, linear(72, 10)
    ),
    "later layers": model(
        ("ZeroPad2d", {"padding": (1, 0, 0, 1)}),
        conv(1, 8),
        ("Mish", {"inplace": False}),
        ("AdaptiveMaxPool2d", {"output_size": (3, 3)}),
        ("CELU", {"alpha": 0.5, "inplace": False}),
        ("Hardswish", {"inplace": False}),
        FLATTEN,
        linear(72, 10),
        ("Hardsigmoid", {"inplace": False}),
        ("Hardtanh", {"min_val": -1.0, "max_val": 0.9, "inplace": False}),
        ("Softsign", {}),
        ("LogSigmoid", {}),
    ),
    "adaptive": model(
        conv(1, 10), ("AdaptiveAvgPool2d", {"output_size": 1}), FLATTEN, ("Identity", {})
    ),
}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return practice_set(tmp_path_factory.mktemp("cache"), train_examples=510)


@pytest.mark.parametrize("name", STACKABLE)
@pytest.mark.parametrize("shared", [True, False])
def test_network_computes_every_model(name, shared):
    """Outputs, gradients and running statistics are those of each model by itself."""
    spec, seeds = STACKABLE[name], (1, 2, 3)
    assert can_stack([training_job(spec)])
    network = stack_models([(spec, seed) for seed in seeds], (1, 28, 28))
    torch.manual_seed(0)
    images = torch.rand(3, 6, 1, 28, 28)
    if shared:
        images[1:] = images[0]
    labels = torch.randint(0, 10, (6,))
    outputs = network(images[0] if shared else images.transpose(0, 1).flatten(1, 2))
    sum(functional.cross_entropy(of_model, labels) for of_model in outputs).backward()
    in_evaluation = network.eval()(images[0])
    parameters = dict(network.named_parameters())
    for number, seed in enumerate(seeds):
        torch.manual_seed(seed)
        alone = build_model(spec)
        expected = alone(images[number])
        functional.cross_entropy(expected, labels).backward()
        torch.testing.assert_close(outputs[number], expected, rtol=1e-4, atol=1e-5)
        for parameter_name, parameter in alone.named_parameters():
            ours = parameters[parameter_name].grad.reshape(3, *parameter.shape)[number]
            torch.testing.assert_close(ours, parameter.grad, rtol=1e-3, atol=1e-5)
        torch.testing.assert_close(
            in_evaluation[number], alone.eval()(images[0]), rtol=1e-4, atol=1e-5
        )


@pytest.mark.parametrize("kind", OPTIMIZER_KINDS)
@pytest.mark.parametrize("seeds", [(1, 1, 1), (1, 2, 3)])
def test_runs_equal_single_runs(kind, seeds, dataset):
    """Each model learns as it does alone, with shared batches or its own."""
    spec = mlp(20)
    jobs = [
        training_job(spec, optimizer=optimizer(kind, spec), seed=seed, epochs=2) for seed in seeds
    ]
    runs = train_stacked(jobs, dataset)
    for job, run in zip(jobs, runs, strict=True):
        alone = train(job, dataset)
        assert run.seed == job.seed
        for ours, theirs in zip(run.epochs, alone.epochs, strict=True):
            assert ours.train_loss == pytest.approx(theirs.train_loss, rel=1e-3)
            assert ours.test_accuracy == pytest.approx(theirs.test_accuracy, abs=0.005)
        assert [sum(row) for row in run.confusion] == [100] * 10
        assert len(run.misclassified) == 12


@pytest.mark.parametrize("shape", [(1, 28, 28), (784,)])
@pytest.mark.parametrize("seeds", [(1, 1), (1, 2)])
def test_normalized_runs_equal_single_runs(seeds, shape, dataset):
    """Batches that models share and batches of their own are normalised alike."""
    spec = mlp(20) if len(shape) == 3 else model(linear(784, 20), RELU, linear(20, 10))
    normalization = Normalization(mean=(0.1307,), std=(0.3081,))
    jobs = [
        training_job(spec, seed=seed, epochs=1, input_shape=shape, normalization=normalization)
        for seed in seeds
    ]
    for job, run in zip(jobs, train_stacked(jobs, dataset), strict=True):
        (ours,), (theirs,) = run.epochs, train(job, dataset).epochs
        assert ours.train_loss == pytest.approx(theirs.train_loss, rel=1e-3)
        assert ours.test_accuracy == pytest.approx(theirs.test_accuracy, abs=0.005)


@pytest.mark.parametrize("seeds", [(1, 1), (1, 2)])
def test_cnn_runs_equal_single_runs(seeds, dataset):
    """The same for convolutions and batch norms, under SGD, which does not magnify rounding."""
    spec = cnn(0.0)
    jobs = [
        training_job(spec, optimizer=optimizer("SGD", spec, lr=0.01), seed=seed, epochs=1)
        for seed in seeds
    ]
    for job, run in zip(jobs, train_stacked(jobs, dataset), strict=True):
        alone = train(job, dataset)
        assert run.epochs[0].train_loss == pytest.approx(alone.epochs[0].train_loss, rel=1e-3)
        assert run.epochs[0].test_accuracy == pytest.approx(alone.epochs[0].test_accuracy, abs=0.01)


def test_sweep_reports_every_job(dataset, monkeypatch):
    """The dropout sweep trains as one network, and each model reports its own epochs."""
    monkeypatch.setattr(stacked, "train", None)  # one at a time would fail
    jobs = [
        training_job(cnn(0.3).with_dropout(step / 4), epochs=1, counted_epoch="final")
        for step in range(5)
    ]
    heard = []
    runs = train_stacked(jobs, dataset, on_epoch=lambda *report: heard.append(report))
    assert heard == [(index, 1, run.epochs[0]) for index, run in enumerate(runs)]
    # With every value dropped a model cannot learn; the loss of guessing is log(10).
    assert runs[4].epochs[0].train_loss > math.log(10) - 0.05
    assert runs[0].epochs[0].train_loss < runs[2].epochs[0].train_loss


@pytest.mark.parametrize("shape", [(2, 4000, 5), (4000, 2 * 5, 1, 1)])
def test_dropout_has_pytorchs_distribution(shape):
    """Each model's values are dropped independently with its own probability, and scaled alike."""
    torch.manual_seed(0)
    probabilities = [0.2, 0.7]
    layer = StackedDropout(probabilities)
    dropped = layer(torch.ones(shape))
    of_models = dropped if len(shape) == 3 else dropped.view(4000, 2, 5).transpose(0, 1)
    for probability, values in zip(probabilities, of_models, strict=True):
        assert values.unique().tolist() == pytest.approx([0.0, 1 / (1 - probability)], rel=2e-5)
        count = values.numel()
        deviation = math.sqrt(probability * (1 - probability) / count)
        assert abs((values == 0).float().mean() - probability) < 4 * deviation
        # Neighbours are dropped together as often as independence has it.
        zero = values == 0
        for one, other in pairwise(zero.unbind(1)):
            both = (one & other).float().mean()
            expected = probability**2
            assert abs(both - expected) < 4 * math.sqrt(expected * (1 - expected) / len(one))


@pytest.mark.parametrize("probabilities", [[0.0, 1.0], [1.0, 1.0], [0.0, 0.0]])
def test_dropout_at_its_ends(probabilities):
    """Nothing is dropped at 0 and everything at 1, without a division by zero."""
    values = torch.rand(2, 3, 4) + 1
    dropped = StackedDropout(probabilities)(values)
    for probability, before, after in zip(probabilities, values, dropped, strict=True):
        assert torch.equal(after, before * (1 - probability))
    assert torch.equal(StackedDropout(probabilities).eval()(values), values)


def test_accuracies_with_dropout(dataset):
    """Over 30 seeds, stacked and single runs with dropout reach the same accuracies on average.

    The masks differ, so single runs cannot be compared; the means can, by Welch's t statistic.
    """
    few = replace(
        dataset, train_inputs=dataset.train_inputs[:256], train_targets=dataset.train_targets[:256]
    )
    spec = model(FLATTEN, linear(784, 16), RELU, dropout(0.5), linear(16, 10))
    other = spec.with_dropout(0.4)
    single = [
        train(training_job(spec, seed=seed, epochs=3), few).final_accuracy for seed in range(30)
    ]
    # A model with another probability beside it keeps the stack from using PyTorch's own dropout.
    grouped = [
        train_stacked([training_job(kind, seed=seed, epochs=3) for kind in (spec, other)], few)[0]
        for seed in range(30)
    ]
    ours = torch.tensor([run.final_accuracy for run in grouped])
    theirs = torch.tensor(single)
    error = torch.sqrt((ours.var() + theirs.var()) / 30)
    assert error > 0
    assert abs(ours.mean() - theirs.mean()) / error < 4


@pytest.mark.parametrize(
    "spec",
    [
        model(dropout(0.5), FLATTEN, linear(784, 10)),
        model(FLATTEN, batch_norm(784, 1), linear(784, 10)),
        model(("Conv2d", {**conv(1, 8)[1], "padding_mode": "reflect"}), FLATTEN, linear(5408, 10)),
        model(FLATTEN, linear(784, 20), ("Softmax", {"dim": 0}), linear(20, 10)),
        model(("Flatten", {"start_dim": 2, "end_dim": -1}), FLATTEN, linear(784, 10)),
        model(linear(28, 28), FLATTEN, linear(784, 10)),
    ],
)
def test_jobs_that_cannot_be_stacked(spec, dataset):
    """Layers that have no stacked form fall back, and give the very runs of `train`."""
    jobs = [training_job(spec, seed=seed, epochs=1) for seed in (1, 2)]
    assert not can_stack(jobs)
    runs = train_stacked(jobs, dataset)
    for job, run in zip(jobs, runs, strict=True):
        alone = train(job, dataset)
        assert replace(run, wall_seconds=0) == replace(alone, wall_seconds=0)


@pytest.mark.parametrize(
    "change",
    [
        {"epochs": 3},
        {"batch_size": 64},
        {"model": mlp(21), "optimizer": optimizer("Adam", mlp(21))},
        {"optimizer": optimizer("SGD", mlp(20))},
        {"counted_epoch": "final"},
        {"stop_at_accuracy": 0.9},
    ],
)
def test_jobs_that_differ_are_not_stacked(change):
    """Only seeds and dropout probabilities may differ."""
    job = training_job(mlp(20))
    assert can_stack([job, replace(job, seed=9)])
    assert not can_stack([job, replace(job, **change)])


def test_certain_verdict_stops(dataset):
    """A model whose verdict is certain ends there, while the others go on."""
    jobs = [training_job(mlp(20), seed=seed, epochs=8) for seed in (1, 2, 3)]
    whole = train_stacked(jobs, dataset)
    target = sorted(run.epochs[4].test_accuracy for run in whole)[1]
    runs = train_stacked([replace(job, stop_at_accuracy=target) for job in jobs], dataset)
    for run, full_run in zip(runs, whole, strict=True):
        accuracies = [epoch.test_accuracy for epoch in full_run.epochs]
        reached = next(
            (number for number, reached in enumerate(accuracies, 1) if reached >= target), 8
        )
        assert run.epochs == full_run.epochs[:reached]
        assert run.stopped_early == (reached < 8)


def test_divergence_gives_the_stack_up(dataset):
    """A loss that is not finite sends every job through training alone."""
    spec = mlp(8)
    wild = optimizer("SGD", spec, lr=1000.0, momentum=1.0)
    jobs = [training_job(spec, optimizer=wild, seed=seed, epochs=20) for seed in (1, 2)]
    runs = train_stacked(jobs, dataset)
    for job, run in zip(jobs, runs, strict=True):
        assert run.diverged
        assert replace(run, wall_seconds=0) == replace(train(job, dataset), wall_seconds=0)


def test_random_numbers_of_a_stack(monkeypatch: pytest.MonkeyPatch):
    """A stack leaves the generator where version 1 of the trainer did, so its runs are the same."""
    monkeypatch.setattr(stacked, "_stack", lambda layers, shape: layers[0])
    specs = [cnn().with_dropout(probability) for probability in (0.5, 0.25)]
    stack_models([(specs[0], 3), (specs[1], 4)], (1, 28, 28))
    after = torch.get_rng_state()
    torch.manual_seed(4)
    build_model(specs[1])
    with torch.random.fork_rng(devices=[]):
        dry_run = build_model(specs[0])
    dry_run(torch.zeros(2, 1, 28, 28))
    assert torch.equal(after, torch.get_rng_state())
