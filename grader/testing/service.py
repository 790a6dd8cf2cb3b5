"""Run an author's tests on submissions, in a process of their own; starting it is paid once."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Collection, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import Self, TypeAlias

from grader.assignment.records import Assignment, FunctionsItem
from grader.errors import AssignmentError, MachineError
from grader.intake.submission import Submission
from grader.models.failures import Failure
from grader.models.questions import CaseResult, Extraction, Question
from grader.results import CheckResult
from grader.sandbox.extract import START_SECONDS, ExtractionStoppedError
from grader.sandbox.isolation.choice import Sandbox
from grader.testing.protocol import (
    Finished,
    Message,
    Ran,
    Rehearsed,
    Request,
    Started,
    Suite,
)

POLL_SECONDS = 0.2
SERVER = (sys.executable, "-P", "-B", "-m", "grader.testing.server")
"""Starts the process. -P keeps the current directory out of the import path."""
_KEPT_VARIABLES = ("PATH", "HOME", "LD_LIBRARY_PATH", "VIRTUAL_ENV")

_Pipe: TypeAlias = "Connection[Request, Message]"


class PytestService:
    """Runs the tests of an assignment; a context manager that starts the process on entering.

    Enter it in the thread that lives longest: the process ends with that thread.

    Args:
        assignment: whose tests are run.
        item_ids: the selected items.
    """

    def __init__(self, assignment: Assignment, item_ids: frozenset[str]) -> None:
        self._assignment = assignment
        items = dict(assignment.item_ids())
        self._suites = tuple(
            Suite.of(item_id, item)
            for item_id, item in items.items()
            if item_id in item_ids and isinstance(item, FunctionsItem)
        )
        self._lock = threading.Lock()
        self._rehearsing: _Pipe | None = None
        self._rehearsed: Rehearsed | None = None
        self._resources = ExitStack()

    def __enter__(self) -> Self:
        if not self._suites or not hasattr(os, "fork"):
            return self  # where nothing forks, own work is graded, and its tests are left out
        with ExitStack() as resources:
            directory = resources.enter_context(
                tempfile.TemporaryDirectory(prefix="grader-tests-", ignore_cleanup_errors=True)
            )
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
            resources.enter_context(ours)
            modules = ["torch"] if any(map(_names_torch, self._suites)) else []
            with theirs:
                process = subprocess.Popen(  # noqa: S603 - every part is the grader's own
                    [*SERVER, str(os.getpid()), str(theirs.fileno()), *modules],
                    cwd=directory,
                    env=_environment(),
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    pass_fds=[theirs.fileno()],
                )
            resources.callback(_end, process, ours)
            self._socket = ours
            self._process = process
            self._resources = resources.pop_all()
        self._rehearsing = self._ask(self._request(self._suites))
        return self

    def __exit__(self, *_error: object) -> None:
        if self._rehearsing is not None:
            self._rehearsing.close()
        self._resources.close()

    def require_sound_tests(self) -> Rehearsed:
        """Return the rehearsed tests.

        Raises:
            AssignmentError: the author made mistakes in the tests.
            MachineError: the tests cannot be run here.
        """
        with self._lock:
            pipe, self._rehearsing = self._rehearsing, None
            if pipe is not None:
                with pipe:
                    deadline = time.monotonic() + START_SECONDS + self._total_seconds()
                    for message in self._receive(pipe, deadline, None):
                        if isinstance(message, Rehearsed):
                            self._rehearsed = message
            rehearsed = self._rehearsed
        if rehearsed is None and self._suites:
            raise MachineError(
                "the process that runs the author's tests ended before it was ready",
                next_step="grade again; if it happens again, run pytest on the tests",
            )
        if rehearsed is not None and rehearsed.mistakes:
            raise AssignmentError(self._assignment.id, rehearsed.mistakes)
        return rehearsed or Rehearsed(mistakes=(), checks={})

    def answer(
        self,
        submission: Submission,
        sandbox: Sandbox,
        stop: threading.Event | None = None,
        *,
        only: Collection[str] | None = None,
    ) -> dict[str, Extraction]:
        """Run the tests on one submission; return an extraction for each item, by its id.

        Args:
            submission: the private copy.
            sandbox: where its code runs.
            stop: ends the run early.
            only: ids of items, or None for all.

        Raises:
            AssignmentError: the author made mistakes in the tests.
            MachineError: the tests or the sandbox cannot be run here.
            ExtractionStoppedError: `stop` was set.
        """
        asked = tuple(
            _of_source(suite, submission)
            for suite in self._suites
            if only is None or suite.item_id in only
        )
        if not asked:
            return {}
        cases: dict[str, list[CaseResult]] = {suite.item_id: [] for suite in asked}
        failures: dict[str, Failure] = {}
        if sandbox.has_manager:
            # The sandbox starts while the tests are still rehearsed.
            with self._ask(self._request(asked, submission, sandbox)) as pipe:
                rehearsed = self.require_sound_tests()
                deadline = time.monotonic() + START_SECONDS + self._total_seconds()
                for message in self._receive(pipe, deadline, stop):
                    if isinstance(message, Ran):
                        cases[message.item_id].append(message.case)
                    elif isinstance(message, Finished):
                        failures = message.failures
            for item_id, found in cases.items():
                cases[item_id] = _complete(found, rehearsed.checks[item_id])
        return {
            suite.item_id: Extraction(
                question=Question(
                    id=suite.item_id, kind="tests", file=suite.file, function=suite.tests.name
                ),
                cases=tuple(cases[suite.item_id]),
                failure=failures.get(suite.item_id),
            )
            for suite in asked
        }

    def _request(
        self,
        suites: tuple[Suite, ...],
        submission: Submission | None = None,
        sandbox: Sandbox | None = None,
    ) -> Request:
        return Request(
            suites=suites,
            seed=self._assignment.seeds[0],
            limits=self._assignment.limits,
            submission=submission,
            sandbox=sandbox,
        )

    def _total_seconds(self) -> float:
        return sum(suite.item_seconds for suite in self._suites)

    def _ask(self, request: Request) -> _Pipe:
        """Have the process fork, and send the fork a request."""
        ours, theirs = Pipe()
        with theirs:
            try:
                socket.send_fds(self._socket, [b"1"], [theirs.fileno()])
            except OSError as error:
                ours.close()
                raise MachineError(f"the author's tests cannot be run: {error}") from error
        with suppress(ConnectionError):  # the end of the pipe says it
            ours.send(request)
        return ours

    def _receive(self, pipe: _Pipe, deadline: float, stop: threading.Event | None) -> list[Message]:
        """Return all messages of one fork; it is killed if it is late or no longer needed."""
        messages: list[Message] = []
        process_id = 0
        try:
            while True:
                if stop is not None and stop.is_set():
                    raise ExtractionStoppedError
                if time.monotonic() > deadline:
                    return messages
                if not pipe.poll(POLL_SECONDS):
                    continue
                message = pipe.recv()
                if isinstance(message, Exception):
                    raise message
                if isinstance(message, Started):
                    process_id = message.process_id
                else:
                    messages.append(message)
        except (EOFError, ConnectionError):
            process_id = 0
            return messages
        finally:
            if process_id:
                with suppress(ProcessLookupError):
                    os.kill(process_id, signal.SIGKILL)


def _of_source(suite: Suite, submission: Submission) -> Suite:
    """Return the tests of the submitted file that stands for the assignment's file."""
    sources = submission.sources.get(suite.file, ())
    return replace(suite, file=sources[0]) if len(sources) == 1 else suite


