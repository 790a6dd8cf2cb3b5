"""Tests of an author's, run on a student's file: a service, and its answers by test."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from grader.assignment.records import Assignment, FunctionsItem, Limits, Part, Problem
from grader.assignment.selection import select_items
from grader.intake.private_copy import collect
from grader.models.questions import CaseResult, Extraction
from grader.results import CheckResult
from grader.testing.service import PytestService
from tests.submissions.asking import find_sandbox

ITEM_ID = "1A"
HEADER = """
import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings, strategies as st
from hypothesis.extra.numpy import arrays
from grader.testing import StudentError
"""


def make_assignment(
    directory: Path, tests: str, *, points: float, header: str = HEADER, **fields: float
) -> Assignment:
    """An assignment of one item, whose tests are written below `directory`."""
    (directory / "tests").mkdir(parents=True, exist_ok=True)
    (directory / "tests" / "test_student.py").write_text(header + tests)
    item = FunctionsItem(
        title="Functions",
        points=points,
        file="student_file.py",
        tests="tests/test_student.py",
        **{"call_seconds": 2.0, "test_seconds": 10.0} | fields,
    ).located(directory)
    part = Part(id=ITEM_ID, title="Functions", items=(("", item),))
    return Assignment(
        id="functions",
        title="Functions",
        points=points,
        seeds=(1,),
        problems=(Problem(id="1", title="Functions", parts=(part,)),),
        limits=Limits(memory_bytes=500_000_000, question_seconds=5.0),
    )


class Examiner:
    """Runs the tests of one assignment on students' files."""

    def __init__(self, assignment: Assignment, service: PytestService, directory: Path) -> None:
        self._assignment = assignment
        self._service = service
        self._directory = directory
        self._sandbox = find_sandbox(hidden=[directory / "tests"])
        self._count = 0

    def rehearsed(self) -> dict[str, tuple[CheckResult, ...]]:
        """The checks of every item, before they are run."""
        return self._service.require_sound_tests().checks

    def examine(
        self, source: str | Mapping[str, str], only: Collection[str] | None = None
    ) -> dict[str, Extraction]:
        """The extractions of one student's files, by item."""
        self._count += 1
        directory = self._directory / f"student-{self._count}"
        directory.mkdir()
        files = {"student_file.py": source} if isinstance(source, str) else source
        for name, text in files.items():
            (directory / name).write_text(text)
        with collect(directory, self._assignment.files()) as submission:
            return self._service.answer(submission, self._sandbox, only=only)

    def cases(self, source: str) -> dict[str, CaseResult]:
        """The outcomes of the only item's tests, by test."""
        extraction = self.examine(source)[ITEM_ID]
        return {case.check.id: case for case in extraction.cases}


@contextmanager
def examining(directory: Path, assignment: Assignment) -> Iterator[Examiner]:
    """A service for one assignment."""
    with PytestService(assignment, select_items(assignment, ())) as service:
        yield Examiner(assignment, service, directory)
