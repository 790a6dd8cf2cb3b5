"""Training on a Dask cluster: real schedulers and workers, on the loopback of this machine."""

import os
import pickle
import pickletools
import re
import signal
import subprocess
from dataclasses import replace

import dask
import psutil
import pytest
import yaml
from distributed import Client

from grader.errors import GraderError, MachineError, ModelError, UsageError
from grader.grading.stages import Options, _choose_device
from grader.training import cluster as cluster_module
from grader.training.cluster import DaskTrainer
from grader.training.datasets import Datasets, load_dataset
from grader.training.loop import train
from grader.training.pool import TrainingPool
from tests.support.dask_cluster import started_cluster, wait_until
from tests.support.paths import ROOT
from tests.support.specs import linear, mlp, model
from tests.support.training_samples import cnn, submit, training_job

JOBS = [training_job(mlp(8), seed=seed, epochs=2) for seed in (1, 2, 3)]
STACK = [training_job(mlp(8), seed=seed, epochs=1) for seed in range(1, 7)]
LONG = [training_job(cnn(0.2), seed=seed, epochs=2) for seed in (1, 2, 3)]
ENDLESS = training_job(mlp(8), epochs=100_000)
SCALING = (ROOT / "docs" / "scaling.md").read_text()


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return load_dataset("mnist-5k", cache_directory=tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def shared_cluster(tmp_path_factory):
    """A scheduler, and one worker with two threads."""
    with started_cluster(tmp_path_factory.mktemp("cluster")) as cluster:
        cluster.worker = cluster.add_worker(threads=2)
        yield cluster


@pytest.fixture(scope="module")
def trainer(dataset, shared_cluster):
    with DaskTrainer(Datasets.of(dataset), address=shared_cluster.address) as shared:
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


def training_processes(worker):
    return [
        process
        for process in psutil.Process(worker.pid).children(recursive=True)
        if "grader.training.pool_process" in process.cmdline()
    ]


def kill_worker(client):
    """Kill the first worker that has a job, and wait until the scheduler knows of the death."""
    address = next(address for address, keys in client.processing().items() if keys)
    (process_id,) = client.run(os.getpid, workers=[address]).values()
    os.kill(process_id, signal.SIGKILL)
    wait_until(lambda: address not in client.nthreads())


def test_runs_are_those_of_the_local_pool(trainer, dataset):
    """Alone or stacked, a worker gives the runs that this machine gives, bit for bit."""
    remote = [submit(trainer, JOBS[0]), *trainer.submit_stacked(STACK)]
    with TrainingPool(Datasets.of(dataset), processes=2) as pool:
        local = [submit(pool, JOBS[0]), *pool.submit_stacked(STACK)]
        assert results(remote) == results(local)


def test_epochs_are_told(trainer):
    """Each epoch reaches the callback of its own job, in order."""
    heard = [[] for _ in JOBS]
    futures = [
        submit(trainer, job, lambda *epoch, mine=mine: mine.append(epoch))
        for job, mine in zip(JOBS, heard, strict=True)
    ]
    for future, mine in zip(futures, heard, strict=True):
        assert mine == list(enumerate(future.result().epochs, start=1))


def test_callback_that_raises(trainer):
    """An error in a callback ends its own job, and no other."""

    def fail(epoch, result):
        raise ValueError("a fault in the display")

    future, other = submit(trainer, JOBS[0], fail), submit(trainer, JOBS[1])
    with pytest.raises(ValueError, match="a fault in the display"):
        future.result()
    assert other.result().epochs


def test_error_of_a_model(trainer):
    """A model's error comes back as the same error, without a retry."""
    future = submit(trainer, training_job(model(linear(784, 10))))
    with pytest.raises(ModelError, match="it expects 784 features") as caught:
        future.result()
    assert caught.value.layer_index == 0
    assert "nn.Flatten()" in caught.value.next_step


def test_error_of_the_machine(trainer):
    """A failure on a worker names the worker."""
    future = submit(trainer, training_job(mlp(8), batch_size=-1))
    with pytest.raises(MachineError, match=r"on the Dask worker worker-0 \(tcp://127.*failed: "):
        future.result()


def test_killed_training_process(trainer, shared_cluster, dataset):
    """A training process that dies costs its worker nothing, and its job only time."""
    future = submit(trainer, LONG[0])
    wait_until(lambda: trainer._running)
    wait_until(lambda: training_processes(shared_cluster.worker))
    for process in training_processes(shared_cluster.worker):
        process.kill()
    assert without_time(future.result()) == without_time(train(LONG[0], dataset))


def test_memory_runs_out(trainer, shared_cluster):
    """A job that gets too little memory fails with that cause, and no other job."""
    large = submit(trainer, training_job(mlp(100_000)), memory_bytes=100_000_000)
    other = submit(trainer, JOBS[1])
    with pytest.raises(MachineError, match=r"worker-0 .*memory ran out: .* you tried to allocate"):
        large.result()
    assert other.result().epochs


def test_budget_on_a_worker(trainer):
    """A worker times the first steps itself, and refuses what is over the budget."""
    dear = submit(trainer, training_job(mlp(2000), epochs=30), reference_epochs=1.0)
    with pytest.raises(ModelError, match=r"over all seeds, but the budget is .* layer 1, Linear"):
        dear.result()


@pytest.mark.slow
def test_killed_worker(cluster, dataset):
    """The job of a killed worker runs again and gives the run that it would have given."""
    for _ in range(2):
        cluster.add_worker()
    with (
        DaskTrainer(Datasets.of(dataset), address=cluster.address) as trainer,
        Client(cluster.address, set_as_default=False) as client,
    ):
        futures = [submit(trainer, job) for job in LONG]
        wait_until(lambda: len(trainer._running) == 2)
        wait_until(lambda: sum(map(len, client.processing().values())) == 2)
        kill_worker(client)
        remote = results(futures)
    assert remote == [without_time(train(job, dataset)) for job in LONG]


@pytest.mark.slow
def test_job_that_kills_workers(cluster, dataset):
    """A job that no worker survives fails with that cause; the job behind it is trained."""
    cluster.add_worker()
    with (
        DaskTrainer(Datasets.of(dataset), address=cluster.address) as trainer,
        Client(cluster.address, set_as_default=False) as client,
    ):
        victim = submit(trainer, ENDLESS)
        others = [submit(trainer, job) for job in JOBS]
        for _ in range(4):
            wait_until(lambda: any(client.processing().values()))
            kill_worker(client)
        with pytest.raises(MachineError, match="started 4 times, and its Dask worker died each"):
            victim.result()
        assert all(other.result().epochs for other in others)


@pytest.mark.slow
def test_nothing_stays_after_the_grader(cluster, dataset, tmp_path):
    """Training processes end some time after the last job, and the next job starts new ones."""
    preload = tmp_path / "impatient.py"
    preload.write_text("from grader.training import cluster\ncluster.IDLE_SECONDS = 0.5\n")
    worker = cluster.add_worker("--preload", str(preload))
    with DaskTrainer(Datasets.of(dataset), address=cluster.address) as trainer:
        assert submit(trainer, JOBS[0]).result().epochs
        wait_until(lambda: not training_processes(worker))
        assert submit(trainer, JOBS[0]).result().epochs
    wait_until(lambda: not training_processes(worker))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("preload", "message"),
    [
        (
            "import grader\ngrader.__version__ = '0.0.0'\n",
            r"on the Dask worker worker-0 \(tcp.*\): the version of the grader is 0.0.0, but ",
        ),
        (
            "import sys\nsys.modules['grader.training.cluster'] = None\n",
            "no Dask worker can train: ModuleNotFoundError.*grader.training.cluster",
        ),
    ],
    ids=["another version", "no grader"],
)
def test_unusable_worker(preload, message, cluster, dataset, tmp_path):
    """A worker of another version, or without the grader, gets no job; another worker trains."""
    file = tmp_path / "preload.py"
    file.write_text(preload)
    cluster.add_worker("--preload", str(file))
    with DaskTrainer(
        Datasets.of(dataset), address=cluster.address, patience_seconds=None
    ) as trainer:
        refused = submit(trainer, JOBS[0])
        with pytest.raises(MachineError, match=message) as caught:
            refused.result()
        assert "same versions" in caught.value.next_step
        cluster.add_worker()
        wait_until(lambda: any(isinstance(offer, int) for offer in trainer._offers.values()))
        assert all(future.result().epochs for future in [submit(trainer, job) for job in JOBS])


