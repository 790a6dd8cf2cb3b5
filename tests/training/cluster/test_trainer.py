"""Training on a Dask cluster: real schedulers and workers, on the loopback of this machine."""

import os
import signal
from dataclasses import replace

import dask
import msgspec
import psutil
import pytest
from distributed import Client

from grader.errors import GraderError, MachineError, ModelError, UsageError
from grader.training.cluster import trainer as dask_trainer
from grader.training.cluster.messages import Failure, RemoteOrder, Terms, own_versions
from grader.training.cluster.slurm import make_keys
from grader.training.cluster.trainer import DaskTrainer
from grader.training.datasets import load_dataset
from grader.training.loop import train
from grader.training.pool import TrainingPool
from tests.support.dask_cluster import started_cluster, wait_until
from tests.support.specs import linear, mlp, model
from tests.support.training_samples import cnn, training_job

JOBS = [training_job(mlp(8), seed=seed, epochs=2) for seed in (1, 2, 3)]
STACK = [training_job(mlp(8), seed=seed, epochs=1) for seed in range(1, 7)]
LONG = [training_job(cnn(0.2), seed=seed, epochs=3) for seed in (1, 2, 3, 4)]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return load_dataset("mnist-5k", cache_directory=tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def trainer(dataset, tmp_path_factory):
    """Trains on one worker with two threads."""
    with started_cluster(tmp_path_factory.mktemp("cluster")) as cluster:
        cluster.add_worker(threads=2)
        with DaskTrainer(dataset, cluster=cluster.address) as shared:
            yield shared


@pytest.fixture
def cluster(tmp_path):
    """A scheduler without workers."""
    with started_cluster(tmp_path) as started:
        yield started


def without_time(run):
    return replace(run, wall_seconds=0.0)


def results(futures):
    return [without_time(future.result()) for future in futures]


def test_runs_are_those_of_the_local_pool(trainer, dataset):
    """Alone or stacked, a worker gives the runs that this machine gives, bit for bit."""
    remote = [trainer.submit(JOBS[0]), *trainer.submit_stacked(STACK)]
    with TrainingPool(dataset, processes=2) as pool:
        local = [pool.submit(JOBS[0]), *pool.submit_stacked(STACK)]
        assert results(remote) == results(local)


def test_epochs_are_told(trainer):
    """Each epoch reaches the callback of its own job, in order."""
    heard = [[] for _ in JOBS]
    futures = [
        trainer.submit(job, lambda *epoch, mine=mine: mine.append(epoch))
        for job, mine in zip(JOBS, heard, strict=True)
    ]
    for future, mine in zip(futures, heard, strict=True):
        assert mine == list(enumerate(future.result().epochs, start=1))


def test_callback_that_raises(trainer):
    """An error in a callback ends its own job, and no other."""

    def fail(epoch, result):
        raise ValueError("a fault in the display")

    future, other = trainer.submit(JOBS[0], fail), trainer.submit(JOBS[1])
    with pytest.raises(ValueError, match="a fault in the display"):
        future.result()
    assert other.result().epochs


def test_error_of_a_model(trainer):
    """What is wrong with a model comes back as the same error, and is not tried again."""
    future = trainer.submit(training_job(model(linear(784, 10))))
    with pytest.raises(ModelError, match="it expects 784 features") as caught:
        future.result()
    assert caught.value.layer_index == 0
    assert "nn.Flatten()" in caught.value.next_step


def test_error_of_the_machine_names_the_worker(trainer):
    """What failed on a worker says on which."""
    future = trainer.submit(training_job(mlp(8), batch_size=-1))
    with pytest.raises(MachineError, match=r"on the Dask worker worker-0 \(tcp://127.*failed: "):
        future.result()


@pytest.mark.slow
def test_death_of_a_worker(cluster, dataset):
    """A worker that is killed is replaced, and its job gives the run that it would have given."""
    for _ in range(2):
        cluster.add_worker()
    with DaskTrainer(dataset, cluster=cluster.address) as trainer:
        futures = [trainer.submit(job) for job in LONG]
        workers = trainer._dispatcher._workers
        wait_until(lambda: sum(len(worker.running) for worker in list(workers.values())) == 2)
        kill_worker(cluster, next(iter(workers)))
        remote = results(futures)
    assert remote == [without_time(train(job, dataset)) for job in LONG]


@pytest.mark.slow
def test_death_of_worker_after_worker(cluster, dataset):
    """A job that no worker survives fails, with the cause; the next one is trained."""
    cluster.add_worker()
    with DaskTrainer(dataset, cluster=cluster.address) as trainer:
        victim = trainer.submit(training_job(mlp(8), epochs=100_000))
        other = trainer.submit(JOBS[0])
        workers = trainer._dispatcher._workers
        for _ in range(3):
            wait_until(lambda: any(worker.running for worker in list(workers.values())))
            (address,) = workers
            kill_worker(cluster, address)
            wait_until(lambda address=address: address not in workers)
        with pytest.raises(
            MachineError, match="begun 3 times and never ended; at last the Dask wo"
        ):
            victim.result()
        assert other.result().epochs


def kill_worker(cluster, address):
    with Client(cluster.address, set_as_default=False) as client:
        process_id = client.run(os.getpid, workers=[address])[address]
    os.kill(process_id, signal.SIGKILL)


@pytest.mark.slow
def test_nothing_stays_after_the_grader(cluster, dataset, tmp_path):
    """Training processes end some time after the last order, and the next one starts them again."""
    preload = tmp_path / "impatient.py"
    preload.write_text("from grader.training.cluster import worker\nworker.IDLE_SECONDS = 0.5\n")
    worker = cluster.add_worker("--preload", str(preload))
    with DaskTrainer(dataset, cluster=cluster.address) as trainer:
        assert trainer.submit(JOBS[0]).result().epochs
        wait_until(lambda: not training_processes(worker))
        assert trainer.submit(JOBS[0]).result().epochs
    wait_until(lambda: not training_processes(worker))


def training_processes(worker):
    return [
        process
        for process in psutil.Process(worker.pid).children(recursive=True)
        if "grader.training.pool_process" in process.cmdline()
    ]


@pytest.mark.slow
def test_worker_of_another_version(cluster, dataset, tmp_path):
    """A worker whose runs would be others trains nothing and says why; another one may train."""
    preload = tmp_path / "other.py"
    preload.write_text("import grader\ngrader.__version__ = '0.0.0'\n")
    cluster.add_worker("--preload", str(preload))
    with DaskTrainer(dataset, cluster=cluster.address, patience_seconds=None) as trainer:
        refused = trainer.submit(JOBS[0])
        message = r"on the Dask worker worker-0 \(tcp.*\): the version of the grader is 0.0.0, but "
        with pytest.raises(MachineError, match=message) as caught:
            refused.result()
        assert "same versions" in caught.value.next_step
        cluster.add_worker()
        wait_until(lambda: any(w.free_slots for w in list(trainer._dispatcher._workers.values())))
        assert trainer.submit(JOBS[0]).result().epochs


@pytest.mark.slow
def test_worker_without_the_data(cluster, dataset, tmp_path):
    """A worker that has no data, or other data, says so with its name and what to do."""
    cluster.add_worker(GRADER_DATA=str(tmp_path / "nowhere"))
    cases = {
        "mnist": "worker worker-0 .*: the data directory .*nowhere .* does not exist",
        "mnist-5k": "worker worker-0 .*: the data set mnist-5k has the checksum .* but 000",
    }
    for name, message in cases.items():
        wanted = replace(dataset, name=name, sha256="0" * 64)
        with DaskTrainer(wanted, cluster=cluster.address) as trainer:
            refused = trainer.submit(replace(JOBS[0], dataset=name))
            with pytest.raises(MachineError, match=message) as caught:
                refused.result()
            assert "GRADER_DATA" in caught.value.next_step


@pytest.mark.slow
def test_no_worker_comes(cluster, dataset):
    """Nobody waits for ever at a scheduler without workers; leaving drops what waits."""
    with DaskTrainer(dataset, cluster=cluster.address, patience_seconds=0.5) as trainer:
        with pytest.raises(MachineError, match="has had no worker for 0 s") as caught:
            trainer.submit(JOBS[0]).result()
        assert "dask worker" in caught.value.next_step
    with DaskTrainer(dataset, cluster=cluster.address, patience_seconds=None) as trainer:
        waiting = trainer.submit(JOBS[0])
    with pytest.raises(MachineError, match="training was stopped"):
        waiting.result()


@pytest.mark.slow
def test_scheduler_is_lost(cluster, dataset, monkeypatch):
    """When the scheduler dies, whoever waits is told, and so is whoever comes later."""
    monkeypatch.setattr(dask_trainer, "CONNECT_SECONDS", 3.0)
    with DaskTrainer(dataset, cluster=cluster.address) as trainer:
        waiting = trainer.submit(JOBS[0])
        cluster.scheduler.kill()
        for future in (waiting, trainer.submit(JOBS[1])):
            with pytest.raises(MachineError, match="the Dask scheduler was lost"):
                future.result()


@pytest.mark.slow
def test_encrypted_connections(dataset, tmp_path, monkeypatch):
    """Over TLS with the certificates of Dask's configuration; who has none gets no connection."""
    security = make_keys(tmp_path)
    files = (security.tls_ca_file, security.tls_worker_cert, security.tls_worker_key)
    options = ("--tls-ca-file", files[0], "--tls-cert", files[1], "--tls-key", files[2])
    pair = {"cert": files[1], "key": files[2]}
    with started_cluster(tmp_path, "--protocol", "tls", *options) as cluster:
        assert cluster.address.startswith("tls://")
        cluster.add_worker()
        with (
            dask.config.set(
                {"distributed.comm.tls.ca-file": files[0], "distributed.comm.tls.client": pair}
            ),
            DaskTrainer(dataset, cluster=cluster.address, patience_seconds=None) as trainer,
        ):
            assert trainer.submit(JOBS[0]).result().epochs
        monkeypatch.setattr(dask_trainer, "CONNECT_SECONDS", 2.0)
        with pytest.raises(GraderError, match="tls://"):
            DaskTrainer(dataset, cluster=cluster.address).__enter__()


def test_scheduler_that_is_not_there(dataset, monkeypatch):
    """An address where nobody answers is told at once, with what to do."""
    monkeypatch.setattr(dask_trainer, "CONNECT_SECONDS", 0.5)
    trainer = DaskTrainer(dataset, cluster="tcp://127.0.0.1:1")
    with pytest.raises(MachineError, match=r"no Dask scheduler answers at tcp://127") as caught:
        trainer.__enter__()
    assert "dask scheduler" in caught.value.next_step


def test_address_that_is_none(dataset):
    """An unknown kind of address is wrong use."""
    with pytest.raises(UsageError, match="'udp://host:1' is no address"):
        DaskTrainer(dataset, cluster="udp://host:1").__enter__()


def test_job_survives_its_message():
    """What a worker decodes is the very job, weights and all, so that the run's name stays."""
    terms = Terms(dataset="mnist-5k", dataset_sha256="0", device="cpu", versions=own_versions())
    spec = replace(cnn(0.25), weights=b"\x00\xff")
    job = training_job(spec, stop_at_accuracy=0.975, seed=2**31 - 1)
    order = RemoteOrder(terms=terms, jobs=(job,))
    decoded = msgspec.msgpack.decode(msgspec.msgpack.encode(order), type=RemoteOrder)
    assert decoded == order
    assert decoded.jobs[0].digest(dataset_sha256="0") == job.digest(dataset_sha256="0")


@pytest.mark.parametrize(
    "error",
    [
        ModelError("a layer is wrong", layer_index=3, next_step="Mend it."),
        MachineError("the disk is full", next_step="Empty it."),
    ],
)
def test_error_survives_its_message(error):
    """An error arrives as what it was."""
    encoded = msgspec.msgpack.encode(Failure.of(error))
    arrived = msgspec.msgpack.decode(encoded, type=Failure).error()
    assert type(arrived) is type(error)
    assert (str(arrived), vars(arrived)) == (str(error), vars(error))
