"""Ask a submission every question, in the sandbox, whatever its code does.

This module does not import torch, so that the sandbox can work while torch is loading here.
"""

from __future__ import annotations

import signal
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NoReturn

from grader.errors import MessageError, SandboxError
from grader.messages import (
    EndMessage,
    clean_location,
    decode_end,
    decode_reply,
    encode_command,
)
from grader.plain_text import clean_block, clean_line
from grader.questions import Extraction, Failure, Question
from grader.results import CapturedOutput
from grader.sandbox.connection import Allowance, Connection, ConnectionEndedError
from grader.worker.frames import END, OUTPUT, READY, REPLY

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Sequence

    from grader.assignment import Limits
    from grader.collect import Submission
    from grader.sandbox import Sandbox, SandboxedProcess

WORKER = "import sys; sys.path.insert(0, sys.argv[1]); import grader.worker.manager as m; m.main()"
START_SECONDS = 180.0
"""Patience for the trusted imports, before any student code runs; a cold disk is slow."""
GRACE_SECONDS = 3.0
"""How much later than the manager in the sandbox the trusted side ends a question."""
END_BYTES = 10_000
ADDRESS_SPACE_BYTES = 500_000_000
"""Address space on top of the memory budget: libraries and thread stacks map more than they use."""
SANDBOX_PROCESSES = 5
"""The sandbox's own: bubblewrap twice, what starts it, and the manager."""


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
    """The answers, in the order of the questions.

    Args:
        submission: the private copy.
        questions: what to ask.
        limits: what the submission may use.
        sandbox: where its code runs.
        on_question: called before each question.
        stop: ends the extraction and all its processes soon after it is set.

    Raises:
        SandboxError: the sandbox does not start here, so nothing can be graded.
        ExtractionStoppedError: `stop` was set.
    """
    asking = _Asking(submission=submission, limits=limits, sandbox=sandbox, stop=stop)
    extractions = []
    try:
        for question in questions:
            if on_question is not None:
                on_question(question)
            extractions.append(asking.ask(question))
    finally:
        asking.close()
    return tuple(extractions)


@dataclass(kw_only=True)
class _Worker:
    """A running worker and what it took before any student code ran."""

    process: SandboxedProcess
    connection: Connection
    resident_bytes: int
    address_bytes: int


