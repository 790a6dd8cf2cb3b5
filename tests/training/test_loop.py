"""The fast loop against the plain one, and what a run records."""

import base64
import math
from functools import partial
from itertools import pairwise

import pytest
import safetensors.torch
import torch
from torch import nn
from torch.nn import functional
from torchvision.transforms import Normalize

from grader.errors import ModelError
from grader.models.build import build_model, torch_warnings_ignored
from grader.models.kinds import OPTIMIZER_KINDS
from grader.models.optimizers import build_optimizer
from grader.models.shapes import find_shapes
from grader.models.spec import SchedulerSpec, default_optimizer
from grader.training import loop as train_module
from grader.training.data_sources.interface import DataFacts
from grader.training.datasets import Dataset
from grader.training.job import Normalization
from grader.training.loop import (
    SHUFFLE_STREAM,
    arrange_for_speed,
    backpropagation,
    draw_batches,
    evaluate,
    loss_of_batch,
    place,
    train,
    train_epoch,
    training_conditions,
)
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


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    """The whole practice set."""
    return practice_set(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def small(full):
    """510 training images: 15 batches of 32 and one of 30."""
    return replace(
        full, train_inputs=full.train_inputs[:510], train_targets=full.train_targets[:510]
    )


def batches_of(job, examples):
    generator = torch.Generator().manual_seed(job.seed ^ SHUFFLE_STREAM)
    return draw_batches(examples, job.batch_size, generator, drop_single=False)


def fast_losses(job, dataset):
    """The first losses of the grader's loop."""
    with training_conditions(job.seed, "cpu"):
        examples, _ = place(dataset, job, "cpu")
        built = build_model(job.model)
        fast_optimizer = build_optimizer(job.optimizer, built)
        batches = batches_of(job, len(dataset.train_targets))[:STEPS]
        arranged = arrange_for_speed(built)
        batch_loss = partial(loss_of_batch, arranged, examples)
        return train_epoch(backpropagation(arranged, batch_loss), fast_optimizer, batches)


def plain_losses(job, dataset):
    """The same of the loop that every tutorial has, with PyTorch's plainest optimiser."""
    torch.manual_seed(job.seed)
    built = build_model(job.model)
    (group,) = job.optimizer.groups
    optimizer_class = getattr(torch.optim, job.optimizer.kind)
    plain_optimizer = optimizer_class(built.parameters(), **group.settings, foreach=False)
    criterion = nn.CrossEntropyLoss()
    inputs = dataset.train_inputs.float() / 255
    if job.normalization is not None:
        inputs = Normalize(job.normalization.mean, job.normalization.std)(inputs)
    images = inputs.view(-1, *job.input_shape)
    losses = []
    for indices in batches_of(job, len(images))[:STEPS]:
        plain_optimizer.zero_grad()
        loss = criterion(built(images[indices]), dataset.train_targets[indices])
        loss.backward()
        plain_optimizer.step()
        losses.append(loss.item())
    return torch.tensor(losses)


@pytest.mark.parametrize("kind", OPTIMIZER_KINDS)
def test_plain_loop_of_an_mlp(kind, full):
    """For every optimiser, the first 50 losses are the plain loop's, dropout included."""
    spec = model(FLATTEN, linear(784, 50), RELU, dropout(0.3), linear(50, 10))
    job = training_job(spec, optimizer=optimizer(kind, spec))
    torch.testing.assert_close(
        fast_losses(job, full), plain_losses(job, full), rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("kind", ["SGD", "Adam"])
@pytest.mark.parametrize("normalized", [False, True])
def test_plain_loop_of_a_cnn(kind, normalized, full):
    """Channels-last, the order of ReLU and pooling, and in-place layers change nothing."""
    spec = cnn(normalized=normalized)
    job = training_job(spec, optimizer=optimizer(kind, spec))
    fast, plain = fast_losses(job, full), plain_losses(job, full)
    # Rounding differs, and Adam divides a gradient of rounding errors by its own size.
    torch.testing.assert_close(fast[:10], plain[:10], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(fast, plain, rtol=0.02, atol=0.005)


NORMS = {"eps": 1e-5, "momentum": 0.1, "affine": True, "track_running_stats": False, "bias": True}
LATER_LAYERS = {
    "AdaptiveMaxPool2d": (conv(1, 4), ("AdaptiveMaxPool2d", {"output_size": (4, 4)})),
    "ConvTranspose2d": (
        conv(1, 2),
        (
            "ConvTranspose2d",
            {
                "in_channels": 2,
                "out_channels": 4,
                "kernel_size": (2, 2),
                "groups": 1,
                "stride": (1, 1),
                "padding": (0, 0),
                "output_padding": (0, 0),
                "dilation": (1, 1),
                "bias": True,
            },
        ),
    ),
    "ZeroPad2d": (("ZeroPad2d", {"padding": (1, 2, 0, 1)}), conv(1, 4)),
    "InstanceNorm2d": (conv(1, 4), ("InstanceNorm2d", {"num_features": 4, **NORMS})),
    "GroupNorm": (
        conv(1, 4),
        (
            "GroupNorm",
            {"num_groups": 2, "num_channels": 4, "eps": 1e-5, "affine": True, "bias": True},
        ),
    ),
    "LocalResponseNorm": (
        conv(1, 4),
        ("LocalResponseNorm", {"size": 2, "alpha": 1e-4, "beta": 0.75, "k": 1.0}),
    ),
    "PReLU": (conv(1, 4), ("PReLU", {"num_parameters": 4, "init": 0.25})),
    "RMSNorm": (
        conv(1, 4),
        ("RMSNorm", {"normalized_shape": (26,), "eps": None, "elementwise_affine": True}),
    ),
    "AlphaDropout": (
        FLATTEN,
        linear(784, 20),
        ("SELU", {"inplace": False}),
        ("AlphaDropout", {"p": 0.1, "inplace": False}),
    ),
    "1d": (
        FLATTEN,
        ("Unflatten", {"dim": 1, "unflattened_size": (28, 28)}),
        ("InstanceNorm1d", {"num_features": 28, **NORMS}),
        ("AdaptiveMaxPool1d", {"output_size": 14}),
        ("AdaptiveAvgPool1d", {"output_size": 7}),
    ),
    "activations": (
        conv(1, 4),
        *((kind, {"inplace": False}) for kind in ("Mish", "Hardswish", "Hardsigmoid")),
        ("CELU", {"alpha": 0.5, "inplace": False}),
        ("Hardtanh", {"min_val": -1.0, "max_val": 2.0, "inplace": False}),
        ("Softsign", {}),
        ("LogSigmoid", {}),
    ),
}


@pytest.mark.parametrize("name", LATER_LAYERS)
def test_plain_loop_of_later_layers(name, small):
    """Layers beside the usual ones are trained as PyTorch's own."""
    layers = LATER_LAYERS[name]
    features = find_shapes(model(*layers, FLATTEN), (1, 28, 28))[-1][0]
    spec = model(*layers, FLATTEN, linear(features, 10))
    job = training_job(spec, optimizer=optimizer("SGD", spec))
    fast, plain = fast_losses(job, small), plain_losses(job, small)
    torch.testing.assert_close(fast, plain, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("shape", [(1, 28, 28), (784,)])
def test_plain_loop_of_normalized_images(shape, full):
    """Images are normalised as torchvision's Normalize does it, flat ones too."""
    layers = (linear(784, 20), RELU, linear(20, 10))
    spec = model(*layers) if len(shape) == 1 else model(FLATTEN, *layers)
    job = training_job(
        spec, input_shape=shape, normalization=Normalization(mean=(0.1307,), std=(0.3081,))
    )
    losses = fast_losses(job, full)
    torch.testing.assert_close(losses, plain_losses(job, full), rtol=1e-4, atol=1e-5)
    assert losses[0] != fast_losses(replace(job, normalization=None), full)[0]


@pytest.mark.parametrize("shape", [(3, 2, 2), (12,)])
def test_normalized_channels(shape):
    """Each channel has a mean and a std of its own; the test images have them too."""
    images = torch.arange(48, dtype=torch.uint8).view(4, 3, 2, 2)
    labels = torch.zeros(4, dtype=torch.int64)
    dataset = Dataset(
        name="",
        sha256="",
        facts=DataFacts(input_shape=(3, 2, 2), classes=1, train_examples=4, test_examples=4),
        train_inputs=images,
        train_targets=labels,
        test_inputs=images,
        test_targets=labels,
    )
    mean, std = (0.1, 0.2, 0.3), (0.4, 0.5, 0.6)
    job = training_job(mlp(1), input_shape=shape, normalization=Normalization(mean=mean, std=std))
    expected = Normalize(mean, std)(images / 255).view(4, *shape)
    training, test = place(dataset, job, "cpu")
    assert torch.equal(training.batch(torch.tensor([3, 1]))[0], expected[[3, 1]])
    assert torch.equal(evaluate(nn.Flatten(), test, block=3), expected.flatten(1))


def test_normalization_decides_the_test_accuracy(small):
    """The test images of a run are normalised, but its misclassified pictures are not."""
    job = training_job(mlp(20), normalization=Normalization(mean=(0.5,), std=(0.1,)))
    run = train(job, small)
    assert run.epochs != train(replace(job, normalization=None), small).epochs
    example = run.misclassified[0]
    pixels = base64.b64decode(example.pixels_base64)
    assert pixels == small.test_inputs[example.index].numpy().tobytes()


def test_arranged_model_computes_the_same():
    """Outputs and gradients of the arranged model are equal, bit for bit, without channels-last."""
    spec = model(conv(1, 4), RELU, POOL, conv(4, 4), batch_norm(4), RELU, POOL, FLATTEN, RELU)
    torch.manual_seed(0)
    plain = build_model(spec)
    weights = plain.state_dict()
    other = build_model(spec)
    other.load_state_dict(weights)
    arranged = arrange_for_speed(other).to(memory_format=torch.contiguous_format)
    assert [type(layer).__name__ for layer in arranged][:3] == ["Conv2d", "MaxPool2d", "ReLU"]
    inputs = torch.randn(8, 1, 28, 28)
    results = []
    for built in (plain, arranged):
        images = inputs.clone().requires_grad_()
        outputs = built(images)
        outputs.square().sum().backward()
        results.append([outputs, images.grad, *(p.grad for p in built.parameters())])
    for ours, theirs in zip(*results, strict=True):
        assert torch.equal(ours, theirs)


def test_relu_in_place():
    """A layer that needs its own output again is not overwritten, nor is the input."""
    spec = model(RELU, FLATTEN, linear(784, 9), RELU, ("Sigmoid", {}), RELU, dropout(0.5), RELU)
    arranged = arrange_for_speed(build_model(spec))
    in_place = [layer.inplace for layer in arranged if isinstance(layer, nn.ReLU)]
    assert in_place == [False, True, False, False]
    images = torch.randn(4, 1, 28, 28)
    before = images.clone()
    arranged(images).sum().backward()
    assert torch.equal(images, before)


def test_run_is_deterministic(small):
    """The same job gives the same run, bit for bit; another seed gives another."""
    job = training_job(cnn(0.2))
    first, second, other = (
        replace(train(changed, small), wall_seconds=0.0)
        for changed in (job, job, replace(job, seed=2))
    )
    assert first == second
    assert first.epochs != other.epochs


def test_callers_state_is_left_alone(small):
    """Training changes neither the caller's random numbers nor its number of threads."""
    threads = torch.get_num_threads()
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    train(training_job(mlp(8), epochs=1), small)
    assert torch.equal(torch.rand(3), expected)
    assert torch.get_num_threads() == threads


def test_learning(full):
    """A small network learns to read real digits."""
    run = train(training_job(mlp(50), epochs=4), full)
    assert run.best_accuracy > 0.88
    assert run.epochs[-1].train_loss < run.epochs[0].train_loss / 2


def test_every_epoch_is_reported(small):
    """The callback hears of every epoch, counted from 1, as the run has it."""
    heard = []
    run = train(training_job(mlp(8), epochs=3), small, on_epoch=lambda *epoch: heard.append(epoch))
    assert heard == list(enumerate(run.epochs, start=1))
    assert (run.seed, run.device, run.stopped_early, run.diverged) == (1, "cpu", False, False)
    assert run.wall_seconds > 0


def test_epochs_are_shuffled_afresh():
    """Each epoch has every example once, in a new order, and keeps the last smaller batch."""
    generator = torch.Generator().manual_seed(0)
    epochs = [draw_batches(100, 32, generator, drop_single=False) for _ in range(3)]
    for batches in epochs:
        assert [len(batch) for batch in batches] == [32, 32, 32, 4]
        assert torch.cat(batches).sort().values.tolist() == list(range(100))
    for one, next_one in pairwise(epochs):
        assert not torch.equal(torch.cat(one), torch.cat(next_one))


def test_loss_is_a_mean_over_examples(small):
    """A smaller last batch weighs less: with a learning rate of 0 the loss is that of the model."""
    spec = mlp(8)
    job = training_job(spec, optimizer=optimizer("SGD", spec, lr=0.0), epochs=1, batch_size=500)
    torch.manual_seed(job.seed)
    with torch.no_grad():
        outputs = build_model(spec)(small.train_inputs / 255)
        expected = functional.cross_entropy(outputs, small.train_targets)
    assert train(job, small).epochs[0].train_loss == pytest.approx(float(expected), rel=1e-6)


def test_certain_verdict_stops(small):
    """With the best-epoch rule a run ends at the first epoch that reaches the accuracy."""
    job = training_job(mlp(30), epochs=6)
    whole = train(job, small)
    target = whole.epochs[2].test_accuracy
    run = train(replace(job, stop_at_accuracy=target), small)
    reached = next(
        number
        for number, epoch in enumerate(whole.epochs, start=1)
        if epoch.test_accuracy >= target
    )
    assert run.epochs == whole.epochs[:reached]
    assert run.stopped_early


def test_target_in_the_last_epoch(small):
    """A run that reaches its target in its last epoch has run to its end."""
    job = training_job(mlp(30), epochs=1, stop_at_accuracy=0.01)
    assert not train(job, small).stopped_early


def test_final_epoch_never_stops_early(small):
    """Where the final epoch counts, no earlier one makes the verdict certain."""
    job = training_job(mlp(8), epochs=3, stop_at_accuracy=0.01, counted_epoch="final")
    run = train(job, small)
    assert len(run.epochs) == 3
    assert not run.stopped_early


def test_divergence_ends_the_run(small):
    """A loss that is not finite ends the run; the epochs before it stay."""
    spec = mlp(8)
    job = training_job(spec, optimizer=optimizer("SGD", spec, lr=1000.0, momentum=1.0), epochs=50)
    run = train(job, small)
    assert run.diverged
    assert len(run.epochs) < 50
    assert all(math.isfinite(epoch.train_loss) for epoch in run.epochs)


def accuracy_of(confusion):
    return sum(confusion[label][label] for label in range(10)) / sum(map(sum, confusion))


@pytest.mark.parametrize("rule", ["best", "final"])
def test_confusion_of_the_counted_epoch(rule, full):
    """Its diagonal gives the counted accuracy, and its rows the true classes."""
    spec = mlp(20)
    # A high learning rate makes the accuracy go up and down.
    job = training_job(
        spec, optimizer=optimizer("Adam", spec, lr=0.03), epochs=5, counted_epoch=rule
    )
    run = train(job, full)
    counted = run.best_accuracy if rule == "best" else run.final_accuracy
    assert run.best_accuracy > run.final_accuracy, "the two rules must differ for this test"
    assert accuracy_of(run.confusion) == pytest.approx(counted, abs=1e-12)
    assert [sum(row) for row in run.confusion] == [100] * 10


def test_misclassified_examples(small):
    """The most confident mistakes come first, with the images' own pixels."""
    run = train(training_job(mlp(8)), small)
    assert len(run.misclassified) == 12
    confidences = [example.confidence for example in run.misclassified]
    assert confidences == sorted(confidences, reverse=True)
    assert all(0.1 < confidence <= 1.0 for confidence in confidences)
    for example in run.misclassified:
        assert example.label == small.test_targets[example.index]
        assert example.predicted != example.label
        pixels = base64.b64decode(example.pixels_base64)
        assert pixels == small.test_inputs[example.index].numpy().tobytes()


def test_confidence_after_softmax(full):
    """Its outputs are probabilities already: a second softmax would make none exceed 0.24."""
    spec = model(FLATTEN, linear(784, 50), RELU, linear(50, 10), ("Softmax", {"dim": None}))
    run = train(training_job(spec, epochs=4), full)
    assert run.misclassified[0].confidence > 0.5


def test_last_batch_of_one_is_dropped(small):
    """A batch norm cannot train on one value a channel, so that batch is left out."""
    spec = model(FLATTEN, linear(784, 16), batch_norm(16, 1), RELU, linear(16, 10))
    run = train(training_job(spec, batch_size=509, epochs=1), small)
    assert math.isfinite(run.epochs[0].train_loss)


@pytest.mark.parametrize("spec", [mlp(8), cnn()])
def test_last_batch_of_one_is_kept(spec, small, monkeypatch):
    """Without such a batch norm, every example is trained on."""
    seen = []
    original = train_module.train_epoch

    def watch(gradients, fast_optimizer, batches):
        seen.append(sum(len(batch) for batch in batches))
        return original(gradients, fast_optimizer, batches)

    monkeypatch.setattr(train_module, "train_epoch", watch)
    train(training_job(spec, batch_size=509, epochs=1), small)
    assert seen == [510]


def test_scheduler_steps_each_epoch(small):
    """With gamma 0 the learning rate is 0 from the second epoch on, so nothing changes."""
    spec = mlp(30)
    job = training_job(
        spec,
        optimizer=optimizer("Adam", spec, lr=0.01),
        scheduler=SchedulerSpec(kind="ExponentialLR", arguments={"gamma": 0.0}),
        epochs=3,
    )
    accuracies = [epoch.test_accuracy for epoch in train(job, small).epochs]
    assert accuracies[0] == accuracies[1] == accuracies[2]
    assert accuracies[0] > 0.2


def test_parameters_outside_all_groups(small):
    """An optimiser over some of the parameters trains those and no others."""
    spec = mlp(8)
    only_bias = replace(optimizer("SGD", spec, lr=0.0).groups[0], parameters=("1.bias",))
    job = training_job(spec, optimizer=replace(optimizer("SGD", spec), groups=(only_bias,)))
    losses = [epoch.train_loss for epoch in train(job, small).epochs]
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)


def test_starts_from_given_weights(small):
    """A model that comes with weights is not initialised afresh."""
    spec = mlp(8)
    weights = {
        name: torch.zeros_like(tensor) for name, tensor in build_model(spec).state_dict().items()
    }
    job = training_job(
        replace(spec, weights=safetensors.torch.save(weights)),
        optimizer=optimizer("SGD", spec, lr=0.0),
        epochs=1,
    )
    assert train(job, small).epochs[0].train_loss == pytest.approx(math.log(10), rel=1e-6)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (model(FLATTEN, linear(784, 11)), r"has shape \(11,\), but there are 10 classes"),
        (model(linear(28, 10)), r"has shape \(1, 28, 10\)"),
        (model(linear(784, 10)), "it expects 784 features"),
        (model(FLATTEN), "has shape .784,."),
    ],
)
def test_models_that_cannot_be_trained(spec, message, small):
    """A model that does not fit the data is refused before anything is trained."""
    with pytest.raises(ModelError, match=message):
        train(training_job(spec), small)


def test_warnings_are_silenced(small):
    """Softmax without dim warns in PyTorch; here it does not, and warnings work afterwards."""
    spec = model(FLATTEN, linear(784, 10), ("Softmax", {"dim": None}))
    train(training_job(spec, epochs=1), small)
    with torch_warnings_ignored():
        nn.Softmax()(torch.zeros(2, 2))
    with pytest.warns(UserWarning, match="Implicit dimension"):
        nn.Softmax()(torch.zeros(2, 2))


def test_digest():
    """Every field but the threshold changes it, and so do the data and the device."""
    spec = mlp(8)
    job = training_job(spec)
    digest = job.digest()
    changed = [
        replace(job, model=mlp(9), optimizer=default_optimizer(mlp(9))),
        replace(job, model=replace(spec, weights=b"x")),
        replace(job, optimizer=optimizer("Adam", spec, lr=0.1)),
        replace(job, scheduler=SchedulerSpec(kind="ExponentialLR", arguments={"gamma": 0.5})),
        replace(job, epochs=3),
        replace(job, batch_size=64),
        replace(job, seed=2),
        replace(job, dataset="mnist"),
        replace(job, dataset_sha256="b"),
        replace(job, input_shape=(784,)),
        replace(job, counted_epoch="final"),
        replace(job, normalization=Normalization(mean=(0.5,), std=(0.5,))),
        replace(job, normalization=Normalization(mean=(0.5,), std=(0.4,))),
    ]
    digests = {other.digest() for other in changed}
    digests |= {job.digest(device="H100")}
    assert len(digests | {digest}) == len(changed) + 2
    assert replace(job, stop_at_accuracy=0.9).digest() == digest


def test_digest_of_kept_runs(monkeypatch):
    """Runs that were kept before jobs had a normalisation are still found."""
    monkeypatch.setattr(torch, "__version__", "2.14.1")
    digest = training_job(mlp(8), dataset_sha256="a").digest()
    assert digest == "ed525ed43839b07d941d671358c9ef2422e6698656f084b4882e18db11025e3f"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU, and this machine has none")
def test_gpu_agrees_with_cpu(full):
    """On a GPU the same job gives about the same losses."""
    job = training_job(cnn())
    on_gpu, on_cpu = train(job, full, device="cuda"), train(job, full)
    assert on_gpu.epochs[0].train_loss == pytest.approx(on_cpu.epochs[0].train_loss, rel=0.02)
    assert on_gpu.device != "cpu"
