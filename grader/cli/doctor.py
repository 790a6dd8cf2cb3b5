"""`grade doctor`: check this machine. Each check tries what grading does."""

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
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from urllib.request import Request, urlopen

import click
import psutil
from packaging.requirements import Requirement
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

import grader
from grader.assignment.loading import load_assignment
from grader.cli.exit_codes import EXIT_NO_GRADE, EXIT_PASSED
from grader.cli.options import (
    assignment_option,
    data_option,
    json_option,
    output_option,
    print_json,
)
from grader.errors import DatasetError, SandboxError
from grader.grading.items.versions import check_versions
from grader.kernel import memory_cap_bytes
from grader.results import Outcome
from grader.sandbox.isolation.choice import (
    choose_sandbox,
    is_for_own_work_only,
    try_sandboxes,
)
from grader.sandbox.isolation.own_work import OPTION
from grader.training.data_places import Places, default_cache_directory
from grader.training.data_sources.interface import DataSource
from grader.training.pool import CORES_VARIABLE, count_cores

LEAST_MEMORY_BYTES = 2_000_000_000
"""MNIST with one training process took up to 0.74 GB (docs/gradescope.md), and a student's question
may take 1 GB more by default. A data set is in memory twice: as it is read, and as a file that the
training processes share.
"""
LEAST_FREE_BYTES = 500_000_000
"""A report takes 0.2 MB, a submission's scratch files at most 64 MB; data sets come on top."""
_WRITTEN_BYTES = 1_000_000
_ANSWER_SECONDS = 5.0
_REINSTALL = "Reinstall both together: pip install --upgrade --force-reinstall torch torchvision"

EXAMPLES = """
\b
Examples:
  grade doctor                        before the first grading
  grade doctor --data ~/mnist         with the data from a directory
  grade doctor --assignment mine.py   for your own assignment
  grade doctor --json                 for another program

\b
Exit codes:
  0  this machine can grade, perhaps with warnings
  3  this machine cannot grade, for example because the
     data is missing and cannot be downloaded
"""


