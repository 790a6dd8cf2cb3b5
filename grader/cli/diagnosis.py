"""What of the grader works on this machine, found by trying it: what `grade doctor` shows.

A check returns a `Finding`. Whatever lets no grade come about is a problem, MNIST that is neither
here nor to be downloaded included: the practice set gives none. Anything that makes grading worse
but not impossible is a warning.
"""

from __future__ import annotations

import importlib
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from urllib.error import URLError
from urllib.request import Request, urlopen

import psutil
from packaging.requirements import Requirement

import grader
from grader.errors import DatasetError, SandboxError
from grader.grading.items.versions import check_versions
from grader.results import Outcome
from grader.sandbox.isolation.choice import choose_sandbox, try_sandboxes
from grader.sandbox.isolation.seccomp import compile_filter
from grader.training.cache_directory import default_cache_directory
from grader.training.memory import memory_cap_bytes
from grader.training.pool import CORES_VARIABLE, count_cores

LEAST_MEMORY_BYTES = 2_000_000_000
"""A grading on MNIST with one training process took up to 0.74 GB (docs/gradescope.md), and a
student's question may take 1 GB above that by default.
"""

LEAST_FREE_BYTES = 500_000_000
"""MNIST takes 55 MB unpacked, a report about 0.2 MB, a submission's scratch files at most 64 MB."""

_WRITTEN_BYTES = 1_000_000
_ANSWER_SECONDS = 5.0
_REINSTALL = (
    "Install them anew, together: pip install --upgrade --force-reinstall torch torchvision"
)


class Status(StrEnum):
    """What a check found."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What one check found.

    Attributes:
        name: what was looked at, in a word or two.
        status: a problem lets no grade come about, a warning does.
        observed: what was found, on one or more lines.
        remedy: what to do about it, or, where all is well, what more could be had.
    """

    name: str
    status: Status
    observed: str
    remedy: str = ""


_ok = partial(Finding, status=Status.OK)
_warning = partial(Finding, status=Status.WARNING)
_problem = partial(Finding, status=Status.PROBLEM)


def examine(
    *, data_directory: Path | None, output: Path, on_stage: Callable[[str], None]
) -> Iterator[Finding]:
    """Look at everything that grading needs.

    Args:
        data_directory: where MNIST lies, or None to look for it as grading does.
        output: where reports would go.
        on_stage: told what takes a moment, before it begins.
    """
    yield check_python()
    yield check_packages()
    on_stage("loading torch")
    loaded = check_torch()
    yield loaded
    if loaded.status is not Status.PROBLEM:
        yield check_device()
        on_stage("reading the data")
        yield check_mnist(data_directory)
        yield check_practice_set()
    on_stage("trying the sandboxes")
    yield check_isolation()
    yield check_cores()
    yield check_memory()
    yield from check_disks(output)
    yield check_cluster()
    yield _ok(
        name="browser",
        observed="not needed: a report is one HTML file, to be looked at anywhere",
    )


def check_python() -> Finding:
    """Which Python and which grader run here."""
    return _ok(
        name="Python",
        observed=f"{platform.python_version()} with sequential-grader {grader.__version__}: "
        f"{sys.executable}",
    )


def check_packages() -> Finding:
    """Whether every package that the grader needs is installed in a version that fits."""
    unmet = find_unmet_requirements()
    if not unmet:
        return _ok(name="packages", observed="all are there, and fit")
    return _problem(
        name="packages",
        observed="\n".join(unmet),
        remedy="Install the grader anew: pip install --upgrade sequential-grader",
    )


def find_unmet_requirements(extra: str = "") -> list[str]:
    """Which of the grader's requirements are not met, a phrase each.

    Args:
        extra: an extra whose requirements count too.
    """
    unmet = []
    for requirement in map(Requirement, requires("sequential-grader") or ()):
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": extra}):
            continue
        try:
            installed = version(requirement.name)
        except PackageNotFoundError:
            unmet.append(f"{requirement.name} is not installed")
            continue
        if not requirement.specifier.contains(installed, prereleases=True):
            needed = f"{requirement.name}{requirement.specifier}"
            unmet.append(f"{requirement.name} {installed} is installed, but {needed} is needed")
    return unmet


