"""Exchange frames with a sandboxed program, under deadlines and limits on its resources."""

from __future__ import annotations

import os
import selectors
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from grader.sandbox.isolation.interface import SandboxedProcess
from grader.sandbox.protocol import COMMAND, Frame, FrameError, FrameReader, write_frame

POLL_SECONDS = 0.05
SCRATCH_PAUSE = 9
"""Pause between two counts of scratch files, in durations of the count: a tenth of the time."""
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
        for pipe in (process.replies, process.diagnostics):
            os.set_blocking(pipe.fileno(), False)

    @property
    def diagnostics(self) -> str:
        """The program's standard error, capped: only to explain a failed start."""
        return self._diagnostics.decode(errors="replace").strip()

    def send(self, payload: bytes) -> None:
        """Send one command.

        Raises:
            ConnectionEndedError: the program has exited.
        """
        try:
            write_frame(self._process.commands.fileno(), COMMAND, payload)
        except BrokenPipeError:
            raise ConnectionEndedError("closed") from None

    def receive(self, kind: bytes, deadline: float, allowance: Allowance | None = None) -> bytes:
        """Return the payload of the next frame, which must be of this kind.

        The deadline is on the clock of `time.monotonic`.

        Raises:
            ConnectionEndedError: no such frame arrived in time, or a limit was exceeded.
        """
        while not self._frames:
            self._check()
            is_late = time.monotonic() > deadline
            if allowance is not None and not is_late:
                self._watch(allowance)
            # A frame that arrived in time counts, even if this process was too busy to read it.
            if not self._read(0.0 if is_late else POLL_SECONDS) and is_late:
                raise ConnectionEndedError("timeout")
        frame = self._frames.pop(0)
        if frame.kind != kind:
            raise ConnectionEndedError("protocol")
        return frame.payload

    def _watch(self, allowance: Allowance) -> None:
        if time.monotonic() < self._next_watch:
            return
        self._next_watch = time.monotonic() + POLL_SECONDS
        tree = self._process.tree
        if tree.count_tasks() > allowance.tasks:
            raise ConnectionEndedError("processes")
        if tree.memory_bytes(enough=allowance.memory_bytes) > allowance.memory_bytes:
            raise ConnectionEndedError("memory")
        self._watch_scratch(allowance)

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
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.replies, selectors.EVENT_READ)
            selector.register(self._process.diagnostics, selectors.EVENT_READ)
            ready = [key.fileobj for key, _ in selector.select(seconds)]
        if self._process.diagnostics in ready:
            data = os.read(self._process.diagnostics.fileno(), READ_BYTES)
            self._diagnostics = (self._diagnostics + data)[:DIAGNOSTIC_BYTES]
            if not data and self._process.replies not in ready:
                # At its end it is always ready: without a pause this would be a busy loop.
                time.sleep(POLL_SECONDS)
        if self._process.replies not in ready:
            return False
        data = os.read(self._process.replies.fileno(), READ_BYTES)
        if not data:
            raise ConnectionEndedError("memory" if self._process.has_hit_memory_cap() else "closed")
        try:
            self._frames += self._reader.feed(data)
        except FrameError:
            raise ConnectionEndedError("protocol") from None
        return True
