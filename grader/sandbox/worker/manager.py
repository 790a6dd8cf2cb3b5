"""The worker's main loop: one forked process for each question, so that none can harm the next.

The manager never imports student code. It relays answers, enforces limits, kills what the
student's code started, and empties the scratch directory. The grader trusts none of it.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from grader.sandbox.protocol import (
    CALL,
    CLOSE,
    COMMAND,
    END,
    HEADER,
    MAXIMUM_CALL_BYTES,
    OUTPUT,
    PHASE,
    READY,
    REPLY,
    RESULT,
    Frame,
    FrameError,
    FrameReader,
    OwnResources,
    WorkerLimits,
    write_frame,
)
from grader.sandbox.worker.failures import running_line
from grader.sandbox.worker.preload import garbage_collection_paused, preload_heavy_modules
from grader.sandbox.worker.processes import (
    exit_with_parent,
    kill_descendants,
    kill_every_other_process,
    limit_resources,
    send_kill,
)
from grader.sandbox.worker.scratch import count_files, empty, give_files

POLL_SECONDS = 0.02
READ_BYTES = 65536
MAXIMUM_COMMAND_BYTES = 100_000
MAXIMUM_PHASE_BYTES = 500
TRACE_BYTES = 8192
# A program that is recorded has os._exit() replaced; see `recording.surroundings`.
_exit = os._exit
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - a private one


@dataclass(frozen=True, kw_only=True)
class Place:
    """The worker's surroundings."""

    submission: Path
    scratch: Path
    own: OwnResources

    def writable(self) -> list[Path]:
        """Return every directory that student code can write to, where that is known."""
        return [self.scratch, SHARED_MEMORY] if self.own.shared_memory else [self.scratch]


def main() -> None:
    """Serve questions from standard input until it ends."""
    code, submission, scratch, own = sys.argv[1:5]
    commands, replies = os.dup(0), os.dup(1)
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(2, 1)
    place = Place(
        submission=Path(submission), scratch=Path(scratch), own=OwnResources(**json.loads(own))
    )
    if not place.own.processes:
        exit_with_parent()
    if _is_abandoned(commands):
        return
    # The trusted imports, PyTorch above all, happen before any student code; forks share them.
    with garbage_collection_paused():
        from grader.sandbox.worker.calls import respond  # noqa: PLC0415

        preload_heavy_modules(place.submission)
    sys.path.remove(code)
    for name in [name for name in sys.modules if name.partition(".")[0] == "grader"]:
        del sys.modules[name]
    write_frame(replies, READY)
    grader = _Grader(commands, replies)
    while frames := grader.receive():
        for frame in frames:
            if frame.kind != COMMAND:
                continue  # sent before the grader could know that the conversation was over
            command = json.loads(frame.payload)
            limits = WorkerLimits(**command["limits"])
            run = _Run(
                place=place,
                question=command["question"],
                limits=limits,
                grader=grader,
                given_files=give_files(place.submission, place.scratch, limits.copied_bytes),
            )
            run.start(respond)
            run.follow()
            run.clean_up()
            is_clean = all(empty(directory) for directory in place.writable())
            write_frame(replies, REPLY, run.reply)
            write_frame(replies, OUTPUT, bytes(run.output))
            write_frame(replies, END, json.dumps(run.ending(is_clean=is_clean)).encode())


def _is_abandoned(commands: int) -> bool:
    """Return True if the grader has exited already, before anything watched its exit."""
    poller = select.poll()
    poller.register(commands, 0)
    return any(events & select.POLLHUP for _, events in poller.poll(0))