@dataclass(kw_only=True)
class _Asking:
    """The questioning of one submission; starts a new worker whenever one was lost."""

    submission: Submission
    limits: Limits
    sandbox: Sandbox
    stop: threading.Event | None
    worker: _Worker | None = None
    deadline: float | None = None

    def ask(self, question: Question) -> Extraction:
        """The answer to one question, or its failure."""
        if question.file not in self.submission.files:
            if question.optional:
                return Extraction(question=question)
            absence = self.submission.explain_absence(question.file)
            return Extraction(question=question, failure=absence)
        if self.deadline is not None and time.monotonic() > self.deadline:
            return Extraction(question=question, failure=self._out_of_time())
        worker = self.worker or self._start()
        self.worker = worker
        if self.deadline is None:
            self.deadline = time.monotonic() + self.limits.submission_seconds
        try:
            return self._converse(worker, question)
        except ConnectionEndedError as error:
            self.close()
            if error.breach == "stopped":
                raise ExtractionStoppedError from None
            return Extraction(question=question, failure=self._breach(error, question))

    def close(self) -> None:
        """End the worker and everything in its sandbox."""
        worker, self.worker = self.worker, None
        if worker is not None:
            worker.process.__exit__(None, None, None)

    def _start(self) -> _Worker:
        limits = self.limits
        process = self.sandbox.launch(
            WORKER, submission=self.submission.root, scratch_bytes=limits.scratch_bytes
        )
        try:
            connection = Connection(
                process,
                {
                    READY: 0,
                    REPLY: limits.message_bytes,
                    OUTPUT: limits.output_bytes,
                    END: END_BYTES,
                },
                stopped=self.stop.is_set if self.stop is not None else lambda: False,
            )
            frame = connection.receive(time.monotonic() + START_SECONDS)
            if frame.kind != READY:
                raise ConnectionEndedError("protocol")
            resident_bytes, address_bytes = process.tree.largest()
        except ConnectionEndedError as error:
            process.__exit__(None, None, None)
            if error.breach == "stopped":
                raise ExtractionStoppedError from None
            self._refuse_to_start(error, connection)
        except BaseException:
            process.__exit__(None, None, None)
            raise
        return _Worker(
            process=process,
            connection=connection,
            resident_bytes=resident_bytes,
            address_bytes=address_bytes,
        )

    @staticmethod
    def _refuse_to_start(error: ConnectionEndedError, connection: Connection) -> NoReturn:
        reasons = {
            "timeout": f"it was not ready within {START_SECONDS:g} s",
            "closed": "it ended before it was ready",
        }
        reason = reasons.get(error.breach, "it did not say that it was ready")
        diagnostics = connection.diagnostics[-1500:]
        raise SandboxError(
            f"the sandbox's worker did not start: {reason}" + (f"\n{diagnostics}" if diagnostics else ""),
            next_step="check that PyTorch can be imported by the Python that runs the grader",
        )

    def _converse(self, worker: _Worker, question: Question) -> Extraction:
        """One question to a running worker.

        Raises:
            ConnectionEndedError: the worker is lost.
        """
        limits = self.limits
        now = time.monotonic()
        left = max(0.1, (self.deadline or now) - now)
        seconds = min(limits.question_seconds, left)
        allowance = Allowance(
            resident_bytes=worker.resident_bytes + limits.memory_bytes,
            processes=limits.processes + SANDBOX_PROCESSES,
        )
        worker.connection.send(encode_command(question, self._worker_limits(worker, seconds)))
        deadline = now + seconds + GRACE_SECONDS
        payloads = {}
        for kind in (REPLY, OUTPUT, END):
            frame = worker.connection.receive(deadline, allowance)
            if frame.kind != kind:
                raise ConnectionEndedError("protocol")
            payloads[kind] = frame.payload
        try:
            end = decode_end(payloads[END])
        except MessageError:
            raise ConnectionEndedError("protocol") from None
        extraction = self._interpret(question, payloads[REPLY], end)
        text = clean_block(payloads[OUTPUT].decode(errors="replace"))
        if not text and not end.dropped_bytes:
            return extraction
        output = CapturedOutput(
            source=f"{question.file}: {question.function}",
            text=text,
            dropped_bytes=end.dropped_bytes,
        )
        return replace(extraction, output=output)

    def _worker_limits(self, worker: _Worker, seconds: float) -> dict[str, float]:
        limits = self.limits
        return {
            "question_seconds": seconds,
            "cpu_seconds": limits.cpu_seconds,
            "address_bytes": worker.address_bytes + limits.memory_bytes + ADDRESS_SPACE_BYTES,
            "processes": limits.processes,
            "open_files": limits.open_files,
            "scratch_bytes": limits.scratch_bytes,
            "output_bytes": limits.output_bytes,
            "message_bytes": limits.message_bytes,
            "message_depth": limits.message_depth,
            "layers": limits.layers,
            "parameters": limits.parameters,
        }

    def _interpret(self, question: Question, reply: bytes, end: EndMessage) -> Extraction:
        """The extraction that a reply and an end make together."""
        if end.reason == "done":
            try:
                return decode_reply(question, reply, self.limits)
            except MessageError as error:
                failure = _protocol_failure(str(error))
                return Extraction(question=question, failure=failure)
        return Extraction(question=question, failure=self._ended_early(question, end))

    def _ended_early(self, question: Question, end: EndMessage) -> Failure:
        """Why a question's process ended without an answer."""
        phase = clean_line(end.phase) or f"import of {question.file}"
        location = clean_location(end.location)
        limits = self.limits
        if end.reason == "exited":
            return Failure(
                kind="exit",
                phase=phase,
                message=f"Your code ended the process (exit status {end.code}) without an answer.",
                next_step="Remove os._exit() and the like; return the answer instead.",
            )
        if end.reason == "timeout":
            return Failure(
                kind="limit",
                phase=phase,
                message=f"There was no answer within {limits.question_seconds:g} s.",
                next_step=_HURRY,
                location=location,
            )
        if end.reason == "oversized":
            return Failure(
                kind="limit",
                phase=phase,
                message=f"The answer is larger than {limits.message_bytes:,} bytes.",
                next_step="Return only what is asked for.",
            )
        if end.reason == "files":
            return Failure(
                kind="limit",
                phase=phase,
                message="Your code created too many files.",
                next_step="Write no files where only an answer is asked for.",
            )
        if end.reason == "signalled":
            return _signal_failure(-end.code, phase, limits)
        return _protocol_failure("something other than an answer on the answer's channel", phase)

    def _out_of_time(self) -> Failure:
        return Failure(
            kind="limit",
            phase="start",
            message=(
                f"The {self.limits.submission_seconds:g} s for all questions of a submission were "
                "used up before this one."
            ),
            next_step=_HURRY,
        )

    def _breach(self, error: ConnectionEndedError, question: Question) -> Failure:
        """Why the worker had to be ended, or ended."""
        limits = self.limits
        phase = f"{question.file}: {question.function}"
        if error.breach == "memory":
            return Failure(
                kind="limit",
                phase=phase,
                message=(
                    f"Your code used more than {limits.memory_bytes / 1e6:,.0f} MB of memory, not "
                    "counting what PyTorch itself takes."
                ),
                next_step="Build only the model; make layers smaller, and load no data set here.",
            )
        if error.breach == "processes":
            return Failure(
                kind="limit",
                phase=phase,
                message=f"Your code started more than {limits.processes} processes or threads.",
                next_step="Start no processes; only an answer is asked for.",
            )
        if error.breach == "timeout":
            return Failure(
                kind="limit",
                phase=phase,
                message=f"There was no answer within {limits.question_seconds:g} s.",
                next_step=_HURRY,
            )
        if error.breach == "protocol":
            return _protocol_failure("something other than an answer", phase)
        return Failure(
            kind="crash",
            phase=phase,
            message="The process that runs your code was killed while it was asked this.",
            next_step="Remove what sends signals to, or ends, other processes.",
        )


