"""The protocol between the grader and the worker in the sandbox; both sides import this module.

A frame is one byte of kind, four bytes of length (big-endian), then the payload. This module needs
only the standard library, since nothing else of the grader is in the sandbox.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass

HEADER = struct.Struct(">cI")

READY = b"1"
"""From the worker, once, without payload: the trusted imports are done."""
PHASE = b"P"
"""From a question's process: the next step, as UTF-8 text."""
REPLY = b"R"
"""The answer, as JSON."""
OUTPUT = b"O"
"""The bytes that the student's code printed."""
END = b"E"
"""The last frame of a question: empty from its process; from the manager its ending, as JSON."""
COMMAND = b"Q"
"""To the worker: one question and its limits, as JSON."""
CALL = b"C"
"""To the process of a conversation: one call, in the form of `grader.sandbox.values`."""
RESULT = b"V"
"""From the process of a conversation: the result of one call, or of the import, in that form."""
CLOSE = b"X"
"""To the worker, without payload: the conversation is over."""
MAXIMUM_CALL_BYTES = 64_000_000


class FrameError(Exception):
    """A frame of an unexpected kind, or larger than its kind allows.

    Attributes:
        oversized: only the size was unexpected.
    """

    def __init__(self, message: str, *, oversized: bool = False) -> None:
        super().__init__(message)
        self.oversized = oversized


@dataclass(frozen=True, kw_only=True)
class Frame:
    """One message."""

    kind: bytes
    payload: bytes


class FrameReader:
    """Cut a stream of bytes into frames, and refuse a frame before its payload is stored.

    Args:
        maximum_bytes: the largest payload of every expected kind.
    """

    def __init__(self, maximum_bytes: dict[bytes, int]) -> None:
        self.maximum_bytes = maximum_bytes
        self._pending = bytearray()

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Yield every frame that `data` completes.

        Raises:
            FrameError: a frame is of an unexpected kind or size.
        """
        self._pending += data
        while len(self._pending) >= HEADER.size:
            kind, length = HEADER.unpack_from(self._pending)
            if kind not in self.maximum_bytes:
                raise FrameError(f"a frame of the unknown kind {kind!r}")
            if length > self.maximum_bytes[kind]:
                raise FrameError(
                    f"a frame of {length:,} bytes, of at most {self.maximum_bytes[kind]:,}",
                    oversized=True,
                )
            end = HEADER.size + length
            if len(self._pending) < end:
                break
            payload = bytes(self._pending[HEADER.size : end])
            del self._pending[:end]
            yield Frame(kind=kind, payload=payload)


def write_frame(descriptor: int, kind: bytes, payload: bytes = b"") -> None:
    """Write one whole frame to a blocking descriptor."""
    remaining = memoryview(HEADER.pack(kind, len(payload)) + payload)
    while remaining:
        remaining = remaining[os.write(descriptor, remaining) :]


@dataclass(frozen=True, kw_only=True)
class OwnResources:
    """The resources that a sandbox does not share, so that the worker may clear or limit them.

    Attributes:
        processes: no process outside the sandbox can be reached.
        shared_memory: no other program uses /dev/shm.
        tasks_of_user: processes and threads of the student's user that are not the student's: the
            manager, its thread that records the running line before a timeout, and a namespace's
            first process. None if other programs have that user too.
    """

    processes: bool
    shared_memory: bool
    tasks_of_user: int | None


@dataclass(frozen=True, kw_only=True)
class WorkerLimits:
    """The limits of one question, as the worker enforces them; see `assignment.records.Limits`.

    Attributes:
        call_seconds: wall time for one call of a conversation.
        address_bytes: of the address space, the worker's own included.
        data_bytes: of private writable memory, the worker's own included; 0 if not measurable.
        memory_bytes: the limit that messages to the student name.
    """

    question_seconds: float
    call_seconds: float
    cpu_seconds: int
    address_bytes: int
    data_bytes: int
    memory_bytes: int
    processes: int
    open_files: int
    scratch_bytes: int
    scratch_files: int
    output_bytes: int
    message_bytes: int
    message_depth: int
    layers: int
    parameters: int

    @property
    def copied_bytes(self) -> int:
        """The size that copies of submitted data files may take in the scratch directory."""
        return self.scratch_bytes // 4


MAXIMUM_DIGITS = 1000
MAXIMUM_PAIRS = 1000
"""Entries of one dict. Colliding keys make a lookup take as long as there are keys."""

NEEDS_LESS_MEMORY = "Build only the model; make layers smaller, and load no data set here."
NEEDS_NO_FILES = "Write no files where only an answer is asked for."
NEEDS_NO_PROCESSES = "Start no processes or threads; only an answer is asked for."


def describe_bytes(count: float) -> str:
    """Return a size for a person to read: "1 GB", "64 MB", "512 bytes"."""
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            return f"{count / size:.4g} {unit}"
    return f"{count:g} bytes"