def check_torch() -> Finding:
    """Whether torch and torchvision load, and go together.

    Students' files may import torchvision, so that their parts would fail without it.
    """
    versions = {}
    for name in ("torch", "torchvision"):
        try:
            versions[name] = str(importlib.import_module(name).__version__)
        except Exception as error:  # noqa: BLE001 - a broken installation can raise anything
            reason = str(error).strip() or type(error).__name__
            observed = (
                f"{name} does not load, so that device and data cannot be looked at: {reason}"
            )
            return _problem(name="torch", observed=observed, remedy=_REINSTALL)
    return judge_pair(versions["torch"], versions["torchvision"])


def judge_pair(torch_version: str, torchvision_version: str) -> Finding:
    """Whether two versions go together, by the rule that students' versions are checked by."""
    checks, _ = check_versions((torch_version, torchvision_version), grader_torch=torch_version)
    observed = f"{torch_version} with torchvision {torchvision_version}"
    if all(check.outcome is Outcome.PASSED for check in checks):
        return _ok(name="torch", observed=observed)
    return _problem(
        name="torch",
        observed=f"{observed}, which do not go together: {checks[-1].expected} would",
        remedy=_REINSTALL,
    )


def check_device() -> Finding:
    """Whether there is a GPU that torch can use, which is tried."""
    import torch  # noqa: PLC0415 - loading it may fail, which is a finding

    from grader.models.build import torch_warnings_ignored  # noqa: PLC0415 - with torch

    with torch_warnings_ignored():
        if not torch.cuda.is_available():
            return _ok(name="device", observed="the CPU; torch can use no GPU here")
        name = torch.cuda.get_device_name()
        try:
            torch.ones(8, device="cuda").sum().item()
        except RuntimeError as error:
            return _problem(
                name="device",
                observed=f"the GPU {name} does not work: {str(error).strip()}",
                remedy="Grade with --device cpu, or install a torch that fits this GPU.",
            )
    return _ok(name="device", observed=f"the GPU {name}, and the CPU")


def check_mnist(data_directory: Path | None) -> Finding:
    """Whether MNIST is where grading looks for it and is MNIST, or can be downloaded."""
    from grader.training.datasets import find_mnist, load_dataset  # noqa: PLC0415 - with torch

    try:
        found = find_mnist(data_directory)
        if found is None:
            from torchvision.datasets import MNIST  # noqa: PLC0415 - only if needed

            return check_download(MNIST.mirrors)
        load_dataset("mnist", data_directory=data_directory, download=False)
    except DatasetError as error:
        return _problem(name="MNIST", observed=str(error), remedy=error.next_step)
    return _ok(name="MNIST", observed=f"{found}, with the right checksums")


def check_download(mirrors: Sequence[str]) -> Finding:
    """Whether MNIST, which is not here, can be downloaded when it is needed.

    Args:
        mirrors: the URLs that its files may be below.
    """
    for mirror in mirrors:
        address = f"{mirror}train-labels-idx1-ubyte.gz"
        try:
            with urlopen(Request(address, method="HEAD"), timeout=_ANSWER_SECONDS):  # noqa: S310 - torchvision's addresses
                return _warning(
                    name="MNIST",
                    observed=f"not on this machine yet, but {mirror} has it",
                    remedy="The first grading downloads it. Without a network then, give the "
                    "directory that holds MNIST/raw with --data DIR.",
                )
        except (URLError, OSError):
            continue
    return _problem(
        name="MNIST",
        observed="not on this machine, and no server that has it can be reached",
        remedy="Copy MNIST/raw here and name the directory that holds it with --data DIR or "
        "GRADER_DATA. Without it only --practice works, which gives no grade.",
    )


def check_practice_set() -> Finding:
    """Whether the 5,000 digits that come along are there and unharmed."""
    from grader.training.datasets import load_dataset  # noqa: PLC0415 - with torch

    try:
        load_dataset("mnist-5k")
    except DatasetError as error:
        return _warning(name="practice set", observed=str(error), remedy=error.next_step)
    return _ok(name="practice set", observed="5,000 digits, with the right checksum")


