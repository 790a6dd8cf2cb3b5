"""The compiled kernels against PyTorch's layers, on real digits."""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch.nn import functional

from grader.models.build import build_model
from grader.models.kinds import OPTIMIZER_KINDS
from grader.models.optimizers import build_optimizer
from grader.training.compiled import kernels
from grader.training.compiled.engine import can_compile, compile_network
from grader.training.job import Normalization
from grader.training.loop import SHUFFLE_STREAM, draw_batches, evaluate, place, train, train_epoch
from grader.training.run_cache import RunCache
from grader.training.stacked import train_stacked
from tests.support.specs import FLATTEN, RELU, linear, mlp, model, replace
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

pytestmark = pytest.mark.usefixtures("one_thread")

STEPS = 50


def changed(layer, **arguments: object):
    kind, given = layer
    return kind, {**given, **arguments}


POOL_3 = changed(POOL, kernel_size=3, stride=3)

COVERED = {
    "mlp": mlp(50),
    "dropout first": model(FLATTEN, dropout(0.0), linear(784, 10)),
    "normalized mlp": model(
        FLATTEN, linear(784, 30), batch_norm(30, 1), RELU, dropout(0.0), linear(30, 10)
    ),
    "cnn": cnn(),
    "without norms": cnn(normalized=False),
    "padded": model(
        changed(conv(1, 4, 5), padding=2, bias=False),
        batch_norm(4),
        RELU,
        changed(conv(4, 6), padding=(1, 0)),
        RELU,
        POOL_3,  # leaves a row and two columns over
        batch_norm(6),
        changed(conv(6, 5, 2), bias=False),
        RELU,
        FLATTEN,
        linear(8 * 7 * 5, 10),
    ),
    "strides": model(
        changed(conv(1, 6, 5), stride=2, bias=False),
        batch_norm(6),
        RELU,
        changed(conv(6, 5, 4), stride=3, padding=2),
        RELU,
        changed(conv(5, 8, 3), stride=(2, 1), padding=1, bias=False),
        RELU,
        FLATTEN,
        changed(linear(8 * 3 * 5, 10), bias=False),
    ),
    "activation first": model(POOL, dropout(0.0), FLATTEN, linear(196, 20), RELU, linear(20, 10)),
    "pool before ReLU": model(conv(1, 5, 3), POOL, RELU, dropout(0.0), FLATTEN, linear(845, 10)),
}

UNCOVERED = {
    "LeakyReLU": model(
        FLATTEN,
        linear(784, 8),
        ("LeakyReLU", {"negative_slope": 0.1, "inplace": False}),
        linear(8, 10),
    ),
    "overlapping pool": model(
        conv(1, 4), changed(POOL, kernel_size=3), FLATTEN, linear(4 * 12 * 12, 10)
    ),
    "many weights": model(conv(1, 32), RELU, conv(32, 70), RELU, FLATTEN, linear(70 * 24 * 24, 10)),
    "three filters": model(conv(1, 3), RELU, FLATTEN, linear(3 * 26 * 26, 10)),
    "Softmax": model(FLATTEN, linear(784, 10), ("Softmax", {"dim": 1})),
    "norm without weights": model(
        FLATTEN, linear(784, 8), changed(batch_norm(8, 1), affine=False, bias=False), linear(8, 10)
    ),
    "dropout of nearly all": model(FLATTEN, linear(784, 8), dropout(1 - 1e-9), linear(8, 10)),
    "ends without Linear": model(FLATTEN, linear(784, 10), RELU),
}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return practice_set(tmp_path_factory.mktemp("cache"), train_examples=1000)


def network_of(job, dataset):
    """The compiled network, its model and the examples."""
    train_examples, test_examples = place(dataset, job, "cpu")
    torch.manual_seed(job.seed)
    built = build_model(job.model)
    network = compile_network(job, built, train_examples, "cpu")
    assert network is not None
    return network, built, train_examples, test_examples


def losses_of(job, dataset):
    """The first losses of the kernels, and of PyTorch's own layers and plainest optimiser."""
    network, built, examples, _ = network_of(job, dataset)
    shuffle = torch.Generator().manual_seed(job.seed ^ SHUFFLE_STREAM)
    batches = [
        batch
        for _ in range(2)
        for batch in draw_batches(len(examples.targets), job.batch_size, shuffle, drop_single=False)
    ][:STEPS]
    compiled = train_epoch(network.step, build_optimizer(job.optimizer, built), batches)
    torch.manual_seed(job.seed)
    plain = build_model(job.model)
    (group,) = job.optimizer.groups
    optimizer_class = getattr(torch.optim, job.optimizer.kind)
    plain_optimizer = optimizer_class(plain.parameters(), **group.settings, foreach=False)
    losses = []
    for batch in batches:
        inputs, targets = examples.batch(batch)
        loss = functional.cross_entropy(plain(inputs), targets)
        plain_optimizer.zero_grad()
        loss.backward()
        plain_optimizer.step()
        losses.append(loss.item())
    return compiled, torch.tensor(losses)


