"""The worker's main loop: one forked process for each question, so that none can harm the next.

The manager never imports student code. It relays answers, enforces limits, kills what the
student's code started, and empties the scratch directory. The grader trusts none of it.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from grader.sandbox.protocol import (
    COMMAND,
    END,
    OUTPUT,
    PHASE,
    READY,
    REPLY,
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
        from grader.sandbox.worker.answer import answer_question  # noqa: PLC0415

        preload_heavy_modules(place.submission)
    sys.path.remove(code)
    for name in [name for name in sys.modules if name.partition(".")[0] == "grader"]:
        del sys.modules[name]
    write_frame(replies, READY)
    reader = FrameReader({COMMAND: MAXIMUM_COMMAND_BYTES})
    while data := os.read(commands, READ_BYTES):
        for frame in reader.feed(data):
            command = json.loads(frame.payload)
            limits = WorkerLimits(**command["limits"])
            run = _Run(
                place=place,
                question=command["question"],
                limits=limits,
                close=(commands, replies),
                given_files=give_files(place.submission, place.scratch, limits.copied_bytes),
            )
            run.start(answer_question)
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


@dataclass(kw_only=True)
class _Run:
    """One question being answered by a process of its own; fields as in `wire.EndMessage`."""

    place: Place
    question: dict[str, Any]
    limits: WorkerLimits
    close: tuple[int, ...]  # descriptors that the question's process must not inherit
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

    def start(self, answer_question: Callable[..., None]) -> None:
        """Fork the question's process."""
        ends = {name: os.pipe() for name in ("frames", "output", "trace")}
        # Forked before any student code runs: nothing it does can reach the manager.
        self.pid = os.fork()
        if self.pid == 0:
            try:
                for descriptor in self.close:
                    os.close(descriptor)
                for read_end, _ in ends.values():
                    os.close(read_end)
                os.setsid()
                signal.signal(signal.SIGTERM, signal.SIG_DFL)
                os.dup2(ends["output"][1], 1)
                os.dup2(ends["output"][1], 2)
                os.close(ends["output"][1])
                limit_resources(self.limits, sandbox_tasks=self.place.own.tasks_of_user)
                answer_question(
                    question=self.question,
                    limits=self.limits,
                    submission=self.place.submission,
                    scratch=self.place.scratch,
                    frames=ends["frames"][1],
                    trace=ends["trace"][1],
                )
                _exit(0)
            finally:
                _exit(70)
        for name, (read_end, write_end) in ends.items():
            os.close(write_end)
            os.set_blocking(read_end, False)
            self._pipes[name] = read_end

    def follow(self) -> None:
        """Read frames until the end frame, the exit of the process, or its timeout."""
        deadline = time.monotonic() + self.limits.question_seconds
        reader = FrameReader({PHASE: MAXIMUM_PHASE_BYTES, REPLY: self.limits.message_bytes, END: 0})
        while not self.reason:
            # A pipe at its end is always ready, so selecting it would be a busy loop.
            open_pipes = [self._pipes[name] for name in self._pipes if name not in self._at_end]
            select.select(open_pipes, [], [], POLL_SECONDS)
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
            elif time.monotonic() > deadline:
                self.reason = "timeout"
            elif self._has_too_many_files():
                self.reason = "files"

    def _accept(self, frame: Frame) -> bool:
        """Record a frame. Return True if it was the last."""
        if frame.kind == PHASE:
            self.phase = frame.payload.decode(errors="replace")
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