@pytest.mark.slow
def test_data_travel(cluster, dataset, tmp_path):
    """A worker needs no data of its own: it trains on what the grader has."""
    cluster.add_worker(GRADER_DATA=str(tmp_path / "nowhere"))
    other = replace(
        dataset, name="mnist", sha256="0" * 64, train_targets=dataset.train_targets.flip(0)
    )
    job = replace(JOBS[0], dataset="mnist")
    with DaskTrainer(Datasets.of(other), address=cluster.address) as trainer:
        assert without_time(submit(trainer, job).result()) == without_time(train(job, other))


@pytest.mark.slow
def test_no_worker_comes(cluster, dataset):
    """Jobs do not wait forever at a scheduler without workers; leaving drops queued jobs."""
    with DaskTrainer(
        Datasets.of(dataset), address=cluster.address, patience_seconds=0.5
    ) as trainer:
        with pytest.raises(MachineError, match="has had no worker for 0 s") as caught:
            submit(trainer, JOBS[0]).result()
        assert "dask worker" in caught.value.next_step
    with DaskTrainer(
        Datasets.of(dataset), address=cluster.address, patience_seconds=None
    ) as trainer:
        waiting = submit(trainer, JOBS[0])
    with pytest.raises(MachineError, match="training was stopped"):
        waiting.result()


