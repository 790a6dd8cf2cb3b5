"""Without namespaces, a user of its own, Landlock and seccomp leave a program only what is its own.

Where root's own directory holds Python, the tests that need the sandbox run in a container alone:
see `test_all_holds_in_a_container`.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from grader.confinement import landlock, scratch
from grader.errors import SandboxError
from grader.sandbox import dedicated_user, free_users, landlock_rules, visible
from grader.sandbox.dedicated_user import DedicatedUser
from grader.sandbox.self_test import find_fault
from tests.submissions import asking
from tests.test_sandbox import REPOSITORY, alive, run_inside, wait_for_processes

CONTAINER = [sys.executable, str(REPOSITORY / "tests" / "docker_profile.py"), sys.executable]
MEGABYTE = 1_000_000


@pytest.fixture(scope="module")
def sandbox() -> DedicatedUser:
    """The sandbox, where it works."""
    chosen = DedicatedUser()
    fault = find_fault(chosen) if os.geteuid() == 0 else "only root can become another user"
    if fault is not None:
        pytest.skip(fault)
    return chosen


def run_in_container(*arguments: str) -> str:
    """What a Python prints in a container under Docker's default profile."""
    if os.geteuid() != 0 or asking.SANDBOX_NAME is not None:
        pytest.skip("only root can start a container, and not from within one")
    result = subprocess.run(
        [*CONTAINER, *arguments], capture_output=True, text=True, timeout=1000, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def test_container_chooses_it() -> None:
    """Where namespaces and mounts are refused, root's sandbox is the one without them."""
    program = """
import ctypes, json
from grader.sandbox import choose_sandbox
libc = ctypes.CDLL(None)
chosen = choose_sandbox()
print(json.dumps([libc.unshare(0x10000000), libc.unshare(0x20000),
    libc.mount(b"none", b"/mnt", b"tmpfs", 0, b""), chosen.name, chosen.unsafe,
    chosen.isolation, chosen.details]))
"""
    answer = json.loads(run_in_container("-c", program))
    assert answer[:5] == [-1, -1, -1, "uid", False]
    assert "Landlock" in answer[5]
    assert any("filtered by seccomp" in detail for detail in answer[6])


@pytest.mark.slow
def test_all_holds_in_a_container() -> None:
    """These tests, and those of every sandbox, pass in a container, and none is left out there."""
    files = [__file__, str(REPOSITORY / "tests" / "test_sandbox.py")]
    options = ["-m", "not slow", "-q", "-rs", "-p", "no:cacheprovider", "--sandbox=uid"]
    output = run_in_container("-m", "pytest", *files, *options)
    skipped = [line for line in output.splitlines() if line.startswith("SKIPPED")]
    assert all("only with namespaces" in line or "not from within" in line for line in skipped)


@pytest.mark.slow
@pytest.mark.timeout(1000)
@pytest.mark.parametrize(
    "files",
    [
        ("tests/test_extract.py", "tests/redteam/test_redteam.py"),
        ("tests/test_sandbox.py", "tests/redteam/test_killed_grader.py"),
    ],
)
def test_suites_pass_in_a_container(files: tuple[str, ...]) -> None:
    """Broken files, attacks and killed graders come to the same there."""
    run_in_container("-m", "pytest", *files, "-q", "-p", "no:cacheprovider", "--sandbox=uid")


def test_nobody_else_has_its_user(sandbox: DedicatedUser) -> None:
    """It has a user and a group of its own and no other, no capability, and no way to another."""
    program = """
def attempt(action, *arguments):
    try:
        action(*arguments)
    except OSError:
        return "refused"
with open(SUBMISSION + "/problem_1.py") as file:
    owner = os.fstat(file.fileno()).st_uid
print(json.dumps([os.getresuid(), os.getresgid(), os.getgroups(), owner,
    [attempt(os.setuid, 0), attempt(os.setgroups, [0]), attempt(os.kill, parent, 0),
     attempt(os.chmod, SUBMISSION + "/problem_1.py", 0o777), attempt(os.kill, os.getppid(), 9)]]))
"""
    users, groups, others, owner, attempts = run_inside(sandbox, program, parent=os.getpid())
    assert len(set(users)) == 1
    assert users == groups
    assert any(users[0] in numbers for numbers in free_users.RANGES)
    assert others == []
    assert owner == 0
    assert set(attempts) == {"refused"}


def test_kernel_holds_it_to_that(sandbox: DedicatedUser, tmp_path: Path) -> None:
    """Seen from outside: no capability, no way to gain one, and a filter."""
    program = "import time\nprint('ready', flush=True)\ntime.sleep(600)"
    with sandbox.launch(program, submission=tmp_path, scratch_bytes=MEGABYTE) as process:
        _, pid = wait_for_processes(process, lines=1)
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        limits = Path(f"/proc/{pid}/limits").read_text()
    status = dict(line.split(":\t", 1) for line in lines)
    for name in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
        assert int(status[name], 16) == 0
    assert status["NoNewPrivs"] == "1"
    assert status["Seccomp"] == "2"
    assert status["Groups"].strip() == ""
    assert f"Max file size             {MEGABYTE} " in limits
    assert "Max core file size        0 " in limits


def test_nothing_else_can_be_opened(sandbox: DedicatedUser, tmp_path: Path) -> None:
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
    [attempt(path) for path in (SUBMISSION, CODE + "/grader/worker", SCRATCH, "/proc/meminfo")],
    sorted(os.listdir(CODE + "/grader")),
]))
"""
    closed = [
        str(REPOSITORY / "pyproject.toml"),
        *("/", "/etc", "/etc/passwd", "/proc", "/proc/self/maps", "/proc/1/cmdline", "/sys"),
        *("/tmp", "/var", "/home", "/root", "/dev", "/dev/shm", "/run", str(tmp_path / "other")),
        *(str(REPOSITORY), str(REPOSITORY / "grader"), str(REPOSITORY / "reference")),
    ]
    read, written, own, code = run_inside(sandbox, program, paths=closed)
    assert read == []
    assert written == []
    assert None not in own
    assert code == ["__init__.py", "layer_kinds.py", "worker"]


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
    sandbox: DedicatedUser, tmp_path: Path, hoard: str, excess: str | None
) -> None:
    """Too many bytes or files are seen, also those that no name leads to any more."""
    program = f"import os, time\n{hoard}\nprint('ready', flush=True)\ntime.sleep(600)"
    with sandbox.launch(program, submission=tmp_path, scratch_bytes=MEGABYTE) as process:
        wait_for_processes(process, lines=1)
        found = process.find_scratch_excess(maximum_bytes=MEGABYTE, maximum_files=100)
    assert found == excess


def test_memory_that_processes_share_counts_once(sandbox: DedicatedUser, tmp_path: Path) -> None:
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
def test_nothing_is_left(sandbox: DedicatedUser, tmp_path: Path, killed: str) -> None:
    """Whatever ends first, daemons that fight back end too, and the directory is deleted."""
    program = """
