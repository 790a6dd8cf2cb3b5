"""Ask a submission made of a few sources, as the tests of the extraction and its attackers do."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import psutil
import pytest

from grader.assignment.records import Limits
from grader.intake.private_copy import collect
from grader.errors import SandboxError
from grader.sandbox.extract import extract
from grader.models.questions import Extraction, Question
from grader.sandbox.isolation.choice import Sandbox, choose_sandbox, try_sandboxes
from tests.support.processes import describe, is_running

LIMITS = Limits(
    question_seconds=3.0, submission_seconds=600.0, memory_bytes=500_000_000, output_bytes=2000
)
CANARY = "import torch\nprint('canary')\ndef answer():\n    return int(torch.ones(42).sum())\n"


SANDBOX_NAME: str | None = None
"""The kind of sandbox that `pytest --sandbox` asks for."""


def find_sandbox(hidden: Sequence[Path] = ()) -> Sandbox:
    """The sandbox that was asked for, else the machine's; without one the test is skipped.

    Args:
        hidden: directories that student code must not see.
    """
    if SANDBOX_NAME is None:
        try:
            return choose_sandbox(hidden=hidden)
        except SandboxError as error:
            pytest.skip(f"no sandbox here: {error}")
    faults = []
    for label, sandbox, fault in try_sandboxes(tuple(hidden)):
        if sandbox.name == SANDBOX_NAME:
            if fault is None:
                return sandbox
            faults.append(f"{label}: {fault}")
    pytest.fail(f"the sandbox {SANDBOX_NAME} does not work here: {faults}")


def ask_all(
    directory: Path,
    files: Mapping[str, str | bytes],
    questions: Sequence[Question],
    sandbox: Sandbox,
    limits: Limits = LIMITS,
) -> dict[str, Extraction]:
    """The answers by the ids of the questions; nothing may be left after them."""
    for name, source in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(source if isinstance(source, bytes) else source.encode())
    assert len({question.id for question in questions}) == len(questions)
    with (
        leaving_nothing(),
        collect(directory, [question.file for question in questions]) as submission,
    ):
        extractions = extract(submission, questions, limits=limits, sandbox=sandbox)
    assert [extraction.question for extraction in extractions] == list(questions)
    return {extraction.question.id: extraction for extraction in extractions}


@contextmanager
def leaving_nothing() -> Iterator[Path]:
    """No process, socket, open file or temporary file is left that was not there before.

    Yields:
        The directory for temporary files, a new one during the block.
    """
    this = psutil.Process()

    def traces() -> tuple[int, int]:
        return this.num_fds(), len(this.net_connections(kind="all"))

    known = {process.pid for process in psutil.process_iter()}
    with tempfile.TemporaryDirectory(prefix="watched-") as temporary:
        before = traces()
        with mock.patch.object(tempfile, "tempdir", temporary):
            yield Path(temporary)
        assert running_children(known) == []
        # Files of earlier tests may vanish during the block, which is not this one's doing.
        for now, earlier in zip(traces(), before, strict=True):
            assert now <= earlier
        assert os.listdir(temporary) == []


def running_children(known: set[int]) -> list[str]:
    """This process's descendants that run and are not among the known ones."""
    return [
        describe(child)
        for child in psutil.Process().children(recursive=True)
        if child.pid not in known and is_running(child)
    ]


def canary(name: str) -> Question:
    """A question that an honest file answers with 42, and prints a word."""
    return Question(id=name, kind="answer", file="canary.py", function="answer")


def check_canary(extraction: Extraction) -> None:
    """The honest question is answered as ever."""
    assert extraction.failure is None
    assert extraction.value == 42
    assert extraction.output is not None
    assert extraction.output.text == "canary\n"
    assert extraction.output.dropped_bytes == 0
