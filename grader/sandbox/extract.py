"""Ask a submission every question in the sandbox.

This module does not import torch, which loads while the sandbox works.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath
from typing import Self

from grader.assignment.records import Limits
from grader.errors import MessageError, SandboxError
from grader.intake.submission import Submission
from grader.models.questions import Extraction, Question
from grader.results import CapturedOutput
from grader.sandbox.alone import AloneConnection
from grader.sandbox.connection import Allowance, Connection, ConnectionEndedError
from grader.sandbox.decode import decode_end, decode_reply, encode_command
from grader.sandbox.explain import (
    explain_breach,
    explain_end,
    explain_protocol,
    explain_submission_timeout,
)
from grader.sandbox.isolation.choice import Sandbox
from grader.sandbox.isolation.interface import SandboxedProcess
from grader.sandbox.protocol import COMMAND, END, OUTPUT, READY, REPLY, RESULT, WorkerLimits
from grader.sandbox.wire import EndMessage
from grader.text import clean_block

WORKER = (
    "import sys; sys.path.insert(0, sys.argv[1]); import grader.sandbox.worker.{} as m; m.main()"
)
"""The program of a worker; its module is `manager` or `alone`."""
START_SECONDS = 180.0
"""Timeout of the trusted imports, before any student code runs; a cold disk is slow."""
GRACE_SECONDS = 3.0
"""The manager in the sandbox ends a question first; this side waits this much longer."""
END_BYTES = 10_000
ADDRESS_SPACE_BYTES = 500_000_000
"""Address space on top of the memory budget: libraries and thread stacks map more than they use."""


class ExtractionStoppedError(Exception):
    """The caller asked to stop."""


def extract(
    submission: Submission,
    questions: Sequence[Question],
    *,
    limits: Limits,
    sandbox: Sandbox,
    on_question: Callable[[Question], None] | None = None,
    stop: threading.Event | None = None,
) -> tuple[Extraction, ...]:
    """Return the answers, in the order of the questions; `on_question` is called before each.

    Raises:
        SandboxError: the sandbox does not start here.
        ExtractionStoppedError: `stop` was set.
    """
    extractions = []
    with Interview(submission=submission, limits=limits, sandbox=sandbox, stop=stop) as interview:
        for question in questions:
            if on_question is not None:
                on_question(question)
            extractions.append(interview.ask(question))
    return tuple(extractions)


@dataclass(kw_only=True)
class Worker:
    """A running worker, and its memory before any student code ran."""

    connection: Connection | AloneConnection
    memory_bytes: int
    address_bytes: int
    data_bytes: int  # private writable memory; 0 if unknown
    cleanup: ExitStack


@dataclass(kw_only=True)
class Interview:
    """All questions to one submission; `with` ends the sandbox, and workers started ahead.

    A new worker starts whenever one was lost. Each question may depend on earlier answers.
    """

    submission: Submission
    limits: Limits
    sandbox: Sandbox
    stop: threading.Event | None = None
    worker: Worker | None = None
    ahead: deque[SandboxedProcess] = field(default_factory=deque)
    deadline: float | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()
        while self.ahead:
            with self.ahead.popleft():
                pass

    def ask(self, question: Question) -> Extraction:
        """Return the answer to one question, or its failure.

        Raises:
            SandboxError: the sandbox does not start here.
            ExtractionStoppedError: `stop` was set.
        """
        if question.file not in self.submission.files:
            if question.optional:
                return Extraction(question=question)
            absence = self.submission.explain_absence(question.file)
            return Extraction(question=question, failure=absence)
        if self._is_out_of_time():
            return Extraction(question=question, failure=explain_submission_timeout(self.limits))
        started = time.monotonic()
        worker = self.worker or self.start()
        self.worker = worker
        if self.deadline is not None and not self.sandbox.has_manager:
            self.deadline += time.monotonic() - started  # not time of the student's code
        if self.deadline is None:
            self.deadline = time.monotonic() + self.limits.submission_seconds
        try:
            return self._converse(worker, question)
        except ConnectionEndedError as error:
            self.close()
            limits = _limits_of(question, self.limits)
            failure = explain_breach(error.breach, question, limits)
            if error.breach == "timeout" and self._is_out_of_time():
                failure = explain_submission_timeout(self.limits)
            return Extraction(question=question, failure=failure)

    def _is_out_of_time(self) -> bool:
        return self.deadline is not None and time.monotonic() > self.deadline

    def _check_stop(self) -> None:
        if self.stop is not None and self.stop.is_set():
            raise ExtractionStoppedError

    def close(self) -> None:
        """Terminate the worker and its sandbox."""
        worker, self.worker = self.worker, None
        if worker is not None:
            worker.cleanup.close()

    def _launch(self) -> SandboxedProcess:
        """Return a worker's process, the first of those that were started ahead."""
        while len(self.ahead) <= self.sandbox.workers_ahead:
            self.launch_ahead()
        return self.ahead.popleft()

    def launch_ahead(self) -> None:
        """Begin to start a worker for later.

        Raises:
            SandboxError: the sandbox does not start here.
        """
        program = WORKER.format("manager" if self.sandbox.has_manager else "alone")
        self.ahead.append(
            self.sandbox.launch(
                program,
                submission=self.submission.root,
                scratch_bytes=self.limits.scratch_bytes,
            )
        )

    def _connect(self, process: SandboxedProcess) -> Connection | AloneConnection:
        limits = self.limits
        maximum_bytes = {
            READY: 0,
            REPLY: limits.message_bytes,
            RESULT: limits.message_bytes,
            OUTPUT: limits.output_bytes,
            END: END_BYTES,
        }
        if self.sandbox.has_manager:
            return Connection(process, maximum_bytes, self._check_stop)
        return AloneConnection(process, maximum_bytes, self._check_stop, self.submission.root)

    def start(self) -> Worker:
        """Start a worker.

        Raises:
            SandboxError: the sandbox does not start here.
            ExtractionStoppedError: `stop` was set.
        """
        limits = self.limits
        process = self._launch()
        with ExitStack() as cleanup:
            cleanup.enter_context(process)
            connection = self._connect(process)
            try:
                connection.receive(READY, time.monotonic() + START_SECONDS)
            except ConnectionEndedError as error:
                raise _start_error(error, connection.diagnostics) from None
            memory_bytes = process.tree.memory_bytes()
            if self.sandbox.control_group is not None:
                # Writing to the worker's own pages copies them, so that they count twice.
                maximum_bytes = memory_bytes + limits.memory_bytes + limits.scratch_bytes
                process.cap_memory(self.sandbox.control_group, maximum_bytes)
            return Worker(
                connection=connection,
                memory_bytes=memory_bytes,
                address_bytes=process.tree.largest_bytes("vms"),
                data_bytes=process.tree.largest_bytes("data"),
                cleanup=cleanup.pop_all(),
            )

    def _converse(self, worker: Worker, question: Question) -> Extraction:
        """Ask a running worker one question, or raise `ConnectionEndedError`."""
        limits = _limits_of(question, self.limits)
        now = time.monotonic()
        remaining = max(0.1, (self.deadline or now) - now)
        seconds = min(limits.question_seconds, remaining)
        allowance = self.allowance(worker)
        deadline = now + seconds + GRACE_SECONDS
        command = encode_command(question, worker_limits(worker, limits, seconds))
        worker.connection.allow_reply(limits.message_bytes)
        worker.connection.send(COMMAND, command, deadline)
        reply, printed, ending = (
            worker.connection.receive(kind, deadline, allowance) for kind in (REPLY, OUTPUT, END)
        )
        try:
            end = decode_end(ending)
        except MessageError:
            raise ConnectionEndedError("protocol") from None
        if not end.is_clean:
            self.close()
        extraction = self._interpret(question, reply, end, limits)
        return replace(extraction, output=capture_output(question, printed, end))

    def allowance(self, worker: Worker) -> Allowance:
        """Return the resources that a worker may use before its sandbox is terminated."""
        limits = self.limits
        return Allowance(
            memory_bytes=worker.memory_bytes + limits.memory_bytes,
            tasks=limits.processes + self.sandbox.own_tasks,
            scratch_bytes=limits.scratch_bytes,
            scratch_files=limits.scratch_files + _count_entries(self.submission),
        )

    def _interpret(
        self, question: Question, reply: bytes, end: EndMessage, limits: Limits
    ) -> Extraction:
        """Combine a reply and an end into an extraction."""
        if end.reason == "done":
            try:
                return decode_reply(question, reply, limits)
            except MessageError as error:
                return Extraction(question=question, failure=explain_protocol(str(error)))
        failure = explain_end(end, question, limits)
        if end.reason == "timeout" and self._is_out_of_time():
            failure = explain_submission_timeout(self.limits)
        return Extraction(question=question, failure=failure)


