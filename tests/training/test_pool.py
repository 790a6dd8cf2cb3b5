"""The training pool: results, progress, and the death of its processes.

Processes load torch only where a test is about training; elsewhere a stub stands in for the loop.
"""

import contextlib
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from itertools import count

import psutil
import pytest

from grader.errors import MachineError, ModelError
from grader.training.budget import Budget
from grader.training.datasets import Datasets
from grader.training.loop import train
from grader.training.pool import TrainingPool, count_cores
from grader.training.stacked import train_stacked
from tests.support.paths import ROOT
from tests.support.processes import alive
from tests.support.specs import FLATTEN, RELU, linear, mlp, model
from tests.support.stub_training import BUSY_RUN, BUSY_STEP, STUB_WORKER, StubDataset
from tests.support.training_samples import (
    POOL,
    batch_norm,
    cnn,
    conv,
    practice_set,
    submit,
    training_job,
)

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="limits of memory are Linux's")

SHORT = training_job(mlp(8), epochs=2)
ENDLESS = training_job(mlp(8), epochs=1_000_000)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return practice_set(tmp_path_factory.mktemp("cache"), train_examples=500)


@pytest.fixture(scope="module")
def pool(dataset, tmp_path_factory):
    """Two processes with torch, started in a directory whose files shadow modules."""
    directory = tmp_path_factory.mktemp("submission")
    for name in ("torch", "numpy", "grader", "ctypes"):
        (directory / f"{name}.py").write_text("raise SystemExit('imported from the directory')\n")
    with contextlib.chdir(directory), TrainingPool(Datasets.of(dataset), processes=2) as shared:
        yield shared


@pytest.fixture
def stub_pool(monkeypatch):
    """Start a pool whose processes train nothing and load no torch."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))

    def start(processes=1, dataset=StubDataset()):  # noqa: B008  (it has no state)
        return TrainingPool(dataset, processes=processes, worker=STUB_WORKER)

    return start


def without_time(run):
    return replace(run, wall_seconds=0.0)


def wait_until(condition, seconds=30.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def trainer_of(heard, killed=()):
    """Return the number of the stub process that trains, from the epochs that it reports.

    The reports of a killed process may still be on their way.
    """
    wait_until(lambda: heard and heard[-1][1].train_loss not in killed)
    return heard[-1][1].train_loss


def test_runs_are_those_of_train(pool, dataset):
    """A process gives the run that training here gives, bit for bit, and each to its own job."""
    jobs = [training_job(mlp(8), seed=seed) for seed in (1, 2, 3)]
    futures = [submit(pool, job) for job in jobs]
    for job, future in zip(jobs, futures, strict=True):
        assert without_time(future.result()) == without_time(train(job, dataset))


def test_long_runs_are_compiled(pool, dataset):
    """Kernels train what takes longer than to compile them, with the same run as here."""
    job = training_job(mlp(8), epochs=100, batch_size=125)  # 50,000 examples
    run = submit(pool, job).result()
    assert run.compiled
    assert without_time(run) == without_time(train(job, dataset, compiles=True))
    assert not submit(pool, replace(job, epochs=99)).result().compiled


def test_progress_is_reported(stub_pool):
    """Every epoch reaches the callback of its own job, in order."""
    heard = {1: [], 2: []}
    with stub_pool(processes=2) as pool:
        futures = {
            seed: submit(
                pool,
                training_job(mlp(8), seed=seed),
                lambda epoch, result, seed=seed: heard[seed].append((epoch, result)),
            )
            for seed in heard
        }
        for seed, future in futures.items():
            assert future.result().seed == seed
            assert heard[seed] == list(enumerate(future.result().epochs, start=1))


def test_stacked_jobs(pool, dataset):
    """Jobs that are stacked report to their own callbacks and end in their own futures."""
    jobs = [training_job(mlp(8), seed=seed) for seed in range(1, 6)]
    heard = [[] for _ in jobs]
    callbacks = [lambda *report, index=index: heard[index].append(report) for index in range(5)]
    futures = pool.submit_stacked(jobs, callbacks)
    for job, future, reports in zip(jobs, futures, heard, strict=True):
        run = future.result()
        assert run.seed == job.seed
        assert reports == list(enumerate(run.epochs, start=1))
        alone = train(job, dataset)
        assert run.final_accuracy == pytest.approx(alone.final_accuracy, abs=0.005)


def test_error_of_stacked_jobs(pool):
    """A model's error reaches the future of each job with the model."""
    futures = pool.submit_stacked([training_job(model(linear(784, 10)), seed=s) for s in (1, 2)])
    for future in futures:
        with pytest.raises(ModelError, match="it expects 784 features"):
            future.result()


