"""The options that say where models are trained: here, or on a cluster."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from grader.cli.options import Command
from grader.errors import UsageError
from grader.training.cluster.slurm import SlurmOptions, read_slurm_options, slurm_cluster

if TYPE_CHECKING:
    from grader.training.cached_trainer import StartPool
    from grader.training.cluster.trainer import DaskTrainer
    from grader.training.datasets import Dataset

_OPTIONS = (
    click.option(
        "--scheduler",
        metavar="ADDRESS",
        help="Train on the workers of the Dask scheduler at tcp://HOST:PORT or tls://HOST:PORT.",
    ),
    click.option(
        "--slurm",
        metavar="FILE",
        type=click.Path(path_type=Path, dir_okay=False),
        help="Train in Slurm jobs, with the options in this TOML file (docs/scaling.md).",
    ),
)


def cluster_options(command: Command) -> Command:
    """Add the cluster's options; `cluster_pool` takes them out again."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def cluster_pool(options: dict[str, Any]) -> StartPool | None:
    """Take the cluster's options out of all options.

    Args:
        options: with "device" among them. If it is a cluster that trains, they say so afterwards,
            and the device is the workers': "auto" becomes the CPU.

    Returns:
        What starts the pool on the cluster, or None to train here.

    Raises:
        UsageError: both are given, or the file cannot be used.
    """
    address: str | None = options.pop("scheduler")
    file: Path | None = options.pop("slurm")
    if address and file:
        raise UsageError(
            "--scheduler and --slurm both say where to train", next_step="Give one of them."
        )
    device = "cpu" if options["device"] == "auto" else str(options["device"])
    start_pool: StartPool
    if file:
        slurm = read_slurm_options(file)
        start_pool = partial(_train_in_slurm_jobs, options=slurm, device=device)
    elif address:
        start_pool = partial(_train_at, address=address, device=device)
    else:
        return None
    options.update(device=device, trains_elsewhere=True)
    return start_pool


def _train_at(dataset: Dataset, *, address: str, device: str) -> DaskTrainer:
    from grader.training.cluster.trainer import DaskTrainer  # noqa: PLC0415  # torch loads with it

    return DaskTrainer(dataset, cluster=address, device=device)


@contextmanager
def _train_in_slurm_jobs(
    dataset: Dataset, *, options: SlurmOptions, device: str
) -> Iterator[DaskTrainer]:
    from grader.training.cluster.trainer import DaskTrainer  # noqa: PLC0415  # torch loads with it

    with (
        slurm_cluster(options) as cluster,
        # Jobs may wait in Slurm's queue for hours.
        DaskTrainer(dataset, cluster=cluster, device=device, patience_seconds=None) as trainer,
    ):
        yield trainer
