"""The self-test of a sandbox: try to break each promise, since versions prove nothing."""

from __future__ import annotations

import contextlib
import json
import os
import select
import socket
import tempfile
import time
from pathlib import Path

from grader.errors import SandboxError
from grader.sandbox.isolation.interface import Sandbox, SandboxedProcess

PATIENCE_SECONDS = 20.0
SCRATCH_BYTES = 1_000_000

PROBE = """
import ctypes, json, os, resource, socket, sys, time
code, submission, scratch, _ = sys.argv[1:5]

def fails(action):
    try:
        action()
    except OSError:
        return True
    return False

def connect():
    with socket.socket() as client:
        client.settimeout(2)
        client.connect(("127.0.0.1", request["port"]))

def send():
    for end in socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM):
        with end:
            end.sendto(b"x", request["mailbox"])

def change_mode_by_newest_call():
    fchmodat2 = 452
    if ctypes.CDLL(None).syscall(fchmodat2, -1, os.fsencode(request["secret"]), 0o600, 0):
        raise OSError

def change_priority():
    os.setpriority(os.PRIO_PROCESS, request["pid"], os.getpriority(os.PRIO_PROCESS, request["pid"]))

faults = {
    "can read a private file of the grader": not fails(lambda: open(request["secret"]).read()),
    "can see the grader's environment": "GRADER_SELF_TEST" in os.environ or not fails(
        lambda: open("/proc/1/environ").read()
    ),
    "can reach the network": not fails(connect),
    "can reach a socket that has a path": not fails(send),
    "can change the mode, times or attributes of a file of the grader": any(
        not fails(action) for action in (
            lambda: os.chmod(request["secret"], 0o600),
            lambda: os.utime(request["secret"]),
            lambda: os.setxattr(request["secret"], "user.grader", b"x"),
            change_mode_by_newest_call,
        )
    ),
    "can write outside its scratch directory": any(
        not fails(lambda: open(path + "/grader-self-test", "w").close())
        for path in (submission, code, "/", "/usr", "/etc", "/dev", "/var/tmp")
    ),
    "can send signals to other processes": not fails(lambda: os.kill(request["pid"], 0)),
    "can change other processes": any(
        not fails(action) for action in (
            lambda: resource.prlimit(request["pid"], resource.RLIMIT_CORE),
            change_priority,
        )
    ),
    "cannot read the submission": fails(lambda: open(submission + "/canary").read()),
    "cannot write to its scratch directory": fails(lambda: open(scratch + "/x", "w").close()),
    "cannot start a process": os.waitpid(os.posix_spawn(
        sys.executable, [sys.executable, "-I", "-S", "-c", ""], {}
    ), 0)[1] != 0,
}
# The daemon is there before the answer, so that whoever ends the sandbox then must find it.
if os.fork() == 0:
    os.setsid()
else:
    print(json.dumps([fault for fault, found in faults.items() if found]), flush=True)
time.sleep(60)
"""


def find_fault(sandbox: Sandbox) -> str | None:
    """Return the first broken promise in a few words, or None.

    A probe inside tries to read or change a private file, the environment and other processes, to
    reach sockets and to write elsewhere. Then killing the sandbox must kill all its processes.
    """
    with (
        tempfile.TemporaryDirectory(prefix="grader-self-test-") as directory,
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as mailbox,
    ):
        submission = Path(directory, "submission")
        submission.mkdir()
        Path(submission, "canary").write_text("visible")
        secret = Path(directory, "secret")
        secret.write_text("hidden")
        address = str(Path(directory, "mailbox"))
        # A path of more than 107 bytes cannot be bound, nor be reached.
        with contextlib.suppress(OSError):
            mailbox.bind(address)
        request = {
            "mailbox": address,
            "secret": str(secret),
            "port": server.getsockname()[1],
            "pid": os.getpid(),
        }
        os.environ["GRADER_SELF_TEST"] = "hidden"
        try:
            with sandbox.launch(
                f"request = {request!r}\n{PROBE}",
                submission=submission,
                scratch_bytes=SCRATCH_BYTES,
            ) as process:
                return _find_fault_of(process)
        except SandboxError as error:
            return str(error)
        finally:
            del os.environ["GRADER_SELF_TEST"]


def _find_fault_of(process: SandboxedProcess) -> str | None:
    answer = b""
    deadline = time.monotonic() + PATIENCE_SECONDS
    poller = select.poll()
    poller.register(process.replies, select.POLLIN)
    # Until the first line, the end of the output, or the deadline.
    while b"\n" not in answer and poller.poll(max(0.0, deadline - time.monotonic()) * 1000):
        data = os.read(process.replies.fileno(), 4096)
        if not data:
            break
        answer += data
    try:
        faults = json.loads(answer)
    except ValueError:
        errors = answer or process.diagnostics.read(2000)
        return f"it does not start: {errors.decode(errors='replace').strip()}"
    return str(faults[0]) if faults else None
