"""Hostile students in a class: they lose their own points, and hold up nobody."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import psutil
import pytest

from grader.cohort.store import Store
from grader.cohort.summary import Status, StudentSummary
from grader.results import Outcome
from tests.submissions.asking import find_sandbox
from tests.support.paths import REFERENCE

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

GRADE = Path(sys.executable).with_name("grade")
HONEST = ("ada", "bob", "cleo", "dan")
LARGEST_BYTES = 1_500_000_000
BUDGET_SECONDS = 60.0
"""For each hostile student: one question takes at most 20 s, two of them are asked, and a step that
does not end is ended after 10 s and three shares of the budget."""

CONTAINER_BYTES = 4_000_000_000
CONTROL_GROUPS = Path("/sys/fs/cgroup/memory")
"""Version 1 of control groups, where root may make one with a limit."""

HEADER = "import time\nimport torch\nfrom torch import nn\n"
HOSTILE = {
    # Pooling over windows of 511 x 511 does not end.
    "mallory": """
        def model_g():
            return nn.Sequential(
                nn.Conv2d(1, 1, 3, padding=400), nn.BatchNorm2d(1), nn.MaxPool2d(511, 1, 255),
                nn.Conv2d(1, 1, 3, stride=30), nn.Dropout(0.1), nn.Flatten(), nn.Linear(784, 10),
            )
        """,
    # Activations of some gigabytes.
    "nina": """
        def model_g():
            return nn.Sequential(
                nn.Conv2d(1, 2500, 1), nn.BatchNorm2d(2500), nn.Dropout(0.1),
                nn.MaxPool2d(28), nn.Flatten(), nn.Linear(2500, 10),
            )
        """,
    # Every question takes as long as it may.
    "oscar": """
        time.sleep(1000)
        """,
    # Within the cap on multiply-adds of the small practice set, but for hours.
    "peggy": """
        def model_g():
            return nn.Sequential(
                nn.Conv2d(1, 128, 3, padding=1), nn.BatchNorm2d(128), nn.ReLU(),
                *(nn.Conv2d(128, 128, 3, padding=1) for _ in range(6)),
                nn.Dropout(0.1), nn.MaxPool2d(28), nn.Flatten(), nn.Linear(128, 10),
            )
        """,
}
TOLD = {
    "mallory": "is in layer 2, MaxPool2d(",
    "nina": "takes more than 0.9 GB of memory; the largest layer is 1, BatchNorm2d(",
    "oscar": "no answer within 20 s",
    "peggy": "is in layer 3, Conv2d(",
}
"""Texts of the failed checks."""
CHANGE = re.compile(r"(?m)^def model_g\(\):\n(?:(?:    .*)?\n)+")


@pytest.fixture(scope="module", name="school")
def make_school(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The honest class, and the same with the hostile ones first by name."""
    find_sandbox()
    directory = tmp_path_factory.mktemp("school")
    for number, name in enumerate(HONEST):
        for school in ("honest", "mixed"):
            shutil.copytree(REFERENCE, directory / school / f"z-{name}")
            problem = directory / school / f"z-{name}" / "problem_3.py"
            # Each one's networks are its own, so that no run serves two.
            problem.write_text(problem.read_text().replace("lr=2e-3", f"lr={2000 + number}e-6"))
    for name, source in HOSTILE.items():
        copy = directory / "mixed" / name
        shutil.copytree(REFERENCE, copy)
        problem = copy / "problem_3.py"
        if "def model_g" in source:
            text, changes = CHANGE.subn(
                lambda _: dedent(source).lstrip() + "\n\n", problem.read_text()
            )
            assert changes == 1
            problem.write_text(text.replace("import torch\n", HEADER, 1))
        else:
            for file in copy.glob("problem_*.py"):
                file.write_text(HEADER + dedent(source))
    return directory


