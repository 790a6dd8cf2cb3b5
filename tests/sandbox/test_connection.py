"""Frames from a sandboxed program: what came in time counts, whenever it is read."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import ExitStack
from types import SimpleNamespace
from typing import IO, Any

import pytest

from grader.sandbox.connection import READ_BYTES, Connection, ConnectionEndedError
from grader.sandbox.protocol import COMMAND, READY, REPLY, write_frame

PAYLOAD = bytes(READ_BYTES // 2)


@pytest.fixture
def pipes() -> Iterator[dict[str, IO[bytes]]]:
    """Both ends of a program's output, and of what it says of its own troubles."""
    with ExitStack() as stack:
        ends = {}
        for name in ("commands", "replies", "diagnostics"):
            read_end, write_end = os.pipe()
            ends[name] = stack.enter_context(os.fdopen(read_end, "rb", buffering=0))
            ends[f"{name}_end"] = stack.enter_context(os.fdopen(write_end, "wb", buffering=0))
        yield ends


@pytest.fixture
def connection(pipes: dict[str, IO[bytes]]) -> Connection:
    """A conversation with a program that is nothing but its pipes."""
    process: Any = SimpleNamespace(
        commands=pipes["commands_end"],
        replies=pipes["replies"],
        diagnostics=pipes["diagnostics"],
        has_hit_memory_cap=lambda: False,
    )
    return Connection(process, {REPLY: len(PAYLOAD), READY: 0}, check=lambda: None)


def test_late_reading(connection: Connection, pipes: dict[str, IO[bytes]]) -> None:
    """Whatever kept the grader from reading: another student's answer, or Ctrl-Z."""
    write_frame(pipes["replies_end"].fileno(), REPLY, PAYLOAD)
    assert connection.receive(REPLY, deadline=time.monotonic() - 10) == PAYLOAD


def test_half_a_reply_is_none(connection: Connection, pipes: dict[str, IO[bytes]]) -> None:
    """When the time is up, the rest of a reply is not waited for."""
    pipes["replies_end"].write(REPLY)
    with pytest.raises(ConnectionEndedError) as ended:
        connection.receive(REPLY, deadline=time.monotonic() - 10)
    assert ended.value.breach == "timeout"


def test_program_that_reads_nothing(connection: Connection) -> None:
    """A command that a stopped program does not read ends in a timeout."""
    with pytest.raises(ConnectionEndedError) as ended:
        connection.send(COMMAND, bytes(10**6), time.monotonic() + 0.1)
    assert ended.value.breach == "timeout"