def _count_entries(submission: Submission) -> int:
    """Return the number of files and directories that the worker puts into scratch."""
    paths = [PurePosixPath(file) for file in submission.files]
    return len(paths) + len({parent for path in paths for parent in path.parents})


def _limits_of(question: Question, limits: Limits) -> Limits:
    """Return the limits with the time and the size of the answer that this question may take."""
    # An answer has the weights in base64, and may be half of weights.
    size = max(limits.message_bytes, 3 * question.weights_bytes)
    limits = replace(limits, message_bytes=size)
    if not question.runs_program:
        return limits
    seconds = limits.recording_seconds
    return replace(limits, question_seconds=seconds, cpu_seconds=math.ceil(seconds))


def worker_limits(
    worker: Worker, limits: Limits, seconds: float, *, call_seconds: float = 0.0
) -> WorkerLimits:
    """Return the limits of one question, as the worker enforces them."""
    return WorkerLimits(
        question_seconds=seconds,
        call_seconds=call_seconds,
        cpu_seconds=limits.cpu_seconds,
        address_bytes=worker.address_bytes + limits.memory_bytes + ADDRESS_SPACE_BYTES,
        data_bytes=worker.data_bytes + limits.memory_bytes if worker.data_bytes else 0,
        memory_bytes=limits.memory_bytes,
        processes=limits.processes,
        open_files=limits.open_files,
        scratch_bytes=limits.scratch_bytes,
        scratch_files=limits.scratch_files,
        output_bytes=limits.output_bytes,
        message_bytes=limits.message_bytes,
        message_depth=limits.message_depth,
        layers=limits.layers,
        parameters=limits.parameters,
    )


def capture_output(question: Question, printed: bytes, end: EndMessage) -> CapturedOutput | None:
    """Return what the student's code printed, or None if it printed nothing."""
    text = clean_block(printed.decode(errors="replace"))
    if not text and not end.dropped_bytes:
        return None
    return CapturedOutput(source=question.title, text=text, dropped_bytes=end.dropped_bytes)


def _start_error(error: ConnectionEndedError, diagnostics: str) -> SandboxError:
    """Explain why the worker was not ready before any student code ran: the machine's fault."""
    reasons = {
        "timeout": f"it was not ready within {START_SECONDS:g} s",
        "closed": "it exited before it was ready",
    }
    reason = reasons.get(error.breach, "it did not say that it was ready")
    return SandboxError(
        "\n".join(
            ["the sandbox's worker did not start: " + reason, *diagnostics.splitlines()[-15:]]
        ),
        next_step="check that the Python that runs the grader can import torch",
    )
