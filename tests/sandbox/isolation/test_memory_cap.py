"""The kernel caps the memory of a sandbox where it lets this user; elsewhere the watch has to do.

Most of these tests have a directory tree with the files of cgroup v2, since few machines that run
tests hand the memory controller down; the last ones use the kernel's, where it does.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from grader.sandbox.connection import Connection, ConnectionEndedError
from grader.sandbox.isolation import memory_cap
from grader.sandbox.isolation.memory_cap import MemoryCap, find_parent
from grader.sandbox.isolation.own_work import OwnWork
from grader.sandbox.protocol import READY
from tests.submissions.asking import find_sandbox
from tests.support.processes import alive

NO_PROCESS = 2**22 + 1
"""Larger than any process id can be (proc_sys_kernel(5))."""


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Control groups slice/service/leaf, of which service hands the memory controller down."""
    monkeypatch.setattr(memory_cap, "REMOVAL_SECONDS", 0.01)  # a plain directory is not empty
    top = tmp_path / "cgroup"
    controllers = {"": "cpu memory", "slice": "cpu memory", "slice/service": "memory pids"}
    for name, handed_down in (controllers | {"slice/service/leaf": ""}).items():
        group = top / name
        group.mkdir(parents=True)
        (group / "cgroup.procs").touch()
        (group / "cgroup.subtree_control").write_text(f"{handed_down}\n")
    monkeypatch.setattr("grader.kernel.CONTROL_GROUPS", top)
    monkeypatch.setattr("grader.kernel.PROCESSES", tmp_path / "proc")
    return top


def find(tree: Path, membership: str) -> Path | None:
    """Return the group that is found by a process that is in one of the tree's groups."""
    processes = tree.parent / "proc"
    (processes / "self").mkdir(parents=True, exist_ok=True)
    (processes / "self" / "cgroup").write_text(f"4:memory:/old\n{membership}\n")
    return find_parent()


def test_nearest_group(tree: Path) -> None:
    """It is this process's own group, or one above it, that hands memory down."""
    service = tree / "slice" / "service"
    assert find(tree, "0::/slice/service/leaf") == service
    assert find(tree, "0::/slice/service") == service
    assert find(tree, "0::/slice") == tree / "slice"
    assert find(tree, "0::/") == tree


@pytest.mark.parametrize("membership", ["3:pids:/slice/service", "0::/../service"])
def test_no_group(tree: Path, membership: str) -> None:
    """Neither version 1 counts, nor a group that this process cannot see."""
    assert find(tree, membership) is None


@pytest.mark.parametrize("version", [1, 2])
def test_no_controller(tree: Path, version: int) -> None:
    """Without the controller there is no cap; version 1 lacks even the file."""
    for file in tree.rglob("cgroup.subtree_control"):
        if version == 1:
            file.unlink()
        else:
            file.write_text("cpu pids\n")
    assert find(tree, "0::/slice/service/leaf") is None


@pytest.mark.usefixtures("tree")
def test_no_procfs() -> None:
    """As on macOS."""
    assert find_parent() is None


def test_under_the_cap(tree: Path) -> None:
    """A group of its own, ended as a whole when there is no more memory, and never swapped."""
    cap = MemoryCap(tree, 300_000_000, [os.getpid()])
    (group,) = tree.glob("grader-*")
    written = {
        name: (group / name).read_text()
        for name in ("memory.max", "memory.oom.group", "memory.swap.max", "cgroup.procs")
    }
    assert written == {
        "memory.max": "300000000",
        "memory.oom.group": "1",
        "memory.swap.max": "0",
        "cgroup.procs": str(os.getpid()),
    }
    assert not cap.was_hit()
    (group / "memory.events").write_text("low 0\nhigh 0\nmax 12\noom 0\noom_kill 0\n")
    assert not cap.was_hit()
    (group / "memory.events").write_text("low 0\nhigh 0\nmax 12\noom 1\noom_kill 3\n")
    assert cap.was_hit()


def test_groups_of_killed_graders(tree: Path) -> None:
    """Those of graders that run stay."""
    abandoned, used = tree / f"grader-{NO_PROCESS}-x", tree / f"grader-{os.getpid()}-x"
    abandoned.mkdir()
    used.mkdir()
    MemoryCap(tree, 1, [])
    assert not abandoned.exists()
    assert used.exists()


def test_killed_at_the_cap(tree: Path, tmp_path: Path) -> None:
    """The sandbox ended: because of its memory if the kernel says so, else for no known reason."""
    for kills, breach in ((0, "closed"), (2, "memory")):
        with OwnWork().launch("", submission=tmp_path, scratch_bytes=0) as process:
            process.cap_memory(tree, 10**9)
            (group,) = tree.glob("grader-*")
            (group / "memory.events").write_text(f"oom_kill {kills}\n")
            connection = Connection(process, {READY: 0}, check=lambda: None)
            with pytest.raises(ConnectionEndedError) as caught:
                connection.receive(READY, time.monotonic() + 20)
            assert caught.value.breach == breach
        for file in group.iterdir():
            file.unlink()
        group.rmdir()


def test_details() -> None:
    """In the details of the isolation."""
    capped = find_parent() is not None
    said = find_sandbox().details[-1]
    assert said.endswith("and capped by cgroup v2" if capped else "not capped")


@pytest.fixture
def parent() -> Path:
    """The kernel's group for capped ones."""
    found = find_parent()
    if found is None:
        pytest.skip("no control group of version 2 hands the memory controller down to this user")
    return found


def test_kernel_kills_all(parent: Path) -> None:
    """Together they would take too much, though none alone; the group is gone afterwards."""
    program = """
import os, time
input()
for _ in range(3):
    if os.fork() == 0:
        break
data = b"x" * 40_000_000
time.sleep(60)
"""
    with subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", program], stdin=subprocess.PIPE
    ) as process:
        cap = MemoryCap(parent, 100_000_000, [process.pid])
        (group,) = parent.glob(f"grader-{os.getpid()}-*")
        process.communicate(b"\n", timeout=50)
        assert cap.was_hit()
        cap.remove()
    assert not group.exists()


def test_removal_kills(parent: Path) -> None:
    """Daemons too."""
    program = "import os\nos.fork()\nos.setsid()\nprint(os.getpid(), flush=True)\ninput()"
    with subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", "input()\n" + program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        cap = MemoryCap(parent, 100_000_000, [process.pid])
        process.stdin.write(b"\n")
        process.stdin.flush()
        pids = [int(process.stdout.readline()) for _ in range(2)]
        cap.remove()
    assert alive(pids) == []
    assert list(parent.glob(f"grader-{os.getpid()}-*")) == []