@pytest.mark.slow
def test_worker_comes_late(cluster, dataset):
    """A job waits for its worker, whose death leaves the job waiting for the next one."""
    with (
        DaskTrainer(
            Datasets.of(dataset), address=cluster.address, patience_seconds=None
        ) as trainer,
        Client(cluster.address, set_as_default=False) as client,
    ):
        future = submit(trainer, LONG[0])
        first = cluster.add_worker("--no-nanny")
        wait_until(lambda: any(client.processing().values()))
        first.kill()
        wait_until(lambda: not client.nthreads())
        cluster.add_worker()
        assert without_time(future.result()) == without_time(train(LONG[0], dataset))


@pytest.mark.slow
def test_scheduler_is_lost(cluster, dataset, monkeypatch):
    """When the scheduler dies, jobs that wait fail with that cause, and so do later jobs."""
    monkeypatch.setattr(cluster_module, "CONNECT_SECONDS", 3.0)
    with DaskTrainer(Datasets.of(dataset), address=cluster.address) as trainer:
        waiting = submit(trainer, JOBS[0])
        cluster.scheduler.kill()
        for future in (waiting, submit(trainer, JOBS[1])):
            with pytest.raises(MachineError, match="the Dask scheduler was lost"):
                future.result()


@pytest.mark.slow
def test_encrypted_connections(dataset, tmp_path, monkeypatch):
    """The certificate and configuration of docs/scaling.md open the cluster, and nothing else."""
    command = re.search(r"\$ (openssl .*?)\n *```", SCALING, re.DOTALL)[1]
    subprocess.run(command, shell=True, check=True, cwd=tmp_path, capture_output=True)
    shown = re.search(r"```yaml\n( *distributed:.*?)```", SCALING, re.DOTALL)[1]
    configuration = tmp_path / "distributed.yaml"
    configuration.write_text(shown.replace("/secrets/", f"{tmp_path}/"))
    monkeypatch.setenv("DASK_CONFIG", str(configuration))
    tls = yaml.safe_load(configuration.read_text())["distributed"]["comm"]["tls"]
    with started_cluster(tmp_path, "--protocol", "tls") as cluster:
        assert cluster.address.startswith("tls://")
        cluster.add_worker()
        with (
            dask.config.set(
                {
                    "distributed.comm.tls.ca-file": tls["ca-file"],
                    "distributed.comm.tls.client": tls["client"],
                }
            ),
            DaskTrainer(
                Datasets.of(dataset), address=cluster.address, patience_seconds=None
            ) as trainer,
        ):
            assert submit(trainer, JOBS[0]).result().epochs
        monkeypatch.setattr(cluster_module, "CONNECT_SECONDS", 2.0)
        with pytest.raises(GraderError, match="tls://"):
            DaskTrainer(Datasets.of(dataset), address=cluster.address).__enter__()


def test_no_scheduler(dataset, monkeypatch):
    """An address where nobody answers fails at once, with the remedy."""
    monkeypatch.setattr(cluster_module, "CONNECT_SECONDS", 0.5)
    trainer = DaskTrainer(Datasets.of(dataset), address="tcp://127.0.0.1:1")
    with pytest.raises(MachineError, match=r"no Dask scheduler answers at tcp://127") as caught:
        trainer.__enter__()
    assert "dask scheduler" in caught.value.next_step


def test_unknown_address(dataset):
    """An unknown kind of address is wrong use."""
    with pytest.raises(UsageError, match="'udp://host:1' is not the address"):
        DaskTrainer(Datasets.of(dataset), address="udp://host:1").__enter__()


def test_only_specs_travel():
    """A job consists of plain records, and arrives as the very job, weights and all."""
    job = training_job(replace(cnn(0.25), weights=b"\x00\xff"), stop_at_accuracy=0.975)
    sent = pickle.dumps(job)
    assert pickle.loads(sent) == job
    assert pickle.loads(sent).digest() == job.digest()
    named = {
        value
        for operation, value, _ in pickletools.genops(sent)
        if "UNICODE" in operation.name and value.startswith(("grader", "torch", "builtins"))
    }
    assert named == {"grader.training.job", "grader.models.spec"}


def test_device_of_the_workers():
    """The device is the workers' own: "auto" is the CPU, and "cuda" needs no GPU here."""
    scheduler = "tcp://head:8786"
    assert _choose_device(Options(scheduler=scheduler)) == "cpu"
    assert _choose_device(Options(scheduler=scheduler, device="cuda")) == "cuda"


@pytest.mark.parametrize(
    "error",
    [
        ModelError("a layer is wrong", layer_index=3, next_step="Fix it."),
        MachineError("the disk is full", next_step="Empty it."),
    ],
)
def test_errors_travel(error):
    """An error arrives as the same error."""
    arrived = pickle.loads(pickle.dumps(error))
    assert type(arrived) is type(error)
    assert (str(arrived), vars(arrived)) == (str(error), vars(error))


def test_recipes_in_the_documentation():
    """The manifests and programs that docs/scaling.md shows can be parsed."""
    manifests = yaml.safe_load_all(re.search(r"```yaml\n(apiVersion.*?)```", SCALING, re.DOTALL)[1])
    assert [manifest["kind"] for manifest in manifests] == ["Deployment", "Service", "Deployment"]
    compile(re.search(r"```python\n(.*?)```", SCALING, re.DOTALL)[1], "recipe", "exec")