import os, signal, time
for number in set(range(1, 65)) - {9, 19, 32, 33}:
    signal.signal(number, signal.SIG_IGN)
os.makedirs("a/b")
os.chmod("a", 0)
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


def test_hidden_files_are_left_out_of_the_rules(tmp_path: Path) -> None:
    """What surrounds a hidden directory is opened one by one; links are not followed."""
    for name in ("a/b/secret/labels", "a/b/open/file", "a/c/file", "d/file"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    (tmp_path / "a" / "link").symlink_to("/etc")
    rules = dict(landlock_rules._open_below(tmp_path, {tmp_path / "a" / "b" / "secret"}))
    listed, read = landlock.LIST, landlock.READ
    assert rules == {
        tmp_path: listed,
        tmp_path / "d": read,
        tmp_path / "a": listed,
        tmp_path / "a" / "c": read,
        tmp_path / "a" / "b": listed,
        tmp_path / "a" / "b" / "open": read,
    }
    assert dict(landlock_rules._open_below(tmp_path, {tmp_path})) == {}


def test_rules_open_no_labels_and_no_grader() -> None:
    """Neither the repository nor the practice set lies below anything that can be read."""
    hidden = [visible.PACKAGE, *visible.embedded_data_sets()]
    read = [
        path for path, access in landlock_rules.open_paths([]) if access & landlock.Access.READ_FILE
    ]
    assert Path("/usr") in read or any(path.is_relative_to("/usr") for path in read)
    assert not [path for path in read for secret in hidden if secret.is_relative_to(path)]


def test_python_of_root_alone_is_explained(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where only root can enter Python's directory, the reason says what would help."""
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    for directory in (tmp_path, tmp_path.parent, tmp_path.parent.parent):
        directory.chmod(0o755)
    executable = private / "python"
    executable.touch()
    monkeypatch.setattr(sys, "executable", str(executable))
    with pytest.raises(SandboxError, match=f"chmod o\\+x {private}"):
        landlock_rules.require_access()


@pytest.mark.parametrize(
    ("missing", "reason"),
    [("abi_version", "has no Landlock"), ("compile_filter", "libseccomp is not installed")],
)
def test_nothing_starts_without_its_parts(
    monkeypatch: pytest.MonkeyPatch, missing: str, reason: str
) -> None:
    """Without Landlock or the filter it refuses."""
    if missing == "abi_version":
        monkeypatch.setattr(landlock, "abi_version", lambda: 0)
    else:
        monkeypatch.setattr(landlock, "abi_version", lambda: 1)
        monkeypatch.setattr(dedicated_user, "compile_filter", lambda: None)
    fault = find_fault(DedicatedUser())
    assert fault is not None
    assert reason in fault


def test_users_are_claimed_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A user whose directory exists, or who has a process, is not taken again."""
    monkeypatch.setattr(free_users, "RANGES", (range(61184, 61190, 2),))
    monkeypatch.setattr(free_users, "_find_place", lambda: tmp_path)
    monkeypatch.setattr(free_users, "_is_mapped", lambda users: True)
    claimed = {free_users.claim_user() for _ in range(3)}
    assert {user for user, _ in claimed} == {61184, 61186, 61188}
    assert all(directory.parent == tmp_path for _, directory in claimed)
    with pytest.raises(SandboxError, match="no free user"):
        free_users.claim_user()
    assert not free_users._is_free(os.getuid())


def test_walk_and_deletion_reach_any_depth(tmp_path: Path) -> None:
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


def test_walk_needs_few_descriptors(tmp_path: Path) -> None:
    """A tree that leaves a branch behind at each of many levels is refused rather than followed."""
    here = tmp_path
    for _ in range(scratch.MAXIMUM_OPEN_DIRECTORIES + 10):
        (here / "a").mkdir()
        (here / "b").mkdir()
        here = list(here.iterdir())[-1]  # the one that is entered first
    before = psutil.Process().num_fds()
    assert scratch.find_excess(tmp_path, maximum_bytes=10**9, maximum_files=10**6) == "files"
    assert psutil.Process().num_fds() == before