def test_error_of_a_model(pool):
    """A model that cannot be trained fails its own job, and the worker goes on."""
    future = submit(pool, training_job(model(linear(784, 10))))
    with pytest.raises(ModelError, match="it expects 784 features") as caught:
        future.result()
    assert caught.value.layer_index == 0
    assert "nn.Flatten()" in caught.value.next_step
    assert submit(pool, training_job(mlp(8), epochs=1)).result().epochs


def test_unexpected_error_is_the_machines(pool):
    """An unforeseen error is not the student's fault, and the process trains on."""
    future = submit(pool, training_job(mlp(8), batch_size=-1))
    with pytest.raises(MachineError, match="training failed: "):
        future.result()
    assert submit(pool, training_job(mlp(8), epochs=1)).result().epochs


def test_current_directory_is_no_import(pool):
    """A file in the current directory, which may be a submission, shadows no module."""
    assert os.path.exists("torch.py")  # noqa: PTH110
    assert submit(pool, training_job(mlp(8), epochs=1)).result().epochs


def test_callback_that_raises(stub_pool):
    """An error in a callback ends its own job; the messages of that job reach no other."""

    def fail(epoch, result):
        raise BrokenPipeError("a fault in the display")

    with stub_pool() as pool:
        future = submit(pool, training_job(mlp(8), epochs=50), fail)
        with pytest.raises(BrokenPipeError, match="a fault in the display"):
            future.result()
        heard = []
        run = submit(pool, SHORT, lambda *epoch: heard.append(epoch)).result()
        assert heard == list(enumerate(run.epochs, start=1))


def test_killed_restarts(pool, dataset):
    """A process that is killed is replaced, and its job gives the run that it would have given."""
    job = training_job(mlp(8), epochs=40)
    heard = []
    before = {worker._process._process.pid for worker in pool._workers}
    victim = submit(pool, job, lambda *epoch: heard.append(epoch))
    wait_until(lambda: heard)
    for process_id in before:  # one of the two trains
        os.kill(process_id, signal.SIGKILL)
    assert without_time(victim.result()) == without_time(train(job, dataset))
    assert heard[-1][0] == 40


def test_killed_costs_no_other_job(stub_pool):
    """A death leaves the jobs of the other processes and those in the queue alone."""
    with stub_pool(processes=2) as pool:
        heard = []
        submit(pool, ENDLESS, lambda *epoch: heard.append(epoch))
        others = [submit(pool, replace(SHORT, epochs=50, seed=seed)) for seed in range(5)]
        first = trainer_of(heard)
        os.kill(first, signal.SIGKILL)
        assert [other.result().seed for other in others] == list(range(5))
        assert trainer_of(heard, killed={first}) != first


@pytest.mark.parametrize(
    ("out_of_memory", "message"),
    [
        (False, "the training process was killed by signal 9, at the last of 3 attempts"),
        (True, "memory ran out: the kernel killed the training process, at each of 3 attempts"),
    ],
)
def test_killed_at_every_attempt(out_of_memory, message, stub_pool, monkeypatch):
    """A job whose process always dies fails, with the cause, and no other does."""
    kills = count(step=int(out_of_memory))
    monkeypatch.setattr("grader.training.pool.count_memory_kills", lambda: next(kills))
    with stub_pool() as pool:
        heard = []
        victim = submit(pool, ENDLESS, lambda *epoch: heard.append(epoch))
        waiting = submit(pool, SHORT)
        killed = set()
        for _ in range(3):
            process_id = trainer_of(heard, killed)
            os.kill(process_id, signal.SIGKILL)
            killed.add(process_id)
        with pytest.raises(MachineError, match=message) as caught:
            victim.result()
        assert "memory" in caught.value.next_step
        assert len(waiting.result().epochs) == 2


