"""The process that runs the author's tests: it loads pytest once, and forks for each submission.

Started by `grader.testing.service` as `python -P -B -m grader.testing.server PARENT SOCKET MODULES`
in a directory of its own. No code of a student's runs here, and nothing of a submission is
imported.
"""

from __future__ import annotations

import signal
import sys

from grader.kernel import die_with_parent

if __name__ == "__main__":
    # Before anything slow, in which the parent may end.
    die_with_parent(int(sys.argv[1]))
    signal.signal(signal.SIGINT, signal.SIG_IGN)

import importlib
import importlib.util
import os
import resource
import socket
import tempfile
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TypeAlias

import psutil
import pytest

from grader.errors import GraderError, MachineError
from grader.sandbox.conversation import Conversations
from grader.sandbox.worker.preload import garbage_collection_paused
from grader.testing.graded import GradedRun
from grader.testing.protocol import Finished, Message, Request, Started
from grader.testing.rehearsal import Rehearsal
from grader.testing.run import Run

PRELOADED = ("hypothesis", "hypothesis.extra.numpy", "_hypothesis_pytestplugin", "numpy.testing")
MEMORY_BYTES = 4_000_000_000
"""The memory of one run beyond that of the libraries: a test may combine large answers."""

_Pipe: TypeAlias = "Connection[Message, Request]"


def main(requests: socket.socket, modules: list[str]) -> None:
    """Fork for each descriptor that comes, until the grader closes the socket."""
    with garbage_collection_paused():
        for name in [*PRELOADED, *modules]:
            with suppress(ImportError):  # a missing module is reported where a test imports it
                importlib.import_module(name)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the forks
    server = os.getpid()
    while True:
        data, descriptors, *_ = socket.recv_fds(requests, 1, 1)
        if not data:
            return
        if os.fork() == 0:
            try:
                die_with_parent(server)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                requests.close()
                _serve(Connection(descriptors[0]))
                os._exit(0)
            finally:
                os._exit(1)
        os.close(descriptors[0])


def _serve(pipe: _Pipe) -> None:
    """Run the tests of one request."""
    pipe.send(Started(process_id=os.getpid()))
    request = pipe.recv()
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as directory:
        os.chdir(directory)
        try:
            pipe.send(_answer(request, pipe))
        except GraderError as error:
            pipe.send(error)
        except Exception as error:  # noqa: BLE001 - the author's and pytest's own code
            pipe.send(MachineError(f"the tests cannot be run: {type(error).__name__}: {error}"))


def _answer(request: Request, pipe: _Pipe) -> Message:
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    suites = {suite.tests: suite for suite in request.suites}
    if request.submission is None or request.sandbox is None:
        rehearsal = Rehearsal(suites, request.seed)
        _run_pytest(request, rehearsal)
        return rehearsal.result()
    _limit_memory()
    with Conversations(
        request.submission, limits=request.limits, sandbox=request.sandbox
    ) as conversations:
        graded = GradedRun(suites, request.seed, conversations, pipe.send)
        _run_pytest(request, graded)
        return Finished(failures=graded.failures)


def _run_pytest(request: Request, run: Run) -> None:
    # An own configuration file, so that none is looked for above the tests.
    configuration = Path("pytest.ini")
    configuration.write_text("[pytest]\n", encoding="utf-8")
    for directory in {suite.tests.parent: None for suite in request.suites}:
        sys.path.insert(0, str(directory))  # helper modules lie beside the tests
    plugins = ["_hypothesis_pytestplugin", "grader.testing.plugin"]
    if importlib.util.find_spec("pytest_timeout") is not None:
        plugins.append("pytest_timeout")
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    arguments = [
        *("-c", str(configuration.resolve()), "--rootdir", str(Path.cwd())),
        *("--strict-markers", "--import-mode=importlib", "-p", "no:cacheprovider", "-q"),
        *(argument for plugin in plugins for argument in ("-p", plugin)),
        *(str(suite.tests) for suite in request.suites),
    ]
    pytest.main(arguments, plugins=[_Named(run)])


class _Named:
    """Registers the run under the name that the fixture `student` looks for."""

    def __init__(self, run: Run) -> None:
        self._run = run

    @pytest.hookimpl(tryfirst=True)
    def pytest_configure(self, config: pytest.Config) -> None:
        """Register the run."""
        from grader.testing.plugin import RUN_NAME  # noqa: PLC0415 - pytest loads it by name

        config.pluginmanager.register(self._run, RUN_NAME)


def _limit_memory() -> None:
    """Let an allocation fail before the machine runs out of memory."""
    used = psutil.Process().memory_info()
    data = getattr(used, "data", 0)
    if data:
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        wanted = data + MEMORY_BYTES
        # Only the soft limit: the worker in the sandbox sets its own.
        resource.setrlimit(
            resource.RLIMIT_DATA,
            (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard), hard),
        )


if __name__ == "__main__":
    main(socket.socket(fileno=int(sys.argv[2])), sys.argv[3:])
