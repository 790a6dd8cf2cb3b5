"""Length-framed messages over a pipe: one byte of kind, four of length, then the payload."""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

HEADER = struct.Struct(">cI")

READY = b"1"
"""From the worker, once, with no payload: the trusted imports are done."""
PHASE = b"P"
"""From a question's process: what it is about to do, as UTF-8 text."""
REPLY = b"R"
"""The answer, as JSON."""
OUTPUT = b"O"
"""What the student's code printed, as it came."""
END = b"E"
"""The last frame of a question: from its process empty, from the manager how it ended, as JSON."""
COMMAND = b"Q"
"""To the worker: one question and its limits, as JSON."""


class FrameError(Exception):
    """A frame of a kind that is not expected, or larger than its kind may be.

    Attributes:
        oversized: the kind was expected; only its size was not.
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
    """Cuts a stream of bytes into frames, and refuses a frame before its payload is stored.

    Args:
        maximum_bytes: the largest payload of every kind that is expected.
    """

    def __init__(self, maximum_bytes: dict[bytes, int]) -> None:
        self.maximum_bytes = maximum_bytes
        self._pending = bytearray()

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Every frame that `data` completes, each looked at before what follows it.

        Raises:
            FrameError: the stream holds a frame that is not acceptable.
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
    """Write one frame whole to a blocking descriptor."""
    remaining = memoryview(HEADER.pack(kind, len(payload)) + payload)
    while remaining:
        remaining = remaining[os.write(descriptor, remaining) :]
