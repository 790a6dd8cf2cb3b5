"""The training pool: results, progress, and the death of its processes."""

import os
import resource
import signal
import subprocess
import sys
import time
from dataclasses import replace
from itertools import count

import psutil
import pytest

from grader.errors import MachineError, ModelError
from grader.training.loop import train
from grader.training.pool import TrainingPool, count_cores
from tests.support.paths import ROOT
from tests.support.specs import linear, mlp, model
from tests.support.training_samples import practice_set, training_job

ENDLESS = training_job(mlp(8), epochs=1_000_000)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return practice_set(tmp_path_factory.mktemp("cache"), train_examples=500)


@pytest.fixture(scope="module")
def pool(dataset):
    with TrainingPool(dataset, processes=2) as shared:
        yield shared


def without_time(run):
    return replace(run, wall_seconds=0.0)


def wait_until(condition, seconds=30.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def process_ids(pool):
    return [worker._process.pid for worker in pool._workers]


def test_runs_are_those_of_train(pool, dataset):
    """A worker gives the run that training here gives, bit for bit, and each to its own job."""
    jobs = [training_job(mlp(8), seed=seed) for seed in (1, 2, 3)]
    futures = [pool.submit(job) for job in jobs]
    for job, future in zip(jobs, futures, strict=True):
        assert without_time(future.result()) == without_time(train(job, dataset))


def test_progress_is_reported(pool):
    """Every epoch reaches the callback of its own job, in order."""
    heard = {1: [], 2: []}
    futures = {
        seed: pool.submit(
            training_job(mlp(8), seed=seed),
            lambda epoch, result, seed=seed: heard[seed].append((epoch, result)),
        )
        for seed in heard
    }
    for seed, future in futures.items():
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
    """What is wrong with a model reaches the future of each job that has it."""
    futures = pool.submit_stacked([training_job(model(linear(784, 10)), seed=s) for s in (1, 2)])
    for future in futures:
        with pytest.raises(ModelError, match="it expects 784 features"):
            future.result()


def test_error_of_a_model(pool):
    """A model that cannot be trained fails its own job, and the worker goes on."""
    future = pool.submit(training_job(model(linear(784, 10))))
    with pytest.raises(ModelError, match="it expects 784 features") as caught:
        future.result()
    assert caught.value.layer_index == 0
    assert "nn.Flatten()" in caught.value.next_step
    assert pool.submit(training_job(mlp(8), epochs=1)).result().epochs


def test_unexpected_error_is_the_machines(pool):
    """What nobody foresaw is no fault of the student, and the worker goes on."""
    future = pool.submit(training_job(mlp(8), batch_size=-1))
    with pytest.raises(MachineError, match="training failed: "):
        future.result()
    assert pool.submit(training_job(mlp(8), epochs=1)).result().epochs


def test_callback_that_raises(pool):
    """An error in a callback ends its own job; the messages of that job reach no other."""

    def fail(epoch, result):
        raise ValueError("a fault in the display")

    future = pool.submit(training_job(mlp(8), epochs=50), fail)
    with pytest.raises(ValueError, match="a fault in the display"):
        future.result()
    run = pool.submit(training_job(mlp(8), epochs=1)).result()
    assert len(run.epochs) == 1


def kill_busy_worker(pool, heard):
    """Kill the process of the only job that is being trained, after its next epoch."""
    heard.clear()
    wait_until(lambda: heard)
    (busy,) = (worker for worker in pool._workers if worker._has_dataset)
    os.kill(busy._process.pid, signal.SIGKILL)


def test_death_of_a_process(dataset):
    """A process that is killed is replaced, and its job gives the run that it would have given."""
    job = training_job(mlp(8), epochs=40)
    with TrainingPool(dataset, processes=2) as pool:
        heard = []
        victim = pool.submit(job, lambda *epoch: heard.append(epoch))
        kill_busy_worker(pool, heard)
        assert without_time(victim.result()) == without_time(train(job, dataset))
    assert heard[-1][0] == 40


@pytest.mark.slow
@pytest.mark.parametrize(
    ("out_of_memory", "message"),
    [
        (False, "the training process was killed by signal 9, at the last of 3 attempts"),
        (True, "memory ran out: the kernel killed the training process, at each of 3 attempts"),
    ],
)
def test_death_at_every_attempt(out_of_memory, message, dataset, monkeypatch):
    """A job whose process always dies fails, with the cause, and no other does."""
    kills = count(step=int(out_of_memory))
    monkeypatch.setattr("grader.training.pool.count_memory_kills", lambda: next(kills))
    with TrainingPool(dataset, processes=1) as pool:
        heard = []
        victim = pool.submit(ENDLESS, lambda *epoch: heard.append(epoch))
        waiting = pool.submit(training_job(mlp(8), seed=3))
        for _ in range(3):
            kill_busy_worker(pool, heard)
        with pytest.raises(MachineError, match=message) as caught:
            victim.result()
        assert "memory" in caught.value.next_step
        assert len(waiting.result().epochs) == 2


@pytest.mark.skipif(sys.platform != "linux", reason="limits of another process are Linux's")
def test_memory_runs_out(dataset):
    """Memory that a training process cannot get is told apart, and the process goes on."""
    with TrainingPool(dataset, processes=1) as pool:
        assert pool.submit(training_job(mlp(8), epochs=1)).result().epochs
        (process_id,) = process_ids(pool)
        used_bytes = psutil.Process(process_id).memory_info().vms
        limit_bytes = used_bytes + 50 * 2**20
        resource.prlimit(process_id, resource.RLIMIT_AS, (limit_bytes, limit_bytes))
        large = pool.submit(training_job(mlp(100_000)))
        with pytest.raises(MachineError, match=r"memory ran out: .* you tried to allocate"):
            large.result()
        assert pool.submit(training_job(mlp(8), epochs=1)).result().epochs
        assert process_ids(pool) == [process_id]


def test_leaving_the_pool_ends_its_processes(dataset):
    """However the pool is left, no process stays and no job hangs."""
    heard = []
    with TrainingPool(dataset, processes=1) as pool:
        futures = [pool.submit(ENDLESS, lambda *epoch: heard.append(epoch)) for _ in range(3)]
        wait_until(lambda: heard)
        pids = process_ids(pool)
    assert pids
    assert not any(map(psutil.pid_exists, pids))
    assert all(future.done() for future in futures)


def test_data_set_may_come_late(dataset):
    """Workers start at once, and train as soon as the data set is there."""
    with TrainingPool(processes=1) as pool:
        early = pool.submit(ENDLESS)
        with pytest.raises(MachineError, match="before a data set"):
            early.result()
        pool.use_dataset(dataset)
        run = pool.submit(training_job(mlp(8), epochs=1)).result()
    assert without_time(run) == without_time(train(training_job(mlp(8), epochs=1), dataset))


def test_current_directory_is_not_imported_from(dataset, tmp_path, monkeypatch):
    """A file in the current directory, which may be a submission, shadows no module."""
    for name in ("torch", "numpy", "grader", "ctypes"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('imported from the directory')\n")
    monkeypatch.chdir(tmp_path)
    with TrainingPool(dataset, processes=1) as pool:
        assert pool.submit(training_job(mlp(8), epochs=1)).result().epochs


SCRIPT = """
import sys
from pathlib import Path
from grader.training.pool import TrainingPool
from tests.training.test_pool import ENDLESS, process_ids
from tests.support.training_samples import practice_set

if __name__ == "__main__":
    dataset = practice_set(Path(sys.argv[1]), train_examples=500)
    with TrainingPool(dataset, processes=1) as pool:
        def report(epoch, result):
            if epoch == 1:
                print(*process_ids(pool), flush=True)
        pool.submit(ENDLESS, report).result()
"""


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGKILL])
def test_no_process_outlives_the_parent(end, tmp_path):
    """After Ctrl-C, or when the grader is killed, its workers are gone."""
    if end != signal.SIGINT and sys.platform != "linux":
        pytest.skip("elsewhere than on Linux a worker notices at the end of its epoch")
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    with subprocess.Popen(
        [sys.executable, str(script), str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        process_group=0,
    ) as parent:
        pids = [int(pid) for pid in parent.stdout.readline().split()]
        assert len(pids) == 1
        os.killpg(parent.pid, end)
        errors = parent.stderr.read()
        assert parent.wait(timeout=30) == -end or end == signal.SIGINT
    assert ("KeyboardInterrupt" in errors) == (end == signal.SIGINT)
    wait_until(lambda: not any(map(psutil.pid_exists, pids)))


def test_cores_are_counted():
    """As many as this process may use, and at least one."""
    assert 1 <= count_cores() <= (os.cpu_count() or 1)


def test_cores_can_be_said(monkeypatch):
    """Where a container gives half a processor but shows the whole machine."""
    monkeypatch.setenv("GRADER_CORES", "77")
    assert count_cores() == 77
    monkeypatch.setenv("GRADER_CORES", "many")
    assert count_cores() != 77