class Severity(StrEnum):
    """The consequence of a finding: a problem makes grades impossible, a warning does not."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True)
class Finding:
    """The result of one check of the subject `name`; the remedy is empty if none is needed."""

    name: str
    status: Severity
    observed: str
    remedy: str = ""


_OK, _WARNING, _PROBLEM = Severity
_STYLES = {_OK: "green", _WARNING: "yellow", _PROBLEM: "bold red"}


@click.command(epilog=EXAMPLES)
@assignment_option
@data_option
@output_option
@json_option
def doctor(assignment: str, data_directory: Path | None, output: Path, *, as_json: bool) -> None:
    """Check this machine, and say how to fix what does not work.

    The doctor tries everything: it loads torch, computes the checksums of the assignment's data,
    and lets a probe attack every kind of sandbox. It downloads and installs nothing.
    """
    sources = load_assignment(assignment).all_sources()
    with Console(stderr=True).status("looking around …") as status:
        findings = list(examine(sources, data_directory, output, on_stage=status.update))
    problems = sum(finding.status is _PROBLEM for finding in findings)
    if as_json:
        print_json({"can_grade": not problems, "findings": findings})
    else:
        _print(findings, problems)
    sys.exit(EXIT_NO_GRADE if problems else EXIT_PASSED)


def _print(findings: list[Finding], problems: int) -> None:
    table = Table.grid("", "", Column(overflow="fold"), padding=(0, 2, 0, 0))
    for finding in findings:
        observed = Text(finding.observed)
        if finding.remedy:
            observed.append(f"\n→ {finding.remedy}", style="bold")
        table.add_row(Text(finding.status, style=_STYLES[finding.status]), finding.name, observed)
    console = Console()
    console.print(table)
    if problems:
        counted = "the problem" if problems == 1 else f"the {problems} problems"
        console.print(f"this machine cannot grade: fix {counted} above", style="bold red")
    elif is_for_own_work_only():
        console.print(f"this machine can grade your own work, with {OPTION}", style="bold yellow")
    else:
        console.print("this machine can grade", style="bold green")


def examine(
    sources: Sequence[DataSource],
    data_directory: Path | None,
    output: Path,
    *,
    on_stage: Callable[[str], None],
) -> Iterator[Finding]:
    """Run all checks; call `on_stage` with a text before a slow one."""
    known = [source.facts() for source in sources]
    data_bytes = sum(round(facts.megabytes * 1e6) for facts in known if facts is not None)
    yield Finding(
        "Python",
        _OK,
        f"{platform.python_version()} with sequential-grader {grader.__version__}: "
        f"{sys.executable}",
    )
    yield check_packages()
    on_stage("loading torch …")
    loaded = check_torch()
    yield loaded
    if loaded.status is not _PROBLEM:
        yield check_device()
        on_stage("reading the data …")
        if not sources:
            yield Finding("data", _OK, "the assignment trains nothing, so it needs no data")
        for source in sources:
            yield check_data(source, data_directory)
    on_stage("trying the sandboxes …")
    yield check_isolation()
    yield Finding(
        "cores",
        _OK,
        f"{count_cores()} of {os.cpu_count()} train models; set {CORES_VARIABLE}=N to change that",
    )
    memory = psutil.virtual_memory()
    yield judge_memory(
        free_bytes=memory.available,
        total_bytes=memory.total,
        cap_bytes=memory_cap_bytes(),
        data_bytes=data_bytes,
    )
    yield check_room("reports", output, remedy="Choose another directory with --output DIR.")
    temporary = Path(tempfile.gettempdir())
    yield check_room("temporary files", temporary, remedy="Choose another directory with TMPDIR.")
    yield check_room(
        "cache",
        default_cache_directory(),
        remedy="Choose another directory with XDG_CACHE_HOME, to keep training runs.",
        needed=False,
        data_bytes=data_bytes,
    )


def check_packages() -> Finding:
    """Check that all required packages are installed in suitable versions."""
    unmet = find_unmet_requirements()
    if not unmet:
        return Finding("packages", _OK, "all installed, in suitable versions")
    return Finding(
        "packages",
        _PROBLEM,
        "\n".join(unmet),
        "Reinstall the grader: pip install --upgrade sequential-grader",
    )


def find_unmet_requirements() -> list[str]:
    """Return a phrase for each unmet requirement of the grader."""
    unmet = []
    for requirement in map(Requirement, requires("sequential-grader") or ()):
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
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
    """Check that torch and torchvision load, and fit together. Students' files may import both."""
    versions = {}
    for name in ("torch", "torchvision"):
        try:
            versions[name] = str(importlib.import_module(name).__version__)
        except Exception as error:  # noqa: BLE001 - a broken installation can raise anything
            reason = str(error).strip() or type(error).__name__
            observed = f"{name} does not load, so device and data were not checked: {reason}"
            return Finding("torch", _PROBLEM, observed, _REINSTALL)
    return judge_pair(versions["torch"], versions["torchvision"])


def judge_pair(torch_version: str, torchvision_version: str) -> Finding:
    """Check that two versions fit together, by the rule for students' answers."""
    checks, _ = check_versions((torch_version, torchvision_version), grader_torch=torch_version)
    observed = f"{torch_version} with torchvision {torchvision_version}"
    if all(check.outcome is Outcome.PASSED for check in checks):
        return Finding("torch", _OK, observed)
    return Finding(
        "torch",
        _PROBLEM,
        f"{observed}, which do not fit together; expected: {checks[-1].expected}",
        _REINSTALL,
    )


def check_device() -> Finding:
    """Calculate on the GPU, if there is one."""
    import torch  # noqa: PLC0415 - loading it may fail, which is a finding

    from grader.models.build import torch_warnings_ignored  # noqa: PLC0415 - loads torch

    with torch_warnings_ignored():
        if not torch.cuda.is_available():
            return Finding("device", _OK, "the CPU; torch finds no usable GPU")
        name = torch.cuda.get_device_name()
        try:
            torch.ones(8, device="cuda").sum().item()
        except RuntimeError as error:
            return Finding(
                "device",
                _PROBLEM,
                f"the GPU {name} does not work: {str(error).strip()}",
                "Grade with --device cpu, or install a torch that supports this GPU.",
            )
    return Finding("device", _OK, f"the GPU {name}, and the CPU")