def test_process_that_does_not_load():
    """A process that dies before its first job fails the job with the last that it printed."""
    worker = (sys.executable, "-c", "raise SystemExit('no torch here')")
    with TrainingPool(StubDataset(), processes=1, worker=worker) as pool:
        future = submit(pool, SHORT)
        with pytest.raises(MachineError, match="ended with exit code 1: no torch here, at the l"):
            future.result()
    with TrainingPool(StubDataset(), processes=1, worker=("/nowhere",)) as pool:
        future = submit(pool, SHORT)
        with pytest.raises(MachineError, match=r"a training process cannot be started: .*nowhere"):
            future.result()


@linux_only
def test_memory_limit_of_training(pool):
    """Training that gets too little memory loses no points, and the pool goes on."""
    large = submit(pool, training_job(mlp(100_000)), memory_bytes=100_000_000)
    with pytest.raises(MachineError, match=r"memory ran out: .* you tried to allocate"):
        large.result()
    assert submit(pool, training_job(mlp(8), epochs=1)).result().epochs


@linux_only
def test_memory_limit_of_a_step(pool):
    """A model whose first step takes too much memory is refused before it is trained."""
    limits = {"memory_bytes": 300_000_000, "reference_epochs": 1e6}
    assert submit(pool, training_job(cnn()), **limits).result().epochs
    heard = []
    large = submit(pool, training_job(mlp(100_000)), lambda *epoch: heard.append(epoch), **limits)
    with pytest.raises(ModelError, match=r"takes more than 0\.3 GB .* is 1, Linear\("):
        large.result()
    assert heard == []


@linux_only
def test_memory_of_earlier_jobs(pool):
    """Memory that earlier jobs left in a process is not counted against a later one."""
    limits = {"memory_bytes": 500_000_000, "reference_epochs": 1e6}
    wide = model(conv(1, 64), batch_norm(64), RELU, POOL, FLATTEN, linear(64 * 169, 10))
    for spec in (mlp(20_000), wide, mlp(20_000)):
        job = training_job(spec, epochs=1, batch_size=256)
        assert submit(pool, job, **limits).result().epochs


def test_over_the_budget(pool):
    """A training over its budget is refused with its seconds, the budget and the dearest layer."""
    limits = {"reference_epochs": 1.0, "repetitions": 3}
    heard = []
    spec = model(conv(1, 64, 5), RELU, POOL, FLATTEN, linear(64 * 144, 10))
    future = submit(pool, training_job(spec), lambda *epoch: heard.append(epoch), **limits)
    with pytest.raises(
        ModelError, match=r"take about [\d.]+ s .* is 0\.\d s; most .* layer 0, Conv"
    ):
        future.result()
    assert heard == []
    assert submit(pool, training_job(mlp(8), epochs=1), **limits).result().epochs


def test_measured_runs_are_those_of_train(pool, dataset):
    """Measuring the first steps changes no run."""
    jobs = [training_job(cnn(p / 10), seed=2) for p in range(5)]
    alone = train_stacked(jobs, dataset)
    for future, run in zip(
        pool.submit_stacked(jobs, budget=Budget(reference_epochs=1e6)), alone, strict=True
    ):
        assert without_time(future.result()) == without_time(run)


@linux_only
def test_endless_step(stub_pool):
    """A step that does not end is ended by its processor time, at the first attempt."""
    with stub_pool() as pool:
        endless = submit(pool, replace(SHORT, seed=BUSY_STEP), reference_epochs=1.0)
        waiting = submit(pool, SHORT)
        with pytest.raises(ModelError, match="the step takes too long"):
            endless.result()
        assert len(waiting.result().epochs) == 2


@linux_only
def test_training_longer_than_promised(stub_pool):
    """Training that takes far longer than its first steps loses no points."""
    with stub_pool() as pool:
        longer = submit(pool, replace(SHORT, seed=BUSY_RUN), reference_epochs=1.0)
        with pytest.raises(MachineError, match="ended after over 10 times the 0 s"):
            longer.result()
        assert len(submit(pool, SHORT).result().epochs) == 2


