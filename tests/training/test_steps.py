"""Steps on a GPU: no tensor left behind on the CPU, and the same numbers from a CUDA graph."""

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from grader.models.build import build_model
from grader.models.kinds import OPTIMIZER_KINDS
from grader.models.optimizers import build_optimizer
from grader.models.spec import SchedulerSpec
from grader.training import steps as training_steps
from grader.training.loop import Examples, draw_batches, optimizer_step, train
from grader.training.stacked import draw_stack, train_stacked
from grader.training.steps import GraphedStep, can_capture
from tests.support.specs import mlp
from tests.support.training_samples import cnn, optimizer, practice_set, training_job


def has_fake_gpu() -> bool:
    """Return True if this PyTorch has GPU tensors without content, without a driver."""
    try:
        with FakeTensorMode(), torch.device("cuda"):
            torch.nn.Linear(1, 1)
    except RuntimeError:
        return False
    return True


needs_fake_gpu = pytest.mark.skipif(
    not has_fake_gpu(), reason="this PyTorch needs a driver even for tensors without content"
)
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    return practice_set(tmp_path_factory.mktemp("cache"), 1000)


@pytest.fixture
def without_graphs(monkeypatch):
    monkeypatch.setattr(training_steps, "can_capture", lambda optimizer: False)


@needs_fake_gpu
@pytest.mark.parametrize("shape", [(1, 28, 28), (784,)])
def test_batches_are_drawn_on_the_gpu(shape):
    """PyTorch's tensors without content refuse operations across devices, and need no GPU."""
    with FakeTensorMode():
        with torch.device("cuda"):
            examples = Examples(
                inputs=torch.zeros(70, *shape, dtype=torch.uint8),
                targets=torch.zeros(70, dtype=torch.int64),
                mean_and_std=(torch.zeros(shape), torch.ones(shape)),
            )
        shuffle = torch.Generator().manual_seed(0)
        first, _, last = draw_batches(70, 32, shuffle, drop_single=False, device="cuda")
        assert [len(first), len(last)] == [32, 6]
        of_one = examples.batch(first)
        of_two = draw_stack(examples, torch.stack([first, first]))
    assert all(drawn.is_cuda for drawn in (*of_one, *of_two))


@needs_fake_gpu
@pytest.mark.parametrize("kind", sorted(OPTIMIZER_KINDS.keys() - {"SGD"}))
def test_optimizers_step_on_the_gpu(kind):
    """Only Adagrad counts its steps on the CPU, and is not captured.

    PyTorch has no fused SGD for tensors without content.
    """
    spec = mlp(9)
    with FakeTensorMode():
        with torch.device("cuda"):
            model = build_model(spec)
        built = build_optimizer(optimizer(kind, spec), model)
        for parameter in model.parameters():
            parameter.grad = torch.zeros_like(parameter)
        optimizer_step(built)()
    assert can_capture(built) == (kind != "Adagrad")
    assert all(parameter.is_cuda for parameter in model.parameters())


def test_capturable_optimizers():
    parameters = [torch.nn.Parameter(torch.zeros(1))]
    assert can_capture(torch.optim.SGD(parameters, lr=0.1))
    assert can_capture(torch.optim.Adam(parameters, capturable=True))
    assert not can_capture(torch.optim.Adam(parameters))
    assert not can_capture(torch.optim.Adagrad(parameters))


@needs_gpu
@pytest.mark.parametrize("kind", sorted(OPTIMIZER_KINDS))
def test_graph_gives_plain_losses(kind, digits, request):
    """Dropout masks, batch norm's averages and a changing learning rate included."""
    spec = cnn(0.3)
    job = training_job(
        spec,
        optimizer=optimizer(kind, spec),
        scheduler=SchedulerSpec(kind="ExponentialLR", arguments={"gamma": 0.5}),
    )
    graphed = train(job, digits, device="cuda")
    request.getfixturevalue("without_graphs")
    plain = train(job, digits, device="cuda")
    for with_graph, without in zip(graphed.epochs, plain.epochs, strict=True):
        assert with_graph.train_loss == pytest.approx(without.train_loss, rel=1e-4)


@needs_gpu
def test_graph_trains_a_stack(digits, request):
    jobs = [training_job(mlp(20), seed=seed) for seed in (1, 2)]
    graphed = train_stacked(jobs, digits, device="cuda")
    request.getfixturevalue("without_graphs")
    plain = train_stacked(jobs, digits, device="cuda")
    for with_graph, without in zip(graphed, plain, strict=True):
        assert with_graph.epochs[-1].train_loss == pytest.approx(
            without.epochs[-1].train_loss, rel=1e-4
        )


@needs_gpu
def test_step_without_a_graph():
    """Reading a value on the CPU ends a capture; random numbers are still drawn afterwards."""

    def step(batch):
        return torch.rand(1, device="cuda") * float(batch.sum())

    batches = torch.ones(6, 4, dtype=torch.int64, device="cuda")
    losses = torch.empty(6, 1, device="cuda")
    torch.cuda.manual_seed(0)
    training_steps.run_steps(step, torch.optim.SGD([torch.zeros(1)], lr=0.1), batches, losses)
    torch.cuda.manual_seed(0)
    assert losses.tolist() == [step(batch).tolist() for batch in batches]


@needs_gpu
def test_batches_of_another_size():
    step = GraphedStep(lambda batch: batch.sum())
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        sums = [
            step(torch.full((size,), value, device="cuda")).item()
            for value, size in enumerate([4, 4, 4, 4, 4, 3], start=1)
        ]
    assert sums == [4, 8, 12, 16, 20, 18]
