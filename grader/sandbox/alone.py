"""Ask an interpreter its only question, where no sandbox with a manager is.

What the manager sees inside a sandbox is seen from here. Threads read the pipes, because Windows
can wait for sockets only.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, Literal, cast

from grader.sandbox.connection import (
    POLL_SECONDS,
    READ_BYTES,
    Allowance,
    ConnectionEndedError,
)
from grader.sandbox.isolation.interface import SandboxedProcess
from grader.sandbox.protocol import (
    END,
    OUTPUT,
    PHASE,
    READY,
    REPLY,
    Frame,
    FrameError,
    FrameReader,
    write_frame,
)
from grader.sandbox.worker.failures import running_line

MAXIMUM_PHASE_BYTES = 500
TRACE_BYTES = 8192
JOIN_SECONDS = 2.0
"""Wait for the last output. A process that was left behind may keep the pipe open for ever."""
_NTSTATUS_ERRORS = 0xC0000000
_CRASHES = {0xC0000005: signal.SIGSEGV, 0xC00000FD: signal.SIGSEGV}
"""Access violation and stack overflow (Microsoft, [MS-ERREF] 2.3.1 NTSTATUS values)."""

_Stop = Literal["closed", "oversized", "protocol"]


class AloneConnection:
    """A conversation of one question; `Connection` is its counterpart for sandboxes.

    Args:
        process: whose standard input and output carry frames, and whose standard error is what
            the student's code prints.
        maximum_bytes: the largest payload of each kind of frame, and of the output that is kept.
        check: called at every poll; raises to end the conversation.
        submission: the directory whose lines a timeout may name.
    """

    def __init__(
        self,
        process: SandboxedProcess,
        maximum_bytes: dict[bytes, int],
        check: Callable[[], None],
        submission: Path,
    ) -> None:
        self._process = process
        self._check = check
        self._submission = submission
        self._frames: queue.SimpleQueue[Frame | _Stop] = queue.SimpleQueue()
        self._printed = bytearray()
        self._dropped_bytes = 0
        self._output_bytes = maximum_bytes[OUTPUT]
        self._tasks_before = 0
        self._answers: dict[bytes, bytes] = {}
        self._reader = FrameReader(
            {
                READY: 0,
                PHASE: MAXIMUM_PHASE_BYTES,
                REPLY: maximum_bytes[REPLY],
                END: 0,
            }
        )
        self._threads = [
            threading.Thread(target=self._read_frames, args=[self._reader], daemon=True),
            threading.Thread(target=self._read_output, daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    @property
    def diagnostics(self) -> str:
        """The program's standard error, capped: only to explain a failed start."""
        return self._printed.decode(errors="replace").strip()

    def allow_reply(self, maximum_bytes: int) -> None:
        """Set the largest size of the next reply."""
        self._reader.maximum_bytes[REPLY] = maximum_bytes

    def send(self, kind: bytes, payload: bytes, _deadline: float) -> None:
        """Send a frame.

        Raises:
            ConnectionEndedError: the program has exited.
        """
        try:
            write_frame(self._process.commands.fileno(), kind, payload)
        except OSError:
            raise ConnectionEndedError("closed") from None

    def receive(self, kind: bytes, deadline: float, allowance: Allowance | None = None) -> bytes:
        """Return READY's payload, or, once the question has ended, that of REPLY, OUTPUT or END.

        The deadline is on the clock of `time.monotonic`.

        Raises:
            ConnectionEndedError: the program is not ready in time, or a limit was exceeded.
        """
        if kind == READY:
            self._wait_until_ready(deadline)
        elif not self._answers:
            self._follow(deadline, allowance)
        return self._answers.get(kind, b"")

    def _wait_until_ready(self, deadline: float) -> None:
        frame = self._next_frame()
        while frame is None:
            if time.monotonic() > deadline:
                raise ConnectionEndedError("timeout")
            frame = self._next_frame()
        if not isinstance(frame, Frame) or frame.kind != READY:
            self._threads[1].join(JOIN_SECONDS)
            raise ConnectionEndedError("closed" if frame == "closed" else "protocol")
        self._printed.clear()
        self._tasks_before = self._process.tree.count_tasks()

    def _follow(self, deadline: float, allowance: Allowance | None) -> None:
        """Wait for the answer, a timeout or the end of the process; then end all of it."""
        reply, phase, reason = b"", "", ""
        while not reason:
            frame = self._next_frame()
            if frame is None or (isinstance(frame, Frame) and frame.kind == PHASE):
                phase = frame.payload.decode(errors="replace") if frame else phase
                if allowance is not None:
                    self._watch(allowance)
                reason = "timeout" if time.monotonic() > deadline else ""
            elif not isinstance(frame, Frame):
                reason = frame
            elif frame.kind == REPLY and not reply:
                reply = frame.payload
            else:
                reason = "done" if frame.kind == END and reply else "protocol"
        code = 0
        if reason == "closed":
            reason, code = describe_exit(self._process.wait())
        self._end()
        ending = {
            "reason": reason,
            "code": code,
            "phase": phase,
            "dropped_bytes": self._dropped_bytes,
            "is_clean": False,  # this interpreter answers no further question
            "location": self._location() if reason == "timeout" else "",
        }
        self._answers = {
            REPLY: reply,
            OUTPUT: bytes(self._printed).replace(b"\r\n", b"\n"),
            END: json.dumps(ending).encode(),
        }

    def _watch(self, allowance: Allowance) -> None:
        tree = self._process.tree
        if tree.count_tasks() - self._tasks_before > allowance.tasks:
            raise ConnectionEndedError("processes")
        if tree.memory_bytes(enough=allowance.memory_bytes) > allowance.memory_bytes:
            raise ConnectionEndedError("memory")

    def _end(self) -> None:
        """Kill every process, and wait for the last output."""
        self._process.tree.kill()
        for thread in self._threads:
            thread.join(JOIN_SECONDS)

    def _location(self) -> str:
        """Return the innermost line of the student's files in a faulthandler dump."""
        trace = b""
        if self._process.trace is not None:
            with contextlib.suppress(OSError), self._process.trace.open("rb") as file:
                trace = file.read(TRACE_BYTES)
        return running_line(trace, self._submission)

    def _next_frame(self) -> Frame | _Stop | None:
        """Return the next frame or the reason why none comes; None if there is none yet."""
        self._check()
        with contextlib.suppress(queue.Empty):
            return self._frames.get(timeout=POLL_SECONDS)
        return None

    def _read_frames(self, reader: FrameReader) -> None:
        try:
            for data in _chunks(self._process.replies):
                for frame in reader.feed(data):
                    self._frames.put(frame)
        except FrameError as error:
            self._frames.put("oversized" if error.oversized else "protocol")
        self._frames.put("closed")

    def _read_output(self) -> None:
        for data in _chunks(self._process.diagnostics):
            room = max(0, self._output_bytes - len(self._printed))
            self._printed += data[:room]
            self._dropped_bytes += len(data) - len(data[:room])


def describe_exit(code: int) -> tuple[str, int]:
    """Return the reason and the code of `wire.EndMessage` for a process that ended by itself."""
    if code >= _NTSTATUS_ERRORS:  # Windows' signals
        return "signalled", -_CRASHES.get(code, signal.SIGABRT)
    return ("signalled", code) if code < 0 else ("exited", code & 0xFF)


def _chunks(pipe: object) -> Iterator[bytes]:
    """Yield what comes until the pipe's other end is closed, or this one."""
    with contextlib.suppress(OSError, ValueError):
        while data := os.read(cast("BinaryIO", pipe).fileno(), READ_BYTES):
            yield data