class Graded:
    """`grade batch` over a class, with the seconds it took and its largest processes."""

    def __init__(self, directory: Path, output: Path, *start: str) -> None:
        self.output = output
        self.largest: dict[str, int] = {}
        command = [*start, GRADE, "batch", directory, "--practice", "--output", output]
        command += ["--only", "3G.model"]
        environment = {**os.environ, "XDG_CACHE_HOME": str(output / "cache"), "GRADER_CORES": "2"}
        output.mkdir(exist_ok=True)
        started = time.monotonic()
        with (output / "log.txt").open("ab") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
            while process.poll() is None:
                self._look(process.pid)
                time.sleep(0.1)
        self.seconds = time.monotonic() - started
        self.log = (output / "log.txt").read_text()

    def _look(self, grader: int) -> None:
        """Keep the peaks of the grader and of its training processes; no sandbox is looked at."""
        watched = [psutil.Process(grader)]
        for child in watched[0].children():
            try:
                if "grader.training.pool_process" in child.cmdline():
                    watched.append(child)
            except psutil.Error:
                continue
        for process in watched:
            kind = "grader" if process is watched[0] else "training"
            self.largest[kind] = max(self.largest.get(kind, 0), _peak_bytes(process.pid))

    def summaries(self) -> dict[str, StudentSummary]:
        """The students by id."""
        with Store.open_existing(self.output) as store:
            return {summary.student.id: summary for summary in store.summaries()}


def _peak_bytes(process_id: int) -> int:
    try:
        status = Path(f"/proc/{process_id}/status").read_text()
    except OSError:
        return 0
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    return int(found[1]) * 1024 if found else 0


def check_hostile(graded: Graded) -> None:
    """Each hostile model failed, and why."""
    summaries = graded.summaries()
    for name, words in TOLD.items():
        (item,) = (item for item in summaries[name].items if item.id == "3G.model")
        assert item.outcome is Outcome.FAILED, (name, item)
        assert any(words in check.observed for check in item.checks), (name, item.checks)


def test_class(school: Path) -> None:
    """It ends within 1.3 times the honest ones' time plus the budgets, and is not repeated."""
    honest = Graded(school / "honest", school / "out-honest")
    mixed = Graded(school / "mixed", school / "out-mixed")
    print(
        f"honest {honest.seconds:.1f} s {honest.largest}, mixed {mixed.seconds:.1f} s {mixed.largest}"
    )

    before = honest.summaries()
    for name, summary in mixed.summaries().items():
        if name in before:
            assert (summary.status, summary.score) == (Status.GRADED, before[name].score), mixed.log
    check_hostile(mixed)
    assert mixed.seconds < 1.3 * honest.seconds + len(HOSTILE) * BUDGET_SECONDS / 2
    assert max(mixed.largest.values()) < LARGEST_BYTES, mixed.largest

    again = Graded(school / "mixed", school / "out-mixed")
    assert "0 to grade" in again.log
    assert again.seconds < honest.seconds


@pytest.fixture(name="container")
def make_container() -> Iterator[Path]:
    """A control group with the memory of a small container."""
    try:
        group = Path(tempfile.mkdtemp(prefix="grader-test-", dir=CONTROL_GROUPS))
    except OSError:
        pytest.skip("cannot make a control group (version 1) with a limit on memory")
    (group / "memory.limit_in_bytes").write_text(str(CONTAINER_BYTES))
    yield group
    group.rmdir()


def test_in_a_small_container(school: Path, container: Path, tmp_path: Path) -> None:
    """With 4 GB for all of it, the class ends with the same verdicts."""
    enter = ("sh", "-c", 'echo $$ >"$0/cgroup.procs" && exec "$@"', str(container))
    mixed = Graded(school / "mixed", tmp_path / "out", *enter)
    peak = int((container / "memory.max_usage_in_bytes").read_text())
    print(f"peak of all processes and cached files {peak / 1e9:.2f} GB, {mixed.seconds:.1f} s")
    assert all(mixed.summaries()[f"z-{name}"].status is Status.GRADED for name in HONEST), mixed.log
    check_hostile(mixed)