def check_data(source: DataSource, data_directory: Path | None) -> Finding:
    """Read a data set and check its checksums, or check that a server offers it for download."""
    from grader.training.datasets import load_dataset  # noqa: PLC0415 - loads torch

    try:
        found = source.find(Places.of(data_directory))
        if found is None:
            return check_download(source)
        loaded = load_dataset(source, data_directory=data_directory, download=False)
    except DatasetError as error:
        return Finding(source.id, _PROBLEM, str(error), error.next_step)
    observed = f"{loaded.facts.describe()}; {found}, with the right checksums"
    return Finding(source.id, _OK, observed)


def check_download(source: DataSource) -> Finding:
    """Check that one of the servers offers the data."""
    for url in source.download_urls():
        request = Request(url, method="HEAD")  # noqa: S310 - torchvision's addresses
        try:
            with urlopen(request, timeout=_ANSWER_SECONDS):  # noqa: S310 - torchvision's addresses
                return Finding(
                    source.id,
                    _WARNING,
                    f"not on this machine yet, but {url} has it",
                    "The first grading downloads it. If there will be no network, name the "
                    "directory that holds it in torchvision's layout with --data DIR.",
                )
        except OSError:
            continue
    return Finding(
        source.id,
        _PROBLEM,
        "not on this machine, and no server that has it can be reached",
        "Copy it here in torchvision's layout, and name its directory with --data DIR or "
        "GRADER_DATA. Without it only --practice works, which gives no grade.",
    )


def check_isolation() -> Finding:
    """Run the self-test of every sandbox, and describe the one that grading uses."""
    if is_for_own_work_only():
        return Finding(
            "isolation",
            _WARNING,
            "there is no sandbox for this system, so only your own work can be graded",
            f"Add {OPTION}: grade . {OPTION}. Others' work needs Linux; on Windows, WSL2.",
        )
    try:
        sandbox = choose_sandbox()
    except SandboxError as error:
        return Finding("isolation", _PROBLEM, str(error), error.next_step)
    faults = {label: fault for label, _, fault in try_sandboxes()}
    used, *others = [label for label, fault in faults.items() if fault is None]
    also = f"; {', '.join(others)} would work too" if others else ""
    first_line = f"{sandbox.name} ({used}) passes its self-test{also}"
    rejected = [f"{label} does not work: {fault}" for label, fault in faults.items() if fault]
    observed = "\n  - ".join((first_line, *sandbox.details, *rejected))
    return Finding("isolation", _OK, observed)


def judge_memory(
    *, free_bytes: int, total_bytes: int, cap_bytes: int | None, data_bytes: int = 0
) -> Finding:
    """Check the machine's memory, or what its control group allows, if `cap_bytes` is not None."""
    least = LEAST_MEMORY_BYTES + 2 * data_bytes
    observed = f"{_gigabytes(free_bytes)} of {_gigabytes(total_bytes)} are free"
    if cap_bytes is not None and cap_bytes < total_bytes:
        observed += f", and a control group allows {_gigabytes(cap_bytes)}"
        free_bytes = min(free_bytes, cap_bytes)
    if free_bytes >= least:
        return Finding("memory", _OK, observed)
    remedy = f"Memory may run out: free {_gigabytes(least)}."
    return Finding("memory", _WARNING, observed, remedy)


def check_room(
    name: str, directory: Path, *, remedy: str, needed: bool = True, data_bytes: int = 0
) -> Finding:
    """Write to a directory, or to its nearest existing parent, and check the free space."""
    absolute = directory.absolute()
    try:
        existing = next(path for path in (absolute, *absolute.parents) if path.exists())
        with tempfile.TemporaryFile(dir=existing) as file:
            file.write(bytes(_WRITTEN_BYTES))
            file.flush()
        free_bytes = shutil.disk_usage(existing).free
    except OSError as error:
        status = _PROBLEM if needed else _WARNING
        observed = f"{directory} cannot be written to: {error.strerror}"
        return Finding(name, status, observed, remedy)
    observed = f"{directory} has {_gigabytes(free_bytes)} free"
    if free_bytes >= LEAST_FREE_BYTES + data_bytes:
        return Finding(name, _OK, observed)
    return Finding(name, _WARNING, observed, f"Free some space. {remedy}")


def _gigabytes(count: int) -> str:
    return f"{count / 1e9:.1f} GB"