@pytest.mark.parametrize("kind", OPTIMIZER_KINDS)
def test_losses_of_every_optimizer(kind, dataset):
    """The first 50 losses are the plain loop's, over two epochs with a smaller last batch."""
    spec = mlp(50)
    compiled, plain = losses_of(training_job(spec, optimizer=optimizer(kind, spec)), dataset)
    torch.testing.assert_close(compiled, plain, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", COVERED)
@pytest.mark.parametrize("kind", ["SGD", pytest.param("Adam", marks=pytest.mark.slow)])
def test_losses_of_every_layer(name, kind, dataset):
    """So they are for every kind of layer that a kernel covers."""
    spec = COVERED[name]
    job = training_job(spec, optimizer=optimizer(kind, spec))
    compiled, plain = losses_of(job, dataset)
    # Adam divides a gradient of rounding errors, as that of a bias before a norm, by its own size.
    tolerance = 2e-2 if kind == "Adam" else 1e-3
    torch.testing.assert_close(compiled, plain, rtol=tolerance, atol=tolerance)


def test_normalized_images(dataset):
    """Images are scaled as ToTensor and Normalize do."""
    job = training_job(mlp(50), normalization=Normalization(mean=(0.13,), std=(0.31,)))
    torch.testing.assert_close(*losses_of(job, dataset), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", COVERED)
def test_gradients_and_evaluation(name, dataset):
    """Gradients, running statistics and evaluated outputs are those of PyTorch."""
    network, built, examples, tests = network_of(training_job(COVERED[name]), dataset)
    torch.manual_seed(1)
    plain = build_model(COVERED[name])
    indices = torch.arange(32)
    inputs, targets = examples.batch(indices)
    loss = functional.cross_entropy(plain(inputs), targets)
    loss.backward()
    torch.testing.assert_close(network.step(indices), loss.detach())
    for (path, ours), theirs in zip(built.named_parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(
            ours.grad,
            theirs.grad,
            rtol=1e-3,
            atol=1e-4,  # of a bias before a norm: nothing but rounding errors
            msg=lambda text, path=path: f"{path}: {text}",
        )
    for (path, ours), theirs in zip(built.named_buffers(), plain.buffers(), strict=True):
        if "running" in path:
            torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(
        network.evaluate(tests), evaluate(plain, tests), rtol=1e-3, atol=1e-4
    )


@pytest.mark.parametrize("probability", [0.0, 0.1, 0.5, 0.9])
def test_dropout(probability):
    """Values are kept with their probability, independently, and gradients pass through them."""
    kept = round((1 - probability) * kernels.ALL)
    forward, backward = kernels.activation(False, 1, True, False)
    x = np.ones((8, 13, 13, 32), np.float32)
    scales = np.zeros((4, 8), np.float32)
    scales[0] = 1
    scale = np.float32(kernels.ALL / kept)
    masks = []
    for seed in (1, 2, 3):
        y, chosen = np.empty_like(x), np.empty(x.shape, np.uint8)
        forward(x, scales, np.uint32(seed * 2**20), (np.uint32(kept), scale), y, chosen)
        assert set(np.unique(y)) <= {np.float32(0), scale}
        gradient = x.copy()
        backward(gradient, scales, scale, np.ones_like(y), chosen, scales)
        np.testing.assert_array_equal(gradient, y)
        masks.append(y.ravel() > 0)
    share, count = 1 - probability, masks[0].size
    error = 5 * (share * probability / count) ** 0.5 + 1e-9
    for mask in masks:
        assert abs(mask.mean() - share) <= error
        for shift in (1, 2, 32, 416):  # neighbours in the batch, the row and the column
            both = (mask[shift:] & mask[:-shift]).mean()
            assert abs(both - share**2) <= 3 * error
    assert abs((masks[0] & masks[1]).mean() - share**2) <= 3 * error


def test_same_run_again(dataset):
    """A run is the same, bit for bit, dropout included; its picture of the epochs is finite."""
    job = training_job(cnn(0.3))
    first, second = (train(job, dataset, compiles=True) for _ in range(2))
    assert first.compiled
    assert replace(first, wall_seconds=0.0) == replace(second, wall_seconds=0.0)


def test_each_of_a_sweep(dataset):
    """Jobs of one call are trained one by one, each as if it were alone."""
    jobs = [training_job(cnn().with_dropout(p), seed=seed) for seed, p in ((1, 0.1), (2, 0.4))]
    for job, run in zip(jobs, train_stacked(jobs, dataset, compiles=True), strict=True):
        assert run.epochs == train(job, dataset, compiles=True).epochs


@pytest.mark.parametrize("name", UNCOVERED)
def test_layers_without_kernels(name, dataset):
    """PyTorch trains a model with a layer that has no kernel, as it did before there were any."""
    job = training_job(UNCOVERED[name])
    assert not can_compile(job, "cpu")
    run = train(job, dataset, compiles=True)
    assert not run.compiled
    assert run.epochs == train(job, dataset).epochs


@pytest.mark.parametrize("change", [{"batch_size": 8}, {"epochs": 0}, {"loss": "MSELoss"}])
def test_jobs_without_kernels(change):
    """So it does with tiny batches, other losses and a model that is handed in trained."""
    assert not can_compile(training_job(mlp(8), **change), "cpu")


def test_divergence_is_seen(dataset):
    """A learning rate far too large ends in NaN, as with PyTorch's layers."""
    spec = cnn(normalized=False)
    run = train(
        training_job(spec, optimizer=optimizer("SGD", spec, lr=1000.0, momentum=1.0), epochs=20),
        dataset,
        compiles=True,
    )
    assert run.compiled
    assert run.diverged


def test_machine_without_numba(dataset, monkeypatch):
    """Without numba PyTorch's layers train everything."""
    for name in ("network", "kernels"):
        monkeypatch.delitem(sys.modules, f"grader.training.compiled.{name}", raising=False)
        monkeypatch.delattr(f"grader.training.compiled.{name}", raising=False)
    monkeypatch.setitem(sys.modules, "numba", None)
    assert not train(training_job(mlp(8)), dataset, compiles=True).compiled


def test_kept_beside_each_other(dataset, tmp_path):
    """The cache keeps runs of both kinds; an old one is used where there is no other."""
    job = training_job(mlp(8))
    cache = RunCache(tmp_path)
    plain, compiled = train(job, dataset), train(job, dataset, compiles=True)
    cache.store(job, plain)
    assert cache.load(job) == plain
    cache.store(job, compiled)
    assert cache.load(job) == compiled
    assert RunCache(tmp_path, device="cuda").load(job) is None


@pytest.mark.slow
def test_same_accuracies(tmp_path):
    """Over 20 seeds a permutation test cannot tell the kernels' accuracies from PyTorch's."""
    whole = practice_set(tmp_path)
    accuracies = [
        [
            train(
                training_job(cnn(0.3), seed=seed, epochs=3), whole, compiles=compiles
            ).final_accuracy
            for seed in range(20)
        ]
        for compiles in (True, False)
    ]
    pooled = torch.tensor(accuracies, dtype=torch.float64).flatten()
    difference = (pooled[:20].mean() - pooled[20:].mean()).abs()
    draws = torch.Generator().manual_seed(0)
    shuffled = [pooled[torch.randperm(40, generator=draws)] for _ in range(5000)]
    as_large = [(each[:20].mean() - each[20:].mean()).abs() >= difference for each in shuffled]
    assert sum(map(bool, as_large)) / 5000 > 0.01


WATCH = """
import sys
class Watch:
    def find_spec(self, name, path=None, target=None):
        if name == "numba":
            open({log!r}, "a").close()
sys.meta_path.insert(0, Watch())
"""


@pytest.mark.parametrize("option", ["--quick", pytest.param("--practice", marks=pytest.mark.slow)])
def test_numba_stays_unloaded(option, tmp_path):
    """Neither --quick nor practice imports numba, in no process, nor a regrade."""
    log = tmp_path / "imported"
    (tmp_path / "watch").mkdir()
    (tmp_path / "watch" / "sitecustomize.py").write_text(WATCH.format(log=str(log)))
    environment = os.environ | {
        "PYTHONPATH": str(tmp_path / "watch"),
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
    }
    command = [sys.executable, "-m", "grader", "reference", option, "--only", "2C"]

    def grade() -> bool:
        """Whether a process imported numba."""
        log.unlink(missing_ok=True)
        done = subprocess.run(
            [*command, "-o", str(tmp_path / "reports")],
            check=False,
            capture_output=True,
            text=True,
            env=environment,
        )
        assert "Report:" in done.stdout, done.stderr
        return log.exists()

    assert not grade()
    assert not grade()
    subprocess.run([sys.executable, "-c", "import numba"], check=True, env=environment)
    assert log.exists()
