"""Without namespaces, Landlock, seccomp and a supervisor leave a program only what is its own.

As root the sandbox is a user of its own, else it is the user who grades. Where these tests cannot
run directly, those of either kind run them in a container.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path

import psutil
import pytest

from grader.sandbox.isolation import exposed_paths
from grader.sandbox.isolation.choice import Sandbox
from grader.sandbox.isolation.dedicated_user import DedicatedUser
from grader.sandbox.isolation.same_user import SameUser
from grader.sandbox.isolation.self_test import find_fault
from grader.sandbox.supervisor import landlock, scratch
from grader.training.data_sources.embedded import embedded_files
from tests.sandbox.isolation.test_choice import run_inside, wait_for_processes
from tests.support.paths import ROOT
from tests.support.processes import alive

MEGABYTE = 1_000_000


@pytest.fixture(scope="module")
def sandbox() -> Sandbox:
    """The sandbox, where it works."""
    chosen = DedicatedUser() if os.geteuid() == 0 else SameUser()
    fault = find_fault(chosen)
    if fault is not None:
        pytest.skip(fault)
    return chosen


def test_all_else_is_closed(sandbox: Sandbox, tmp_path: Path) -> None:
    """Not the repository, nor /etc, /proc, /tmp, other sandboxes or anything by a link or `..`."""
    (tmp_path / "other").write_text("x")
    for directory in (tmp_path, tmp_path.parent, tmp_path.parent.parent):
        directory.chmod(0o755)
    program = """
def attempt(path, flags=os.O_RDONLY):
    try:
        os.close(os.open(path, flags))
        return path
    except OSError:
        return None
os.symlink(paths[0], SCRATCH + "/link")
try:
    os.link(paths[0], SCRATCH + "/hard")
except OSError:
    pass
paths += [SCRATCH + "/link", SCRATCH + "/hard", SCRATCH + "/..", SUBMISSION + "/../.."]
writable = [SCRATCH + "/../x", CODE + "/x", SUBMISSION + "/x", "/tmp/x", "/var/tmp/x",
    "/dev/shm/x", "/dev/x", sys.prefix + "/x", "/proc/self/comm", SUBMISSION + "/problem_1.py"]
print(json.dumps([
    [path for path in map(attempt, paths) if path],
    [path for path in writable if attempt(path, os.O_RDWR | os.O_CREAT)],
    [
        attempt(path)
        for path in (SUBMISSION, CODE + "/grader/sandbox/worker", SCRATCH, "/proc/meminfo")
    ],
    [sorted(os.listdir(CODE + "/grader" + part)) for part in ("", "/models", "/sandbox")],
]))
"""
    closed = [
        str(ROOT / "pyproject.toml"),
        *("/", "/etc", "/etc/passwd", "/proc", "/proc/self/maps", "/proc/1/cmdline", "/sys"),
        *("/tmp", "/var", "/home", "/root", "/dev", "/dev/shm", "/run", str(tmp_path / "other")),
        *(str(ROOT), str(ROOT / "grader"), str(ROOT / "reference")),
    ]
    read, written, own, code = run_inside(sandbox, program, paths=closed)
    assert read == []
    assert written == []
    assert None not in own
    assert code == [
        ["__init__.py", "kernel.py", "models", "sandbox"],
        ["__init__.py", "kinds.py"],
        ["__init__.py", "protocol.py", "worker"],
    ]


DELETED_BUT_OPEN = """
kept = [open(name, "wb", buffering=0) for name in "abc"]
for file in kept:
    file.write(bytes(900_000))
    os.unlink(file.name)
"""
DELETED_BUT_MAPPED = """
import mmap
kept = []
for name in "abc":
    with open(name, "wb+", buffering=0) as file:
        file.write(bytes(900_000))
        kept.append(mmap.mmap(file.fileno(), 0))
    os.unlink(name)
"""


@pytest.mark.parametrize(
    ("hoard", "excess"),
    [
        ("pass", None),
        ("open('a', 'wb').write(bytes(900_000))", None),
        ("[open(name, 'wb').write(bytes(900_000)) for name in 'abc']", "bytes"),
        ("[open(str(number), 'w').close() for number in range(101)]", "files"),
        (DELETED_BUT_OPEN, "bytes"),
        (DELETED_BUT_MAPPED, "bytes"),
    ],
)
def test_scratch_is_watched(
    sandbox: Sandbox, tmp_path: Path, hoard: str, excess: str | None
) -> None:
    """Too many bytes or files are seen, also those that no name leads to any more."""
    program = f"import os, time\n{hoard}\nprint('ready', flush=True)\ntime.sleep(600)"
    with sandbox.launch(program, submission=tmp_path, scratch_bytes=MEGABYTE) as process:
        wait_for_processes(process, lines=1)
        found = process.find_scratch_excess(maximum_bytes=MEGABYTE, maximum_files=100)
    assert found == excess


def test_shared_memory_counts_once(sandbox: Sandbox, tmp_path: Path) -> None:
    """Though a container's root may not look into other users' processes as a matter of course."""
    program = """