class _Grader:
    """The two pipes to the grader; the process of a question must not inherit them."""

    def __init__(self, commands: int, replies: int) -> None:
        self.commands = commands
        self.replies = replies
        self._reader = FrameReader(
            {COMMAND: MAXIMUM_COMMAND_BYTES, CALL: MAXIMUM_CALL_BYTES, CLOSE: 0}
        )

    def receive(self) -> list[Frame]:
        """Return the next frames, at least one; [] at the end of the pipe."""
        while data := os.read(self.commands, READ_BYTES):
            frames = list(self._reader.feed(data))
            if frames:
                return frames
        return []

    def close(self) -> None:
        """Close both pipes."""
        os.close(self.commands)
        os.close(self.replies)


@dataclass(kw_only=True)
class _Run:
    """One question being answered by a process of its own; fields as in `wire.EndMessage`.

    The process of a conversation answers calls until the grader closes the conversation.
    """

    place: Place
    question: dict[str, Any]
    limits: WorkerLimits
    grader: _Grader
    given_files: int  # entries of the scratch directory that are not the student's
    pid: int = 0
    reason: str = ""  # empty while the process runs
    code: int = 0
    phase: str = ""
    reply: bytes = b""
    output: bytearray = field(default_factory=bytearray)
    dropped_bytes: int = 0
    trace: bytes = b""  # the stack shortly before a timeout
    _pipes: dict[str, int] = field(default_factory=dict)
    _at_end: set[str] = field(default_factory=set)
    _calls: int | None = None  # the pipe to the process of a conversation
    _unsent: bytearray = field(default_factory=bytearray)
    _deadline: float | None = None  # None while nothing is asked

    def start(self, respond: Callable[..., None]) -> None:
        """Fork the question's process."""
        ends = {name: os.pipe() for name in ("frames", "output", "trace")}
        calls, self._calls = os.pipe() if self.question["kind"] == "calls" else (None, None)
        self._deadline = time.monotonic() + self.limits.question_seconds
        # Forked before any student code runs: nothing it does can reach the manager.
        self.pid = os.fork()
        if self.pid == 0:
            try:
                self.grader.close()
                for read_end, _ in ends.values():
                    os.close(read_end)
                if self._calls is not None:
                    os.close(self._calls)
                os.setsid()
                signal.signal(signal.SIGTERM, signal.SIG_DFL)
                os.dup2(ends["output"][1], 1)
                os.dup2(ends["output"][1], 2)
                os.close(ends["output"][1])
                limit_resources(self.limits, sandbox_tasks=self.place.own.tasks_of_user)
                respond(
                    question=self.question,
                    limits=self.limits,
                    submission=self.place.submission,
                    scratch=self.place.scratch,
                    frames=ends["frames"][1],
                    trace=ends["trace"][1],
                    calls=calls,
                )
                _exit(0)
            finally:
                _exit(70)
        for name, (read_end, write_end) in ends.items():
            os.close(write_end)
            os.set_blocking(read_end, False)
            self._pipes[name] = read_end
        if calls is not None and self._calls is not None:
            os.close(calls)
            os.set_blocking(self._calls, False)

    def follow(self) -> None:
        """Read frames until the end frame, the exit of the process, or its timeout."""
        reader = FrameReader({PHASE: MAXIMUM_PHASE_BYTES, **self._answers(), END: 0})
        while not self.reason:
            if self._wait_for_news() == "closed":
                self.reason = "done"
                return
            ended = self._wait(os.WNOHANG)
            self._drain()
            try:
                for frame in reader.feed(self._read("frames")):
                    if self._accept(frame):
                        return
            except FrameError as error:
                self.reason = "oversized" if error.oversized else "protocol"
                return
            if ended:
                self.reason = "signalled" if self.code < 0 else "exited"
            elif self._deadline is not None and time.monotonic() > self._deadline:
                self.reason = "timeout"
            elif self._has_too_many_files():
                self.reason = "files"

    def _answers(self) -> dict[bytes, int]:
        return {REPLY if self._calls is None else RESULT: self.limits.message_bytes}

    def _wait_for_news(self) -> Literal["closed", "open"]:
        """Wait for a pipe; relay calls from the grader until it closes the conversation."""
        # A pipe at its end is always ready, so selecting it would be a busy loop.
        open_pipes = [self._pipes[name] for name in self._pipes if name not in self._at_end]
        if self._calls is None:
            select.select(open_pipes, [], [], POLL_SECONDS)
            return "open"
        commands = self.grader.commands
        unsent = [self._calls] if self._unsent else []
        readable, writable, _ = select.select([*open_pipes, commands], unsent, [], POLL_SECONDS)
        if commands in readable:
            frames = self.grader.receive()
            for frame in frames:
                self._unsent += HEADER.pack(frame.kind, len(frame.payload)) + frame.payload
            if not frames or frames[-1].kind == CLOSE:
                return "closed"
            self._deadline = time.monotonic() + self.limits.call_seconds
            writable = [self._calls]
        # A process that is gone, or that does not read, is noticed as for any question.
        with contextlib.suppress(BrokenPipeError, BlockingIOError):
            while writable and self._unsent:
                del self._unsent[: os.write(self._calls, self._unsent)]
        return "open"

    def _accept(self, frame: Frame) -> bool:
        """Record a frame. Return True if it was the last."""
        if frame.kind == PHASE:
            self.phase = frame.payload.decode(errors="replace")
        elif frame.kind == RESULT and self._deadline is not None:
            self._deadline = None
            write_frame(self.grader.replies, RESULT, frame.payload)
        elif frame.kind == REPLY and not self.reply:
            self.reply = frame.payload
        else:
            self.reason = "done" if frame.kind == END and self.reply else "protocol"
            if self._has_too_many_files():
                self.reason = "files"
        return bool(self.reason)

    def _has_too_many_files(self) -> bool:
        maximum = self.limits.scratch_files + self.given_files
        return any(count_files(directory) > maximum for directory in self.place.writable())

    def clean_up(self) -> None:
        """Kill every process that the question left behind, and read the last output."""
        if self.place.own.processes:
            kill_every_other_process()
        else:
            send_kill(self.pid)
        # Reaped first by itself, for its exit code.
        self._wait(0)
        kill_descendants()
        self._drain()
        self.trace = self._read("trace")[:TRACE_BYTES]
        for descriptor in self._pipes.values():
            os.close(descriptor)
        if self._calls is not None:
            os.close(self._calls)

    def ending(self, *, is_clean: bool) -> dict[str, object]:
        """Return the fields of `wire.EndMessage`."""
        return {
            "reason": self.reason,
            "code": self.code,
            "phase": self.phase,
            "dropped_bytes": self.dropped_bytes,
            "is_clean": is_clean,
            "location": running_line(self.trace, self.place.submission),
        }

    def _wait(self, options: int) -> bool:
        """Reap the question's process. Return True if it has exited; keep its exit code."""
        try:
            pid, status, usage = os.wait4(self.pid, options)
        except ChildProcessError:
            return True
        if pid == 0:
            return False
        self.code = os.waitstatus_to_exitcode(status)
        used_seconds = usage.ru_utime + usage.ru_stime
        if self.code == -signal.SIGKILL and used_seconds >= self.limits.cpu_seconds:
            # The process ignored SIGXCPU, so the kernel killed it at the hard limit.
            self.code = -signal.SIGXCPU
        return True

    def _drain(self) -> None:
        """Read the output; keep its beginning, and count the rest."""
        for _ in range(64):
            data = self._read("output", once=True)
            if not data:
                return
            room = self.limits.output_bytes - len(self.output)
            self.output += data[: max(0, room)]
            self.dropped_bytes += max(0, len(data) - room)

    def _read(self, name: str, *, once: bool = False) -> bytes:
        """Return what a pipe holds now; bounded, so that a flood cannot delay the timeout."""
        received = b""
        for _ in range(1 if once else 16):
            try:
                data = os.read(self._pipes[name], READ_BYTES)
            except BlockingIOError:
                break
            if not data:
                self._at_end.add(name)
                break
            received += data
        return received
