"""Converse with a student's file: one process in the sandbox that answers call after call."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any, Self

import msgspec

from grader.assignment.records import Limits
from grader.errors import MessageError
from grader.intake.submission import Submission
from grader.models.failures import Failure
from grader.models.questions import Question
from grader.results import CapturedOutput
from grader.sandbox.connection import Connection, ConnectionEndedError
from grader.sandbox.decode import decode_end, decode_failure, encode_command
from grader.sandbox.explain import explain_breach, explain_end, explain_protocol
from grader.sandbox.extract import GRACE_SECONDS, Interview, Worker, capture_output, worker_limits
from grader.sandbox.isolation.choice import Sandbox
from grader.sandbox.protocol import CALL, CLOSE, COMMAND, END, OUTPUT, REPLY, RESULT
from grader.sandbox.values import Decoder, MalformedError
from grader.sandbox.wire import EndMessage

CLOSE_SECONDS = 30.0
"""Patience for the clean-up after a conversation."""


class ConversationEndedError(Exception):
    """The student's process ended, or its answer is not accepted; the conversation is over.

    Attributes:
        failure: the reason, for the student.
    """

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


class Conversations:
    """The conversations with one submission, one after the other; a context manager.

    A conversation's process never sees the files or the memory of an earlier one. The first worker
    starts on entering, and is waited for when the first conversation is opened.
    """

    def __init__(self, submission: Submission, *, limits: Limits, sandbox: Sandbox) -> None:
        self._submission = submission
        self._limits = limits
        self._interview = Interview(
            submission=submission, limits=limits, sandbox=sandbox, stop=None
        )

    def __enter__(self) -> Self:
        self._interview.launch_ahead()
        return self

    def __exit__(self, *error: object) -> None:
        self._interview.__exit__(*error)

    def open(self, file: str, *, call_seconds: float) -> Conversation:
        """Import a file in a new process.

        Raises:
            ConversationEndedError: the file is missing, or cannot be imported.
            SandboxError: the sandbox does not start here.
        """
        if file not in self._submission.files:
            raise ConversationEndedError(self._submission.explain_absence(file))
        interview = self._interview
        worker = interview.worker = interview.worker or interview.start()
        if not isinstance(worker.connection, Connection):
            raise TypeError("conversations need a sandbox whose manager relays calls")
        conversation = Conversation(
            interview, worker, worker.connection, file, self._limits, call_seconds
        )
        conversation.start()
        return conversation


class Conversation:
    """One process that has imported the student's file.

    Attributes:
        output: what the student's code printed; None before the end, or if it printed nothing.
    """

    def __init__(
        self,
        interview: Interview,
        worker: Worker,
        connection: Connection,
        file: str,
        limits: Limits,
        call_seconds: float,
    ) -> None:
        self._interview = interview
        self._worker = worker
        self._connection = connection
        self._question = Question(id=file, kind="calls", file=file, function="")
        self._limits = limits
        self._call_seconds = call_seconds
        self._is_open = False
        self._has_imported = False
        self.output: CapturedOutput | None = None

    def start(self) -> None:
        """Import the file; see `Conversations.open`."""
        seconds = self._limits.question_seconds
        limits = worker_limits(self._worker, self._limits, seconds, call_seconds=self._call_seconds)
        try:
            deadline = time.monotonic() + seconds
            command = encode_command(self._question, limits)
            self._connection.send(COMMAND, command, deadline)
            self._is_open = True
            result = self._receive(deadline, seconds)
        except ConnectionEndedError as error:
            raise self._broken(error, seconds) from None
        try:
            failure = self.find_failure(Decoder(result, _refuse).fields)
        except MalformedError as error:
            raise self._refused(error) from None
        if failure is not None:
            self.close()
            raise ConversationEndedError(failure)
        self._has_imported = True

    def call(self, message: bytes, *, seconds: float) -> bytes:
        """Send one call and return its result, both in the form of `grader.sandbox.values`.

        Args:
            message: the call.
            seconds: the remaining time of the whole test, which may be less than a call's.

        Raises:
            ConversationEndedError: the process ended, or did not answer in time.
        """
        if not self._is_open:
            raise RuntimeError("the conversation is over")
        seconds = min(seconds, self._call_seconds)
        deadline = time.monotonic() + seconds
        is_answered = False
        try:
            self._connection.send(CALL, message, deadline + GRACE_SECONDS)
            result = self._receive(deadline, seconds)
            is_answered = True
        except ConnectionEndedError as error:
            raise self._broken(error, seconds) from None
        finally:
            if self._is_open and not is_answered:  # interrupted, as by pytest-timeout
                self._abandon()
        return result

    def close(self) -> None:
        """End the process, and keep its output."""
        if not self._is_open:
            return
        self._is_open = False
        connection = self._connection
        deadline = time.monotonic() + CLOSE_SECONDS
        try:
            connection.send(CLOSE, b"", deadline)
            connection.receive(REPLY, deadline)
            self._finish(deadline)
        except (ConnectionEndedError, MessageError):
            self._interview.close()

    def refuse(self, error: MalformedError) -> ConversationEndedError:
        """Return the error for a result that is not accepted, and end the process."""
        return self._refused(error)

    def find_failure(self, fields: dict[str, Any]) -> Failure | None:
        """Return the failure in a result's fields, or None.

        Raises:
            MalformedError: it is not valid.
        """
        if "failure" not in fields:
            return None
        try:
            return decode_failure(fields["failure"])
        except MessageError as error:
            raise MalformedError(str(error)) from error

    def _receive(self, deadline: float, seconds: float) -> bytes:
        """Return the next result, or raise `ConversationEndedError` if the process ended."""
        deadline += GRACE_SECONDS
        allowance = self._interview.allowance(self._worker)
        frame = self._connection.receive_one_of((RESULT, REPLY), deadline, allowance)
        if frame.kind == RESULT:
            return frame.payload
        self._is_open = False
        try:
            end = self._finish(time.monotonic() + CLOSE_SECONDS)
        except MessageError:
            raise ConnectionEndedError("protocol") from None
        raise ConversationEndedError(self._explain(end, seconds))

    def _explain(self, end: EndMessage, seconds: float) -> Failure:
        limits = replace(self._limits, question_seconds=seconds)
        failure = explain_end(end, self._question, limits)
        if end.reason == "timeout" and self._has_imported:
            next_step = "Look for a loop that does not end for these arguments."
            return msgspec.structs.replace(failure, next_step=next_step)
        return failure

    def _finish(self, deadline: float) -> EndMessage:
        """Receive the last frames, and return the end."""
        printed = self._connection.receive(OUTPUT, deadline)
        end = decode_end(self._connection.receive(END, deadline))
        self.output = capture_output(self._question, printed, end)
        if not end.is_clean:
            self._interview.close()
        return end

    def _broken(self, error: ConnectionEndedError, seconds: float) -> ConversationEndedError:
        self._abandon()
        limits = replace(self._limits, question_seconds=seconds)
        return ConversationEndedError(explain_breach(error.breach, self._question, limits))

    def _refused(self, error: MalformedError) -> ConversationEndedError:
        self.close()
        return ConversationEndedError(explain_protocol(str(error)))

    def _abandon(self) -> None:
        """Terminate the sandbox: what its process still sends could be taken for a later answer."""
        self._is_open = False
        self._interview.close()


def _refuse(_form: dict[str, Any]) -> Any:
    raise MalformedError("an object where none belongs")
