"""`grade doctor`: what works is said, what does not has a remedy, and the exit code agrees."""

import hashlib
import json
import os
import socket
import subprocess
import sys
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
import torch

from grader.cli import doctor
from grader.cli.doctor import (
    Finding,
    Severity,
    check_data,
    check_download,
    check_isolation,
    check_packages,
    check_room,
    find_unmet_requirements,
    judge_memory,
    judge_pair,
)
from grader.errors import SandboxError
from grader.training.data_sources.file import FileDataset
from grader.training.data_sources.vision import TorchvisionDataset
from tests.submissions.asking import find_sandbox
from tests.support.containers import PLAIN_USER, run_in_container
from tests.support.data_samples import plane
from tests.support.paths import REAL_DATA

GRADE = Path(sys.executable).with_name("grade")
GIGABYTE = 1_000_000_000


def grade_doctor(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """The command as a user runs it."""
    return subprocess.run(
        [GRADE, "doctor", *map(str, arguments)],
        capture_output=True,
        text=True,
        env={**os.environ, "COLUMNS": "200", **environment},
        check=False,
        timeout=120,
    )


def by_name(printed: str) -> dict[str, dict[str, str]]:
    """The findings in the JSON."""
    return {finding["name"]: finding for finding in json.loads(printed)["findings"]}


def test_no_data(tmp_path: Path):
    """All is looked at, the data is the one problem, and its remedy is named."""
    ended = grade_doctor("--json", "--output", tmp_path, GRADER_DATA=str(tmp_path / "nowhere"))
    assert ended.returncode == 3
    assert ended.stderr == ""
    assert json.loads(ended.stdout)["can_grade"] is False
    findings = by_name(ended.stdout)
    assert findings["mnist"]["status"] == "problem"
    assert "GRADER_DATA" in findings["mnist"]["observed"]
    assert "--data DIR" in findings["mnist"]["remedy"]
    assert {name for name, finding in findings.items() if finding["status"] == "problem"} == {
        "mnist"
    }
    assert {"Python", "torch", "device", "isolation", "cores", "memory"} <= set(findings)


def test_broken_torchvision(tmp_path: Path):
    """A broken installation gets a remedy in place of a traceback."""
    (tmp_path / "torchvision.py").write_text("raise RuntimeError('no operator nms')")
    ended = grade_doctor("--output", tmp_path, PYTHONPATH=str(tmp_path))
    assert ended.returncode == 3
    assert "torchvision does not load" in ended.stdout
    assert "no operator nms" in ended.stdout
    assert "→ Reinstall both together" in ended.stdout
    assert ended.stdout.splitlines()[-1] == "this machine cannot grade: fix the problem above"
    assert "Traceback" not in ended.stdout + ended.stderr


@pytest.mark.slow
@pytest.mark.skipif(not REAL_DATA.is_dir(), reason="MNIST is not beside this repository")
def test_data(tmp_path: Path):
    """Nothing stands in the way, and where the data was found is said."""
    find_sandbox()
    ended = grade_doctor("--output", tmp_path, "--data", REAL_DATA)
    assert ended.returncode == 0, ended.stdout
    assert f"{REAL_DATA}/MNIST/raw, with the right checksums" in ended.stdout
    assert ended.stdout.splitlines()[-1] == "this machine can grade"


@pytest.mark.parametrize(
    ("torch_version", "torchvision_version", "status"),
    [
        ("2.6.0+cu124", "0.21.0+cu124", Severity.OK),
        ("2.6.0", "0.20.1", Severity.PROBLEM),
        ("2.6.0", "unknown", Severity.PROBLEM),
    ],
)
def test_torch_pair(torch_version: str, torchvision_version: str, status: Severity):
    """A pair of versions that would fail as an answer is a problem of the machine."""
    finding = judge_pair(torch_version, torchvision_version)
    assert finding.status is status
    assert bool(finding.remedy) is (status is Severity.PROBLEM)


def test_wrong_data(tmp_path: Path):
    """A checksum decides, not a name."""
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for name in ("train-images", "t10k-images"):
        (raw / f"{name}-idx3-ubyte").write_bytes(bytes(100))
    for name in ("train-labels", "t10k-labels"):
        (raw / f"{name}-idx1-ubyte").write_bytes(bytes(100))
    finding = check_data(TorchvisionDataset("MNIST"), tmp_path)
    assert finding.status is Severity.PROBLEM
    assert "is not MNIST's train-images-idx3-ubyte" in finding.observed
    assert finding.remedy


class QuietHandler(SimpleHTTPRequestHandler):
    """Serves a directory and prints nothing."""

    def log_message(self, *arguments: object) -> None:
        """Print nothing."""


@pytest.fixture
def mirror(tmp_path: Path):
    """The address of a server that has a file of MNIST."""
    (tmp_path / "train-labels-idx1-ubyte.gz").write_bytes(b"labels")
    handler = partial(QuietHandler, directory=tmp_path)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.fixture
def dead_mirror():
    """An address where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    return f"http://127.0.0.1:{port}/"


class Source(TorchvisionDataset):
    """MNIST on other servers."""

    def __init__(self, *mirrors: str) -> None:
        super().__init__("MNIST")
        object.__setattr__(self, "mirrors", mirrors)

    def download_urls(self):
        return [f"{mirror}train-labels-idx1-ubyte.gz" for mirror in self.mirrors]


def test_data_of_an_assignment(tmp_path: Path):
    """The data sets of the assignment at hand are named, sized and checked."""
    np.savez(tmp_path / "plane.npz", **plane())
    digest = hashlib.sha256((tmp_path / "plane.npz").read_bytes()).hexdigest()
    source = FileDataset("plane.npz", sha256=digest).beside(tmp_path)
    finding = check_data(source, None)
    assert finding.status is Severity.OK
    assert "60 training and 30 test examples of 2 features, 3 classes" in finding.observed
    (tmp_path / "plane.npz").unlink()
    assert check_data(source, tmp_path).status is Severity.PROBLEM


def test_download_possible(dead_mirror: str, mirror: str):
    """The first grading will download it, if one of the servers has it then too."""
    finding = check_download(Source(dead_mirror, f"{mirror}missing/", mirror))
    assert finding.status is Severity.WARNING
    assert f"{mirror}train-labels-idx1-ubyte.gz has it" in finding.observed


def test_download_impossible(dead_mirror: str, mirror: str):
    """Without MNIST there is practice only, and that is no grade."""
    finding = check_download(Source(dead_mirror, f"{mirror}missing/"))
    assert finding.status is Severity.PROBLEM
    assert "--practice" in finding.remedy


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Puts packages before those that are really installed."""

    def install(name: str, version: str, *needed: str) -> None:
        metadata = tmp_path / f"{name.replace('-', '_')}-{version}.dist-info" / "METADATA"
        metadata.parent.mkdir()
        lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
        lines += [f"Requires-Dist: {requirement}" for requirement in needed]
        metadata.write_text("\n".join(lines))

    monkeypatch.syspath_prepend(tmp_path)
    return install


def test_packages_missing_or_old(installed):
    """Each is named, with what is needed; what does not concern this system is not."""
    installed("ancient", "1.2")
    installed(
        "sequential-grader",
        "9.0",
        "ancient>=2",
        "absent",
        "elsewhere; sys_platform == 'atlantis'",
        "pytest",
        "distant>=3; extra == 'cluster'",
    )
    assert find_unmet_requirements() == [
        "ancient 1.2 is installed, but ancient>=2 is needed",
        "absent is not installed",
    ]
    assert check_packages().status is Severity.PROBLEM


def test_packages_complete(installed):
    """Nothing is made up."""
    installed("sequential-grader", "9.0", "pytest", "click>=1")
    assert check_packages().status is Severity.OK


def test_no_isolation(monkeypatch: pytest.MonkeyPatch):
    """The doctor gives the same reason as `grade` would."""

    def refuse() -> None:
        raise SandboxError("no sandbox works:\n  - a: broken", next_step="Fix a.")

    monkeypatch.setattr(doctor, "choose_sandbox", refuse)
    assert check_isolation() == Finding(
        name="isolation",
        status=Severity.PROBLEM,
        observed="no sandbox works:\n  - a: broken",
        remedy="Fix a.",
    )


def test_isolation():
    """The kind that grading would use, with what it consists of."""
    sandbox = find_sandbox()
    finding = check_isolation()
    assert finding.status is not Severity.PROBLEM
    assert finding.observed.startswith(sandbox.name)
    assert all(f"\n  - {detail}" in finding.observed for detail in sandbox.details)


def test_isolation_rejected(monkeypatch: pytest.MonkeyPatch):
    """Somebody who installed bubblewrap learns why it is not used."""
    tried = [("/usr/bin/bwrap", None, "it does not start"), ("a user of its own", None, None)]
    monkeypatch.setattr(doctor, "try_sandboxes", lambda: tried)
    observed = check_isolation().observed
    assert "(a user of its own) passes its self-test\n" in observed
    assert observed.endswith("\n  - /usr/bin/bwrap does not work: it does not start")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("user", "kind"), [(0, "a user of its own"), (PLAIN_USER, "the user who grades")]
)
def test_isolation_without_namespaces(user: int, kind: str):
    """Where namespaces are refused, the kind that needs none is found to work."""
    program = "from grader.cli.doctor import check_isolation as check; print(check())"
    printed = run_in_container("-c", program, user=user)
    assert "Severity.OK" in printed
    assert f"({kind}) passes its self-test" in printed


