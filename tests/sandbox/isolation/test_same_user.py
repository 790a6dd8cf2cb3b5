"""A plain user without namespaces: the program has the grader's user, and none of its rights.

As root the tests that need the sandbox run in a container alone: see `test_in_a_container.py`.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from grader.errors import SandboxError
from grader.sandbox.isolation import seccomp
from grader.sandbox.isolation.same_user import SameUser
from grader.sandbox.isolation.self_test import find_fault
from grader.sandbox.supervisor import landlock
from grader.sandbox.supervisor import main as supervisor
from tests.sandbox.isolation.test_choice import run_inside
from tests.support.containers import PLAIN_USER, run_in_container


@pytest.fixture(scope="module")
def sandbox() -> SameUser:
    """The sandbox, where it works."""
    chosen = SameUser()
    fault = find_fault(chosen)
    if fault is not None:
        pytest.skip(fault)
    return chosen


@pytest.fixture
def bystander() -> Iterator[subprocess.Popen[bytes]]:
    """Another process of the user who grades."""
    with subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(600)"]) as process:
        yield process
        process.kill()


def test_plain_user_chooses_it() -> None:
    """A plain user to whom namespaces are refused gets the sandbox without them."""
    program = """
import json
from grader.sandbox.isolation.choice import choose_sandbox
chosen = choose_sandbox()
print(json.dumps([chosen.name, chosen.unsafe, chosen.isolation, chosen.details]))
"""
    if landlock.abi_version() < landlock.SCOPES_SINCE:
        pytest.skip("this kernel has no Landlock of version 6")
    name, unsafe, isolation, details = json.loads(run_in_container("-c", program, user=PLAIN_USER))
    assert (name, unsafe) == ("same-user", False)
    assert "as the user who grades" in isolation
    assert any("filtered by seccomp" in detail for detail in details)


ATTEMPTS = """
import ctypes, fcntl, resource, socket
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.argtypes = [ctypes.c_long] * 7
name = ctypes.create_string_buffer(os.fsencode(theirs))
names = ctypes.addressof(name)
HIGH = 1 << 32  # the kernel does not look at this bit of an int
def call(number, *arguments):
    padded = [*arguments, 0, 0, 0, 0, 0, 0]
    if libc.syscall(number, *padded[:6]) < 0:
        raise OSError(ctypes.get_errno(), "refused")
package = os.open(readable, os.O_RDONLY)
def request(number):
    fcntl.ioctl(package, number, bytes(32))
attempts = {
    "chmod": lambda: os.chmod(theirs, 0o666),
    "chmod of a file that is open": lambda: os.fchmod(package, 0o644),
    "chown": lambda: os.chown(theirs, -1, -1),
    "times": lambda: os.utime(theirs),
    "times of a file that is open": lambda: os.utime(package),
    "set an attribute": lambda: os.setxattr(theirs, "user.x", b"x"),
    "read an attribute": lambda: os.getxattr(theirs, "user.grader"),
    "list attributes": lambda: os.listxattr(theirs),
    "fchmodat2": lambda: call(452, -100, names, 0o666),
    "setxattrat": lambda: call(463, -100, names, 0, names, names, 16),
    "file_setattr": lambda: call(469, -100, names, names, 24),
    "flags of a file system": lambda: request(0x40086602),
    "verity": lambda: request(0x40806685),
    "flags, with a high bit": lambda: call(
        {"x86_64": 16, "aarch64": 29}[os.uname().machine], package, HIGH | 0x40086602, names
    ),
    "lease": lambda: fcntl.fcntl(package, fcntl.F_SETLEASE, fcntl.F_RDLCK),
    "lease, with a high bit": lambda: call(
        {"x86_64": 72, "aarch64": 25}[os.uname().machine], package, HIGH | 1024, 0
    ),
    "truncate": lambda: os.truncate(theirs, 0),
    "link": lambda: os.link(theirs, SCRATCH + "/link"),
    "rename": lambda: os.rename(theirs, SCRATCH + "/theirs"),
    "unlink": lambda: os.unlink(theirs),
    "signal": lambda: os.kill(bystander, 0),
    "signal to the grader": lambda: os.kill(grader, 0),
    "signal to the supervisor": lambda: os.kill(os.getppid(), 0),
    "limits": lambda: resource.prlimit(bystander, resource.RLIMIT_NOFILE),
    "priority": lambda: os.setpriority(os.PRIO_PROCESS, bystander, 10),
    "priority of the user": lambda: os.setpriority(os.PRIO_USER, 0, 10),
    "processors": lambda: os.sched_setaffinity(bystander, {0}),
    "scheduling": lambda: os.sched_setscheduler(bystander, os.SCHED_IDLE, os.sched_param(0)),
    "ptrace": lambda: call({"x86_64": 101, "aarch64": 117}[os.uname().machine], 16, bystander),
    "memory": lambda: open(f"/proc/{bystander}/mem").close(),
    "environment": lambda: open(f"/proc/{bystander}/environ").close(),
    "dumpable, with a high bit": lambda: call(
        {"x86_64": 157, "aarch64": 167}[os.uname().machine], HIGH | 4, 0
    ),
    "closed directory": lambda: os.mkdir(SCRATCH + "/closed", 0o300),
    "closed directories": lambda: os.umask(0o400),
    "datagrams to a path": lambda: socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM),
}
succeeded = []
for name_of_attempt, attempt in attempts.items():
    try:
        attempt()
        succeeded.append(name_of_attempt)
    except OSError:
        pass