import os, time
shared = bytearray(os.urandom(1)) * 200_000_000
for _ in range(3):
    if os.fork() == 0:
        break
print("ready", flush=True)
time.sleep(600)
"""
    with sandbox.launch(program, submission=tmp_path, scratch_bytes=MEGABYTE) as process:
        wait_for_processes(process, lines=4)
        assert 200 * MEGABYTE < process.tree.memory_bytes() < 300 * MEGABYTE


@pytest.mark.parametrize("killed", ["program", "supervisor", "neither"])
def test_nothing_is_left(sandbox: Sandbox, tmp_path: Path, killed: str) -> None:
    """Whatever ends first, daemons that fight back end too, and the directory is deleted."""
    program = """
import os, signal, time
for number in set(range(1, 65)) - {9, 19, 32, 33}:
    signal.signal(number, signal.SIG_IGN)
os.makedirs("a/b")
try:
    os.chmod("a", 0)
except PermissionError:
    pass  # as the user who grades, it may not
for _ in range(3):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            break
print("ready", os.getcwd(), flush=True)
while True:
    time.sleep(0.01)
"""
    with sandbox.launch(program, submission=tmp_path, scratch_bytes=MEGABYTE) as process:
        pids = wait_for_processes(process, lines=4)
        assert len(pids) >= 5
        children = psutil.Process(process._popen.pid).children()
        directory = process._directory  # type: ignore[attr-defined]
        assert directory.is_dir()
        if killed == "program":
            oldest = min(children, key=lambda child: child.create_time())
            oldest.send_signal(signal.SIGKILL)
        elif killed == "supervisor":
            process._popen.kill()
        if killed == "program":
            assert alive(pids) == []
    assert alive(pids) == []
    assert not directory.exists()


def test_hidden_files(tmp_path: Path) -> None:
    """The neighbours of a hidden directory are opened one by one; links are not followed."""
    for name in ("a/b/secret/labels", "a/b/open/file", "a/c/file", "d/file"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    (tmp_path / "a" / "link").symlink_to("/etc")
    rules = dict(exposed_paths._open_below(tmp_path, {tmp_path / "a" / "b" / "secret"}))
    listed, read = landlock.LIST, landlock.READ
    assert rules == {
        tmp_path: listed,
        tmp_path / "d": read,
        tmp_path / "a": listed,
        tmp_path / "a" / "c": read,
        tmp_path / "a" / "b": listed,
        tmp_path / "a" / "b" / "open": read,
    }
    assert dict(exposed_paths._open_below(tmp_path, {tmp_path})) == {}


def test_labels_and_grader_stay_closed() -> None:
    """Neither the repository nor the practice set lies below anything that can be read."""
    hidden = [exposed_paths.PACKAGE, *embedded_files()]
    read = [
        path
        for path, access in exposed_paths.landlock_rules([])
        if access & landlock.Access.READ_FILE
    ]
    assert Path("/usr") in read or any(path.is_relative_to("/usr") for path in read)
    assert not [path for path in read for secret in hidden if secret.is_relative_to(path)]


def test_any_depth(tmp_path: Path) -> None:
    """A tree deeper than a path may be long is counted, and deleted, without following links."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_text("x")
    top = tmp_path / "top"
    top.mkdir()
    name = "d" * 200
    here = os.open(top, os.O_RDONLY)
    for _ in range(30):
        os.symlink(outside, "link", dir_fd=here)
        os.mkdir(name, dir_fd=here)
        below = os.open(name, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    assert scratch.find_excess(top, maximum_bytes=10**9, maximum_files=60) is None
    assert scratch.find_excess(top, maximum_bytes=10**9, maximum_files=59) == "files"
    scratch.delete(top)
    assert not top.exists()
    assert (outside / "kept").exists()
    assert scratch.find_excess(top, maximum_bytes=0, maximum_files=0) is None


def test_few_descriptors(tmp_path: Path) -> None:
    """A tree that leaves a branch behind at each of many levels is refused rather than followed."""
    here = tmp_path
    for _ in range(scratch.MAXIMUM_OPEN_DIRECTORIES + 10):
        (here / "a").mkdir()
        (here / "b").mkdir()
        here = list(here.iterdir())[-1]  # the one that is entered first
    before = psutil.Process().num_fds()
    assert scratch.find_excess(tmp_path, maximum_bytes=10**9, maximum_files=10**6) == "files"
    assert psutil.Process().num_fds() == before
