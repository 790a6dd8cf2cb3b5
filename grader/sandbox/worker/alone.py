"""A worker that answers one question by itself, for systems where none can be forked off.

Frames go by standard output. What the student's code prints goes by standard error.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from pathlib import Path

from grader.sandbox.protocol import COMMAND, READY, FrameReader, WorkerLimits, write_frame
from grader.sandbox.worker.preload import garbage_collection_paused, preload_heavy_modules
from grader.sandbox.worker.scratch import give_files

READ_BYTES = 65536
MAXIMUM_COMMAND_BYTES = 100_000


def main() -> None:
    """Serve the first question from standard input."""
    code, submission, scratch = sys.argv[1:4]
    commands, replies = os.dup(0), os.dup(1)
    os.dup2(os.open(os.devnull, os.O_RDWR), 0)
    os.dup2(2, 1)
    with garbage_collection_paused():
        from grader.sandbox.worker.answer import answer_question  # noqa: PLC0415

        preload_heavy_modules(Path(submission))
    sys.path[:] = [entry for entry in sys.path if entry != code]
    for name in [name for name in sys.modules if name.partition(".")[0] == "grader"]:
        del sys.modules[name]
    write_frame(replies, READY)
    reader = FrameReader({COMMAND: MAXIMUM_COMMAND_BYTES})
    while data := os.read(commands, READ_BYTES):
        for frame in reader.feed(data):
            command = json.loads(frame.payload)
            limits = WorkerLimits(**command["limits"])
            give_files(Path(submission), Path(scratch), limits.copied_bytes)
            threading.Thread(target=_exit_with_grader, args=[commands], daemon=True).start()
            trace = os.open(Path(scratch).parent / "trace", os.O_WRONLY | os.O_CREAT)
            answer_question(
                question=command["question"],
                limits=limits,
                submission=Path(submission),
                scratch=Path(scratch),
                frames=replies,
                trace=trace,
            )


def _exit_with_grader(commands: int) -> None:
    """Exit at once when the grader closes the pipe or ends."""
    while os.read(commands, READ_BYTES):
        pass
    os._exit(1)
