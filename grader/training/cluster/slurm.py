"""Dask workers as Slurm jobs, with what the site wants to know in a file."""

from __future__ import annotations

import shutil
import tomllib
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import msgspec

from grader.errors import UsageError
from grader.training.data_places import default_cache_directory

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dask_jobqueue.slurm import SLURMCluster
    from distributed import Security

_Positive = Annotated[int, msgspec.Meta(ge=1)]


@dataclass(frozen=True, kw_only=True)
class SlurmOptions:
    """What a Slurm job asks for, and what is done in it before the worker starts.

    Attributes:
        jobs: how many there are, each with one Dask worker; those that end are replaced.
        cores: of each, every one with a training process.
        memory: of each, such as "16GB".
        walltime: "HH:MM:SS", after which Slurm ends a job and another takes its place.
        partition: as for sbatch, or empty.
        account: as for sbatch, or empty.
        interface: the network that nodes and this machine share, such as "ib0"; or empty.
        directives: further options of sbatch, such as "--gres=gpu:1".
        prologue: shell commands before the worker, such as "module load cuda".
        python: that has the grader on the nodes; by default the one that runs here.
        shared_directory: that this machine and the nodes see and nobody else may read: the keys of
            the connections lie there while the cluster is up. By default the grader's cache.
        log_directory: where Slurm writes what workers print, or empty for where the grader is run.
    """

    jobs: _Positive
    cores: _Positive
    memory: str
    walltime: str
    partition: str = ""
    account: str = ""
    interface: str = ""
    directives: tuple[str, ...] = ()
    prologue: tuple[str, ...] = ()
    python: str = ""
    shared_directory: str = ""
    log_directory: str = ""


def read_slurm_options(path: Path) -> SlurmOptions:
    """Read the options from a TOML file.

    Raises:
        UsageError: the file cannot be read, or an option is unknown, missing or unusable.
    """
    known = [field.name for field in fields(SlurmOptions)]
    next_step = f"The options are {', '.join(known)}; docs/scaling.md explains them."
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(
            f"the Slurm options {path} cannot be read: {error}", next_step=next_step
        ) from error
    unknown = [name for name in values if name not in known]
    if unknown:
        raise UsageError(f"{path}: there is no option {', '.join(unknown)}", next_step=next_step)
    try:
        return msgspec.convert(values, SlurmOptions)
    except msgspec.ValidationError as error:
        raise UsageError(f"{path}: {error}", next_step=next_step) from error


@contextmanager
def slurm_cluster(options: SlurmOptions) -> Iterator[SLURMCluster]:
    """A Dask scheduler here, and workers in Slurm jobs, until the end of the block.

    Every connection is encrypted, and open only to who has the key made for this cluster: whoever
    can talk to a scheduler can run any program as its user.

    Raises:
        UsageError: Dask or Slurm is not installed here, or Dask does not accept an option.
    """
    if shutil.which("sbatch") is None:
        raise UsageError(
            "Slurm's command sbatch is not on this machine",
            next_step="Run the grader where jobs are handed in, such as a login node, or start "
            "workers yourself and use --scheduler.",
        )
    shared_directory = Path(options.shared_directory or default_cache_directory()).expanduser()
    shared_directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Only its owner can enter the directory, which goes with the cluster.
    with (
        TemporaryDirectory(dir=shared_directory, prefix="dask-keys-") as key_directory,
        _make_cluster(options, Path(key_directory)) as cluster,
    ):
        cluster.adapt(minimum_jobs=options.jobs, maximum_jobs=options.jobs)
        yield cluster


def _make_cluster(options: SlurmOptions, key_directory: Path) -> SLURMCluster:
    try:
        from dask_jobqueue.slurm import SLURMCluster  # noqa: PLC0415  # an extra

        security = make_keys(key_directory)
    except ImportError as error:
        raise UsageError(
            f"training on a cluster needs Dask: {error}",
            next_step="Install it: pip install 'sequential-grader[cluster]'",
        ) from error
    try:
        return SLURMCluster(
            cores=options.cores,
            processes=1,
            memory=options.memory,
            walltime=options.walltime,
            queue=options.partition or None,
            account=options.account or None,
            interface=options.interface or None,
            python=options.python or None,
            log_directory=options.log_directory or None,
            job_name="grade",
            job_extra_directives=list(options.directives),
            job_script_prologue=list(options.prologue),
            worker_extra_args=["--no-dashboard"],
            security=security,
            scheduler_options={"dashboard": False, "dashboard_address": ":0"},
        )
    except (ValueError, OSError) as error:
        raise UsageError(
            f"a Dask cluster with these Slurm options cannot be made: {error}",
            next_step="Correct the option; docs/scaling.md explains them.",
        ) from error


def make_keys(directory: Path) -> Security:
    """A key and a certificate of this cluster alone, in files that the nodes can read."""
    from distributed import Security  # noqa: PLC0415  # an extra

    made = Security.temporary()
    key, certificate = directory / "key.pem", directory / "certificate.pem"
    key.write_text(made.tls_client_key, encoding="ascii")
    certificate.write_text(made.tls_client_cert, encoding="ascii")
    pairs = {f"tls_{role}_key": str(key) for role in ("client", "scheduler", "worker")}
    pairs |= {f"tls_{role}_cert": str(certificate) for role in ("client", "scheduler", "worker")}
    return Security(require_encryption=True, tls_ca_file=str(certificate), **pairs)