_HURRY = (
    "Look for a loop without an end, and for training that runs at import: move it under "
    'if __name__ == "__main__":.'
)


def _signal_failure(number: int, phase: str, limits: Limits) -> Failure:
    """What a signal that ended a question's process means."""
    try:
        name = signal.Signals(number).name
    except ValueError:
        name = f"signal {number}"
    if name == "SIGXCPU":
        return Failure(
            kind="limit",
            phase=phase,
            message=f"Your code used more than {limits.cpu_seconds} s of processor time.",
            next_step=_HURRY,
        )
    if name == "SIGXFSZ":
        return Failure(
            kind="limit",
            phase=phase,
            message=f"Your code wrote a file of more than {limits.scratch_bytes:,} bytes.",
            next_step="Write no files where only an answer is asked for.",
        )
    return Failure(
        kind="crash",
        phase=phase,
        message=f"The process that ran your code died of {name}.",
        next_step="Run this call on your own machine; look for what crashes Python itself.",
    )


def _protocol_failure(detail: str, phase: str = "reading of the answer") -> Failure:
    return Failure(
        kind="protocol",
        phase=phase,
        message=f"The grader received {clean_line(detail)[:300]}, and does not accept it.",
        next_step="Return the answer from the function; write to no file descriptor yourself.",
    )
