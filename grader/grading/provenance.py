"""Provenance of a result: everything that it takes to reproduce the result."""

from __future__ import annotations

import platform
from contextlib import suppress
from functools import cache
from importlib.metadata import version
from pathlib import Path

import grader
from grader.grading.options import Setting
from grader.models.digest import digest_of
from grader.results import Provenance


def describe_provenance(setting: Setting, submission_sha256: str) -> Provenance:
    """Return the provenance of one submission's result."""
    assignment, sandbox = setting.assignment, setting.sandbox
    datasets = list(setting.datasets.by_name.values())
    checksums = [dataset.sha256 for dataset in datasets]
    return Provenance(
        grader_version=grader.__version__,
        assignment_id=assignment.id,
        assignment_title=assignment.title,
        assignment_sha256=assignment.digest(),
        submission_sha256=submission_sha256,
        dataset=", ".join(dataset.name for dataset in datasets) or "none",
        dataset_sha256=digest_of(checksums) if len(checksums) > 1 else "".join(checksums),
        train_examples=sum(dataset.facts.train_examples for dataset in datasets),
        test_examples=sum(dataset.facts.test_examples for dataset in datasets),
        practice=setting.practice,
        seeds=setting.seeds,
        official_seeds=not setting.options.seeds,
        python_version=platform.python_version(),
        torch_version=version("torch"),
        torchvision_version=version("torchvision"),
        numpy_version=version("numpy"),
        platform=platform.platform(),
        processor=_name_processor(),
        device=setting.device,
        threads_per_run=1,
        isolation=sandbox.isolation,
        isolation_details=sandbox.details,
        unsafe=sandbox.unsafe,
    )


@cache
def _name_processor() -> str:
    """Return the processor's name, from Linux if possible and else from Python."""
    with suppress(OSError):  # no such file elsewhere
        cpuinfo = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
        for line in cpuinfo.splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
