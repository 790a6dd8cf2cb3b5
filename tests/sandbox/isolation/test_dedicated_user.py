"""Without namespaces, a user of its own, Landlock and seccomp leave a program only what is its own.

Where root's own directory holds Python, the tests that need the sandbox run in a container alone:
see `test_in_a_container.py`.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from grader.errors import SandboxError
from grader.sandbox.isolation import dedicated_user, seccomp
from grader.sandbox.isolation.dedicated_user import DedicatedUser
from grader.sandbox.isolation.self_test import find_fault
from grader.sandbox.supervisor import landlock
from tests.sandbox.isolation.test_choice import run_inside, wait_for_processes
from tests.support.containers import run_in_container

MEGABYTE = 1_000_000


@pytest.fixture(scope="module")
def sandbox() -> DedicatedUser:
    """The sandbox, where it works."""
    chosen = DedicatedUser()
    fault = find_fault(chosen) if os.geteuid() == 0 else "only root can become another user"
    if fault is not None:
        pytest.skip(fault)
    return chosen


def test_container_chooses_it() -> None:
    """Root to whom namespaces and mounts are refused gets the sandbox without them."""
    program = """
import ctypes, json
from grader.sandbox.isolation.choice import choose_sandbox
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


def test_own_user(sandbox: DedicatedUser) -> None:
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
    assert any(users[0] in numbers for numbers in dedicated_user.RANGES)
    assert others == []
    assert owner == 0
    assert set(attempts) == {"refused"}


def test_seen_from_outside(sandbox: DedicatedUser, tmp_path: Path) -> None:
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


def test_python_of_root_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """If only root can enter Python's directory, the reason says what would help."""
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    for directory in (tmp_path, *tmp_path.parents):
        if "pytest-of-" in str(directory):
            directory.chmod(0o755)
    executable = private / "python"
    executable.touch()
    monkeypatch.setattr(sys, "executable", str(executable))
    with pytest.raises(SandboxError, match=f"chmod o\\+x {private}"):
        dedicated_user.require_access()


@pytest.mark.parametrize(
    ("missing", "reason"),
    [("abi_version", "has no Landlock"), ("filter", "no system call filter")],
)
def test_parts_missing(
    monkeypatch: pytest.MonkeyPatch, missing: str, reason: str, tmp_path: Path
) -> None:
    """Without Landlock or the filter it refuses."""
    if missing == "abi_version":
        monkeypatch.setattr(landlock, "abi_version", lambda: 0)
    else:
        monkeypatch.setattr(landlock, "abi_version", lambda: 1)
        monkeypatch.setattr(dedicated_user, "require_access", lambda: None)
        monkeypatch.setattr(seccomp, "FILTERS", tmp_path)
    fault = find_fault(DedicatedUser())
    assert fault is not None
    assert reason in fault


def test_claimed_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A user whose directory exists, or who has a process, is not taken again."""
    monkeypatch.setattr(dedicated_user, "RANGES", (range(61184, 61190, 2),))
    monkeypatch.setattr(dedicated_user, "_find_place", lambda: tmp_path)
    monkeypatch.setattr(dedicated_user, "_is_mapped", lambda users: True)
    sandbox = DedicatedUser()
    claimed = {sandbox._claim_place() for _ in range(3)}
    assert {user for user, _ in claimed} == {61184, 61186, 61188}
    assert all(directory.parent == tmp_path for _, directory in claimed)
    with pytest.raises(SandboxError, match="no free user"):
        sandbox._claim_place()
    assert not dedicated_user._is_free(os.getuid())
