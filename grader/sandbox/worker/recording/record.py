"""Run a program under watch, and return what it would have trained."""

from __future__ import annotations

import builtins
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from grader.sandbox.protocol import WorkerLimits
from grader.sandbox.worker.failures import StudentError, find_line
from grader.sandbox.worker.initialisation import InitialisationWatch
from grader.sandbox.worker.recording import devices, files, inert, loaders, stand_ins, surroundings
from grader.sandbox.worker.recording.loops import EACH, TURN, LoopRewriter, Loops
from grader.sandbox.worker.recording.program import Program
from grader.sandbox.worker.recording.watch import Recorder

HURRY_SECONDS = 0.3
"""Patience with the training loops of a program that is run for one of its functions."""


@dataclass(frozen=True, kw_only=True)
class WatchedProgram:
    """A program and all that watches it."""

    program: Program
    recorder: Recorder
    finder: inert.Finder

    def to_dict(self) -> dict[str, Any]:
        """Return the fields of `models.recording.Recording`, at any time."""
        trainings = self.recorder.to_list()
        libraries = self.finder.libraries
        return {
            "trainings": trainings,
            "names": self.program.names(),
            "failures": list(self.program.failures),
            "library": libraries[0] if libraries and not trainings else "",
        }


def watch_program(
    *,
    submission: Path,
    file: str,
    limits: WorkerLimits,
    enter: Callable[[str], None],
    initialisation: InitialisationWatch,
    in_a_hurry: bool,
) -> WatchedProgram:
    """Change this process for good, and return a program that is ready to run.

    Args:
        submission: the student's directory.
        file: the program, below it.
        limits: of the question.
        enter: announces a step.
        initialisation: watches from now on.
        in_a_hurry: only the program's names count, not its trainings.
    """
    program = Program(submission=submission, file=file, limits=limits, enter=enter)
    loops, counts = Loops(), loaders.Counts()
    if in_a_hurry:
        loops.patience_seconds = HURRY_SECONDS
    recorder = Recorder(
        submission=submission,
        limits=limits,
        initialisation=initialisation,
        counts=counts,
        loops=loops,
        namespace=program.namespace,
        on_failure=program.add_failure,
    )

    def on_absent(package: str) -> None:
        location = find_line(sys._getframe(1), submission)  # noqa: SLF001 - the caller
        program.add_failure(
            StudentError(
                "import",
                f"The package {package!r} is not installed where grading runs; what it would do "
                "was left out.",
                f"If {package}.py is a file of yours, hand it in beside this one.",
                location=str(location or ""),
            )
        )

    finder = inert.Finder(submission, on_absent)
    finder.install()
    if _mentions_torchvision(submission):
        stand_ins.install()
    text = (submission / file).read_text(errors="replace")
    loaders.install(counts, loops, loaders.find_written_sizes(text))
    recorder.start()
    initialisation.start()
    devices.believe_in_gpu()
    surroundings.install()
    files.install()
    vars(builtins).update({EACH: loops.each, TURN: loops.turn})
    rewriter = LoopRewriter()
    program.rewrite = rewriter.visit
    program.before = recorder.begin_statement
    program.after = recorder.end_statement
    program.namespace.update(
        display=lambda *_, **__: None, get_ipython=lambda: inert.Inert("get_ipython()")
    )
    return WatchedProgram(program=program, recorder=recorder, finder=finder)


def _mentions_torchvision(submission: Path) -> bool:
    """Return True if a file may import torchvision, which takes long."""
    return any(
        b"torchvision" in path.read_bytes()
        for pattern in ("*.py", "*.ipynb")
        for path in submission.rglob(pattern)
    )