def test_wall_clock(monkeypatch):
    """A process that hangs is ended by the wall clock, at the first attempt."""
    monkeypatch.setattr("grader.training.pool.START_SECONDS", 0.5)
    hanging = (sys.executable, "-c", "import time; time.sleep(100)")
    with TrainingPool(StubDataset(), processes=1, worker=hanging) as pool:
        future = submit(pool, SHORT)
        with pytest.raises(MachineError, match="ended after 0 s without a result"):
            future.result()


def test_leaving_ends_the_processes(stub_pool):
    """However the pool is left, no process stays and no job hangs."""
    heard = []
    with stub_pool() as pool:
        futures = [submit(pool, ENDLESS, lambda *epoch: heard.append(epoch)) for _ in range(3)]
        process_id = trainer_of(heard)
    assert not psutil.pid_exists(process_id)
    for future in futures:
        with pytest.raises(MachineError, match="training was stopped"):
            future.result(timeout=0)


def test_data_set_may_come_late(stub_pool):
    """Processes start at once, and train as soon as the data set is there."""
    with stub_pool(dataset=None) as pool:
        with pytest.raises(MachineError, match="before a data set"):
            submit(pool, ENDLESS)
        wait_until(lambda: pool._workers[0]._process)
        pool.use_datasets(StubDataset())
        assert len(submit(pool, SHORT).result().epochs) == 2


def test_data_set_has_a_name_elsewhere(stub_pool, monkeypatch, tmp_path):
    """Where no descriptor can be inherited, processes map a file, which goes with the pool."""
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with stub_pool() as pool:
        assert pool._file.descriptors == ()
        assert len(submit(pool, SHORT).result().epochs) == 2
        assert list(tmp_path.rglob("dataset"))
    assert list(tmp_path.iterdir()) == []


def test_environment():
    """The allocator keeps freed memory, and every process computes with one thread."""
    script = (
        "import os, sys; sys.exit(str([i for i in os.environ.items() if i[0][:3] in 'MALOMP']))"
    )
    with TrainingPool(StubDataset(), processes=1, worker=(sys.executable, "-c", script)) as pool:
        future = submit(pool, SHORT)
        with pytest.raises(MachineError) as caught:
            future.result()
    for setting in ("'MALLOC_TRIM_THRESHOLD_', '2147483647'", "'OMP_NUM_THREADS', '1'"):
        assert setting in str(caught.value)


SCRIPT = """
import pickle, sys
from grader.training.pool import TrainingPool
from tests.support.stub_training import BUSY_RUN, BUSY_STEP, STUB_WORKER, StubDataset

with TrainingPool(StubDataset(), processes=1, worker=STUB_WORKER) as pool:
    def report(epoch, result):
        if epoch == 1:
            print(result.train_loss, flush=True)
    pool.submit_stacked([pickle.loads(bytes.fromhex(sys.argv[1]))], [report])[0].result()
"""


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGKILL])
def test_no_process_outlives_the_parent(end):
    """After Ctrl-C, or when the grader is killed, its processes are gone."""
    if end != signal.SIGINT and sys.platform != "linux":
        pytest.skip("elsewhere than on Linux a process notices at the end of its epoch")
    with subprocess.Popen(
        [sys.executable, "-P", "-c", SCRIPT, pickle.dumps(ENDLESS).hex()],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        process_group=0,
    ) as parent:
        process_id = int(parent.stdout.readline())
        os.killpg(parent.pid, end)
        errors = parent.stderr.read()
        assert parent.wait(timeout=30) == -end or end == signal.SIGINT
    assert ("KeyboardInterrupt" in errors) == (end == signal.SIGINT)
    assert not alive([process_id])


def test_cores_are_counted():
    """As many as this process may use, and at least one."""
    assert 1 <= count_cores() <= (os.cpu_count() or 1)


def test_cores_can_be_said(monkeypatch):
    """Where a container gives half a processor but shows the whole machine."""
    monkeypatch.setenv("GRADER_CORES", "77")
    assert count_cores() == 77
    monkeypatch.setenv("GRADER_CORES", "many")
    assert count_cores() != 77
