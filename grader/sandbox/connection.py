"""Exchange frames with a sandboxed program, under deadlines and limits on its resources."""

from __future__ import annotations

import os
import select
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from grader.sandbox.isolation.interface import SandboxedProcess
from grader.sandbox.protocol import HEADER, REPLY, Frame, FrameError, FrameReader

POLL_SECONDS = 0.05
WATCH_PAUSE = SCRATCH_PAUSE = 9
"""Pause between two looks at processes or scratch files, in durations of one: a tenth of the time.
"""
READ_BYTES = 65536
DIAGNOSTIC_BYTES = 4000

Breach = Literal["timeout", "memory", "processes", "bytes", "files", "closed", "protocol"]


class ConnectionEndedError(Exception):
    """The connection is unusable; terminate the sandbox.

    Attributes:
        breach: the cause.
    """

    def __init__(self, breach: Breach) -> None:
        super().__init__(breach)
        self.breach = breach


@dataclass(frozen=True, kw_only=True)
class Allowance:
    """The resources that the sandbox may use before it is terminated.

    Attributes:
        memory_bytes: of all its processes together, as `ProcessTree.memory_bytes` counts.
        tasks: processes and threads at once.
        scratch_bytes, scratch_files: in its scratch directory.
    """

    memory_bytes: int
    tasks: int
    scratch_bytes: int
    scratch_files: int


class Connection:
    """A conversation with one sandboxed program.

    Args:
        process: whose standard input and output carry frames.
        maximum_bytes: the largest payload of each kind of frame that may come.
        check: called at every poll; raises to end the conversation.
    """

    def __init__(
        self,
        process: SandboxedProcess,
        maximum_bytes: dict[bytes, int],
        check: Callable[[], None],
    ) -> None:
        self._process = process
        self._reader = FrameReader(maximum_bytes)
        self._frames: list[Frame] = []
        self._check = check
        self._diagnostics = b""
        self._next_watch = 0.0
        self._next_scratch_watch = 0.0
        self._poller = select.poll()
        for pipe in (process.commands, process.replies, process.diagnostics):
            os.set_blocking(pipe.fileno(), False)
        for pipe in (process.replies, process.diagnostics):
            self._poller.register(pipe.fileno(), select.POLLIN)

    @property
    def diagnostics(self) -> str:
        """The program's standard error, capped: only to explain a failed start."""
        return self._diagnostics.decode(errors="replace").strip()

    def allow_reply(self, maximum_bytes: int) -> None:
        """Set the largest size of the next reply."""
        self._reader.maximum_bytes[REPLY] = maximum_bytes

    def send(self, kind: bytes, payload: bytes, deadline: float) -> None:
        """Send a frame; a program that does not read it is late.

        Raises:
            ConnectionEndedError: the program has exited, or has not read the frame in time.
        """
        descriptor = self._process.commands.fileno()
        remaining = memoryview(HEADER.pack(kind, len(payload)) + payload)
        while remaining:
            try:
                remaining = remaining[os.write(descriptor, remaining) :]
            except BlockingIOError:
                self._check()
                if time.monotonic() > deadline:
                    raise ConnectionEndedError("timeout") from None
                select.select([], [descriptor], [], POLL_SECONDS)
            except BrokenPipeError:
                raise ConnectionEndedError("closed") from None

    def receive(self, kind: bytes, deadline: float, allowance: Allowance | None = None) -> bytes:
        """Return the payload of the next frame, which must be of this kind.

        The deadline is on the clock of `time.monotonic`.

        Raises:
            ConnectionEndedError: no such frame arrived in time, or a limit was exceeded.
        """
        return self.receive_one_of((kind,), deadline, allowance).payload

    def receive_one_of(
        self, kinds: Sequence[bytes], deadline: float, allowance: Allowance | None = None
    ) -> Frame:
        """Return the next frame, which must be of one of the kinds; see `receive`."""
        while not self._frames:
            self._check()
            is_late = time.monotonic() > deadline
            if allowance is not None and not is_late:
                self._watch(allowance)
            # A frame that arrived in time counts, even if this process was too busy to read it.
            if not self._read(0.0 if is_late else POLL_SECONDS) and is_late:
                raise ConnectionEndedError("timeout")
        frame = self._frames.pop(0)
        if frame.kind not in kinds:
            raise ConnectionEndedError("protocol")
        return frame

    def _watch(self, allowance: Allowance) -> None:
        started = time.monotonic()
        if started < self._next_watch:
            return
        tree = self._process.tree
        if tree.count_tasks() > allowance.tasks:
            raise ConnectionEndedError("processes")
        if tree.memory_bytes(enough=allowance.memory_bytes) > allowance.memory_bytes:
            raise ConnectionEndedError("memory")
        self._watch_scratch(allowance)
        # On a machine with many processes, finding those of the sandbox takes long.
        finished = time.monotonic()
        self._next_watch = finished + max(POLL_SECONDS, WATCH_PAUSE * (finished - started))

    def _watch_scratch(self, allowance: Allowance) -> None:
        started = time.monotonic()
        if started < self._next_scratch_watch:
            return
        excess = self._process.find_scratch_excess(
            maximum_bytes=allowance.scratch_bytes, maximum_files=allowance.scratch_files
        )
        if excess is not None:
            raise ConnectionEndedError(excess)
        # Counting many files takes long, and slows down the processes that write to them.
        finished = time.monotonic()
        self._next_scratch_watch = finished + SCRATCH_PAUSE * (finished - started)

    def _read(self, seconds: float) -> bool:
        """Read output for at most this long. Return True if any of it carries frames."""
        replies, diagnostics = self._process.replies.fileno(), self._process.diagnostics.fileno()
        ready = [descriptor for descriptor, _ in self._poller.poll(1000 * seconds)]
        if diagnostics in ready:
            data = os.read(diagnostics, READ_BYTES)
            self._diagnostics = (self._diagnostics + data)[:DIAGNOSTIC_BYTES]
            if not data:
                # At its end it is always ready: waiting for it would be a busy loop.
                self._poller.unregister(diagnostics)
        if replies not in ready:
            return False
        data = os.read(replies, READ_BYTES)
        if not data:
            raise ConnectionEndedError("memory" if self._process.has_hit_memory_cap() else "closed")
        try:
            self._frames += self._reader.feed(data)
        except FrameError:
            raise ConnectionEndedError("protocol") from None
        return True