print(json.dumps([len(attempts), succeeded]))
"""


def test_ownership(sandbox: SameUser, tmp_path: Path, bystander: subprocess.Popen[bytes]) -> None:
    """Files and processes of the same user stay as they are, in whatever way it is tried."""
    theirs = tmp_path / "key"
    theirs.write_text("secret")
    theirs.chmod(0o600)
    before = theirs.stat()
    tried, succeeded = run_inside(
        sandbox,
        ATTEMPTS,
        theirs=str(theirs),
        readable=json.__file__,
        bystander=bystander.pid,
        grader=os.getpid(),
    )
    assert succeeded == []
    assert tried > 30
    assert theirs.stat() == before
    assert theirs.read_text() == "secret"
    assert bystander.poll() is None


def test_signals_to_all(sandbox: SameUser, bystander: subprocess.Popen[bytes]) -> None:
    """SIGKILL to every process that it may reach ends its own children and nobody else."""
    program = """
import signal, time
child = os.fork()
if child == 0:
    time.sleep(60)
os.kill(-1, signal.SIGKILL)
print(json.dumps(os.WTERMSIG(os.waitpid(child, 0)[1])))
"""
    assert run_inside(sandbox, program) == 9
    time.sleep(0.1)
    assert bystander.poll() is None


def test_honest_programs(sandbox: SameUser) -> None:
    """Files are written, copied and moved, directories made, limits lowered and threads run."""
    program = """
import pathlib, resource, shutil, tempfile, threading
old = os.umask(0o022)
with tempfile.TemporaryDirectory() as directory:
    os.makedirs(directory + "/a/b")
    pathlib.Path(directory, "a", "file").write_text("x")
    shutil.copyfile(directory + "/a/file", directory + "/a/b/file")
    shutil.move(directory + "/a/file", directory + "/moved")
    left = sorted(os.listdir(directory))
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
threads = [threading.Thread(target=lambda: None) for _ in range(3)]
for thread in threads:
    thread.start()
os.sched_setaffinity(0, os.sched_getaffinity(0))
print(json.dumps([left, os.nice(1) >= 0, os.isatty(0)]))
"""
    assert run_inside(sandbox, program) == [["a", "moved"], True, False]


@pytest.mark.parametrize(
    ("user", "version", "reason"),
    [
        (0, 7, "root has rights"),
        (1000, 5, "version 6.*Linux 6.12.*has version 5"),
        (1000, 0, "has none"),
    ],
)
def test_parts_missing(
    monkeypatch: pytest.MonkeyPatch, user: int, version: int, reason: str, tmp_path: Path
) -> None:
    """As root, or where Landlock cannot confine signals, it refuses."""
    monkeypatch.setattr(os, "geteuid", lambda: user)
    monkeypatch.setattr(landlock, "abi_version", lambda: version)
    with pytest.raises(SandboxError, match=reason):
        SameUser().launch("", submission=tmp_path, scratch_bytes=0)


def test_filter_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without a filter for this processor it refuses."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(landlock, "abi_version", lambda: 7)
    monkeypatch.setattr(seccomp, "FILTERS", tmp_path)
    with pytest.raises(SandboxError, match="no system call filter"):
        SameUser().launch("", submission=tmp_path, scratch_bytes=0)


def test_unconfined_supervisor(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Should Landlock not hold, the program is not started, and nobody is sent a signal."""
    plan = supervisor.Plan(
        grader_pid=os.getpid(),
        user_id=None,
        directory=str(tmp_path / "sandbox"),
        sources=[],
        rules=[],
        call_filter="",
        scratch="scratch",
        scratch_bytes=0,
        command=[],
        environment={},
    )
    (tmp_path / "sandbox").mkdir()
    sent = []
    kill = os.kill

    def record(pid: int, number: int) -> None:
        sent.append((pid, number))
        assert number == 0
        kill(pid, number)

    monkeypatch.setattr(supervisor, "confine_signals", lambda: None)
    monkeypatch.setattr(supervisor, "set_process_option", lambda *_: None)
    monkeypatch.setattr(sys, "argv", ["supervisor", json.dumps(plan._asdict())])
    monkeypatch.setattr(os, "kill", record)
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    try:
        with pytest.raises(OSError, match="lets signals out"):
            supervisor.main()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    assert sent == [(os.getpid(), 0)]
