"""Slurm's options from a file, the job script that they make, and a cluster under a small Slurm."""

import os
import re
import stat
import tomllib
from dataclasses import fields

import pytest
import yaml

from grader.cli.cluster_options import cluster_pool
from grader.errors import UsageError
from grader.training.cluster.slurm import SlurmOptions, read_slurm_options, slurm_cluster
from grader.training.datasets import load_dataset
from grader.training.loop import train
from tests.support.paths import ROOT
from tests.support.specs import mlp
from tests.support.training_samples import training_job
from tests.training.cluster.test_trainer import without_time

SCALING = ROOT / "docs" / "scaling.md"
MINIMAL = 'jobs = 2\ncores = 4\nmemory = "8GB"\nwalltime = "01:00:00"\n'
WHOLE = (
    MINIMAL
    + """
partition = "teaching"
account = "cs101"
interface = "lo"
directives = ["--gres=gpu:1"]
prologue = ["module load cuda"]
python = "/opt/grader/bin/python"
log_directory = "logs"
"""
)

SBATCH = """#!/bin/sh
# Begins the job at once, in a session of its own.
setsid sh "$1" >>"$SLURM_LOG" 2>&1 &
echo "Submitted batch job $!"
"""
SCANCEL = """#!/bin/sh
kill -TERM -- "-$1"
"""


@pytest.fixture
def options_file(tmp_path):
    return tmp_path / "slurm.toml"


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    """Commands that do with a job script what Slurm's would, on this machine."""
    commands = tmp_path / "bin"
    commands.mkdir()
    for name, script in {"sbatch": SBATCH, "scancel": SCANCEL}.items():
        (commands / name).write_text(script)
        (commands / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{commands}:{os.environ['PATH']}")
    monkeypatch.setenv("SLURM_LOG", str(tmp_path / "slurm.log"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (MINIMAL + 'queue = "x"\ncore = 1\n', "slurm.toml: there is no option queue, core"),
        ('jobs = 2\ncores = 4\nmemory = "8GB"\n', "slurm.toml: .*walltime"),
        (MINIMAL.replace("jobs = 2", "jobs = 0"), r"slurm.toml: .*>= 1 .*jobs"),
        (MINIMAL + "prologue = 'module load cuda'\n", r"slurm.toml: .*array.*prologue"),
        ("jobs: 2\n", "slurm.toml cannot be read"),
    ],
)
def test_options_that_cannot_be_used(content, message, options_file):
    """A mistake is told with the file, and with all options that there are."""
    options_file.write_text(content)
    with pytest.raises(UsageError, match=message) as caught:
        read_slurm_options(options_file)
    assert "jobs, cores, memory, walltime" in caught.value.next_step


def test_no_file(options_file):
    """A file that is not there is wrong use."""
    with pytest.raises(UsageError, match=r"slurm\.toml cannot be read"):
        read_slurm_options(options_file)


def test_job_script(options_file, slurm):
    """Each option reaches the script that Slurm is given, and connections are encrypted."""
    options_file.write_text(WHOLE)
    with slurm_cluster(read_slurm_options(options_file)) as cluster:
        lines = cluster.job_script().splitlines()
        assert cluster.scheduler_address.startswith("tls://127.0.0.1:")
    for line in (
        "#SBATCH -J grade",
        "#SBATCH -p teaching",
        "#SBATCH -A cs101",
        "#SBATCH --cpus-per-task=4",
        "#SBATCH --mem=8G",
        "#SBATCH -t 01:00:00",
        "#SBATCH --gres=gpu:1",
        "#SBATCH -e logs/grade-%J.err",
        "module load cuda",
    ):
        assert line in lines
    assert lines[-1].startswith("/opt/grader/bin/python -m distributed.cli.dask_worker tls://")
    for argument in ("--nthreads 4", "--nanny", "--interface lo", "--tls-key ", "--no-dashboard"):
        assert argument in lines[-1]


def test_keys_are_private(slurm, tmp_path):
    """The keys that open the scheduler can be read by their owner only, and go with it."""
    options = SlurmOptions(
        jobs=1, cores=1, memory="1GB", walltime="1", shared_directory=str(tmp_path / "keys")
    )
    with slurm_cluster(options):
        (directory,) = (tmp_path / "keys").iterdir()
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700
        assert {file.name for file in directory.iterdir()} == {"key.pem", "certificate.pem"}
    assert not list((tmp_path / "keys").iterdir())


def test_machine_without_slurm(monkeypatch, tmp_path):
    """Where jobs cannot be handed in, that is said at once."""
    monkeypatch.setenv("PATH", str(tmp_path))
    options = SlurmOptions(jobs=1, cores=1, memory="1GB", walltime="1")
    with (
        pytest.raises(UsageError, match="sbatch is not on this machine"),
        slurm_cluster(options),
    ):
        pass


def test_options_of_the_command(options_file):
    """A scheduler or Slurm, not both; and without either the training is here."""
    options_file.write_text(MINIMAL)
    chosen = {"device": "auto", "scheduler": None, "slurm": None}
    for given, device, expected in (
        ({}, "auto", {"device": "auto"}),
        ({"scheduler": "tcp://host:8786"}, "auto", {"device": "cpu", "trains_elsewhere": True}),
        ({"slurm": options_file}, "cuda", {"device": "cuda", "trains_elsewhere": True}),
    ):
        options = {**chosen, **given, "device": device}
        assert (cluster_pool(options) is not None) == bool(given)
        assert options == expected
    with pytest.raises(UsageError, match="both say where to train"):
        cluster_pool({**chosen, "scheduler": "tcp://host:8786", "slurm": options_file})


def test_recipes_in_the_documentation(options_file):
    """The options that docs/scaling.md shows are all that there are, and its manifests are YAML."""
    recipes = dict(re.findall(r"```(toml|yaml)\n(.*?)```", SCALING.read_text(), re.DOTALL))
    options_file.write_text(recipes["toml"])
    assert read_slurm_options(options_file).jobs == 20
    shown = tomllib.loads(recipes["toml"]).keys()
    assert shown == {field.name for field in fields(SlurmOptions)}
    manifests = yaml.safe_load_all(recipes["yaml"])
    assert [manifest["kind"] for manifest in manifests] == ["Deployment", "Service", "Deployment"]


@pytest.mark.slow
def test_training_in_slurm_jobs(options_file, slurm, tmp_path):
    """Jobs start, train what would be trained here, over TLS, and end with the cluster."""
    options_file.write_text(MINIMAL.replace("cores = 4", "cores = 1") + 'interface = "lo"\n')
    dataset = load_dataset("mnist-5k", cache_directory=tmp_path / "cache")
    job = training_job(mlp(8), epochs=1)
    start_pool = cluster_pool({"device": "auto", "scheduler": None, "slurm": options_file})
    with start_pool(dataset) as trainer:
        run = trainer.submit(job).result()
    assert without_time(run) == without_time(train(job, dataset))