def check_isolation() -> Finding:
    """Which kinds of isolation pass their self-test, and what the one that is used consists of."""
    try:
        sandbox = choose_sandbox()
    except SandboxError as error:
        return _problem(name="isolation", observed=str(error), remedy=error.next_step)
    faults = {label: fault for label, _, fault in try_sandboxes()}
    used, *others = [label for label, fault in faults.items() if fault is None]
    also = f"; {', '.join(others)} would do too" if others else ""
    first_line = f"{sandbox.name} ({used}) passes its self-test{also}"
    rejected = [f"{label} does not: {fault}" for label, fault in faults.items() if fault]
    observed = "\n  - ".join((first_line, *sandbox.details, *rejected))
    if compile_filter() is None:
        remedy = "Install libseccomp, for example: sudo apt install libseccomp2"
        return _warning(name="isolation", observed=observed, remedy=remedy)
    return _ok(name="isolation", observed=observed)


def check_cores() -> Finding:
    """How many models can be trained at once."""
    return _ok(
        name="cores",
        observed=f"{count_cores()} of the machine's {os.cpu_count()} train models; "
        f"{CORES_VARIABLE}=N changes that",
    )


def check_memory() -> Finding:
    """Whether there is memory enough for the grader and a student's question."""
    memory = psutil.virtual_memory()
    return judge_memory(
        free_bytes=memory.available, total_bytes=memory.total, cap_bytes=memory_cap_bytes()
    )


def judge_memory(*, free_bytes: int, total_bytes: int, cap_bytes: int | None) -> Finding:
    """Whether so much memory is enough.

    Args:
        free_bytes: of the machine's memory.
        total_bytes: that the machine has.
        cap_bytes: how much of it a control group allows, if it says.
    """
    observed = f"{_gigabytes(free_bytes)} of {_gigabytes(total_bytes)} are free"
    if cap_bytes is not None and cap_bytes < total_bytes:
        observed += f", and a control group allows {_gigabytes(cap_bytes)}"
    if min(free_bytes, free_bytes if cap_bytes is None else cap_bytes) >= LEAST_MEMORY_BYTES:
        return _ok(name="memory", observed=observed)
    return _warning(
        name="memory",
        observed=observed,
        remedy=f"It may run out: have {_gigabytes(LEAST_MEMORY_BYTES)} free.",
    )


def check_disks(output: Path) -> Iterator[Finding]:
    """Whether there is room wherever the grader writes."""
    yield check_room("reports", output, remedy="Name another directory with --output DIR.")
    yield check_room(
        "temporary files", Path(tempfile.gettempdir()), remedy="Name another directory with TMPDIR."
    )
    yield check_room(
        "cache",
        default_cache_directory(),
        remedy="Name another directory with XDG_CACHE_HOME, so that nothing is trained twice.",
        needed=False,
    )


def check_room(name: str, directory: Path, *, remedy: str, needed: bool = True) -> Finding:
    """Whether a directory can be written to, and has room; it need not exist yet.

    Args:
        name: what is written there.
        directory: where.
        remedy: what to do if it cannot be written to, or has little room.
        needed: whether there is no grade without it.
    """
    absolute = directory.absolute()
    try:
        existing = next(path for path in (absolute, *absolute.parents) if path.exists())
        with tempfile.TemporaryFile(dir=existing) as file:
            file.write(bytes(_WRITTEN_BYTES))
            file.flush()
        free_bytes = shutil.disk_usage(existing).free
    except OSError as error:
        found = _problem if needed else _warning
        observed = f"{directory} cannot be written to: {error.strerror}"
        return found(name=name, observed=observed, remedy=remedy)
    observed = f"{directory} has {_gigabytes(free_bytes)} free"
    if free_bytes >= LEAST_FREE_BYTES:
        return _ok(name=name, observed=observed)
    return _warning(name=name, observed=observed, remedy=f"Make room. {remedy}")


def check_cluster() -> Finding:
    """Whether training on a cluster, which is optional, would work."""
    unmet = find_unmet_requirements("cluster")
    if not unmet:
        return _ok(name="cluster", observed="Dask is there, for --scheduler and --slurm")
    return _ok(
        name="cluster",
        observed=f"optional, and not set up: {', '.join(unmet)}",
        remedy="To train on a cluster: pip install 'sequential-grader[cluster]'",
    )


def _gigabytes(count: int) -> str:
    return f"{count / 1e9:.1f} GB"