@pytest.mark.parametrize(
    ("free", "cap", "status", "observed"),
    [
        (8, None, Severity.OK, "8.0 GB of 16.0 GB are free"),
        (8, 1, Severity.WARNING, "and a control group allows 1.0 GB"),
        (1, None, Severity.WARNING, "1.0 GB of 16.0 GB are free"),
        (8, 64, Severity.OK, "8.0 GB of 16.0 GB are free"),
    ],
)
def test_memory(free: int, cap: int | None, status: Severity, observed: str):
    """The tighter of what is free and what is allowed counts; a cap above the machine's is none."""
    finding = judge_memory(
        free_bytes=free * GIGABYTE,
        total_bytes=16 * GIGABYTE,
        cap_bytes=None if cap is None else cap * GIGABYTE,
    )
    assert finding.status is status
    assert finding.observed.endswith(observed)


def test_new_directory(tmp_path: Path):
    """The nearest one above it is tried, and nothing is left."""
    finding = check_room("reports", tmp_path / "spring" / "reports", remedy="Move.")
    assert finding.status in {
        Severity.OK,
        Severity.WARNING,
    }  # the machine's disk may be nearly full
    assert f"{tmp_path}/spring/reports has" in finding.observed
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("needed", "status"), [(True, Severity.PROBLEM), (False, Severity.WARNING)]
)
def test_unwritable_directory(tmp_path: Path, *, needed: bool, status: Severity):
    """Only where something must be written is that a problem."""
    (tmp_path / "file").touch()
    finding = check_room("reports", tmp_path / "file" / "reports", remedy="Move.", needed=needed)
    assert finding.status is status
    assert "cannot be written to" in finding.observed
    assert finding.remedy == "Move."


def test_full_disk(tmp_path: Path):
    """A limit on the size of files stands in for a disk without room."""
    program = (
        "import resource, sys; from pathlib import Path\n"
        "from grader.cli.doctor import check_room\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "print(check_room('reports', Path(sys.argv[1]), remedy='Move.').status)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program, tmp_path], capture_output=True, text=True, check=True
    )
    assert ended.stdout == "problem\n"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU, and this machine has none")
def test_gpu():
    """Its name is said, after a calculation on it."""
    assert doctor.check_device().observed.startswith("the GPU")