def _complete(cases: list[CaseResult], checks: Sequence[CheckResult]) -> list[CaseResult]:
    """Return every rehearsed test's outcome; a test that was not run is an error of the grader."""
    ran = {case.check.id: case for case in cases}
    lost = "the test was not run: the process that runs the tests ended early"
    return [ran.get(check.id) or CaseResult(check=_with_reason(check, lost)) for check in checks]


def _with_reason(check: CheckResult, reason: str) -> CheckResult:
    return replace(check, observed=reason, next_step="grade again")


def _names_torch(suite: Suite) -> bool:
    """Return True if a test file or a helper beside it names torch, so that it is worth loading."""
    pattern = re.compile(rb"^\s*(?:import|from)\s+torch\b", re.MULTILINE)
    return any(pattern.search(file.read_bytes()) for file in suite.tests.parent.glob("*.py"))


def _environment() -> dict[str, str]:
    """Return all variables of the process: the same on every machine, for the same results."""
    kept = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
    # Strings hash alike in every run; -P alone would leave the seed to chance.
    return kept | {"PYTHONHASHSEED": "0", "LANG": "C.UTF-8", "OMP_NUM_THREADS": "1"}


def _end(process: subprocess.Popen[bytes], requests: socket.socket) -> None:
    requests.close()
    process.kill()
    process.wait()
