"""Run a program statement by statement, so that one that fails costs no other."""

from __future__ import annotations
import __future__

import ast
import contextlib
import linecache
import signal
import sys
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from grader.sandbox.protocol import WorkerLimits
from grader.sandbox.worker.failures import (
    Line,
    StudentError,
    explain_exception,
    locate,
)
from grader.sandbox.worker.recording.cells import NOTEBOOK, Cell, read_cells, without_magics
from grader.sandbox.worker.source import explain_syntax
from grader.sandbox.worker.static_notes import bound_names, is_main_guard

STATEMENT_SHARE = 1 / 3
"""The share of a program's time that one statement may take."""
ALARM_SECONDS = 0.5
"""Pause between two alarms, for a statement that catches the first."""
MAXIMUM_FAILURES = 30
MAXIMUM_NAMES = 1000
MAXIMUM_NAME = 200
_FUTURE = sum(getattr(__future__, name).compiler_flag for name in __future__.all_feature_names)


class StatementTimeoutError(BaseException):
    """The time of one statement is used up."""


@dataclass(kw_only=True)
class Program:
    """A student's program in one namespace.

    Attributes:
        before, after: called around each statement, `before` with its line.
        rewrite: changes a statement's tree before it is compiled.
        bound: the line that last bound each name at top level.
        enter: announces a step, so that the grader can name it in a failure.
    """

    submission: Path
    file: str
    limits: WorkerLimits
    enter: Callable[[str], None]
    before: Callable[[Line], None] = lambda _: None
    after: Callable[[], None] = lambda: None
    rewrite: Callable[[ast.stmt], ast.stmt] = lambda statement: statement
    failures: list[dict[str, str]] = field(default_factory=list)
    module: types.ModuleType = field(default_factory=lambda: types.ModuleType("__main__"))
    bound: dict[str, Line] = field(default_factory=dict)
    _given: frozenset[str] = frozenset()  # names that are not the program's
    _flags: int = 0

    @property
    def namespace(self) -> dict[str, Any]:
        """The names at top level."""
        return self.module.__dict__

    def run(self) -> None:
        """Run every statement of every cell.

        Raises:
            StudentError: the file cannot be read at all.
        """
        path = self.submission / self.file
        cells = read_cells(path.read_bytes(), self.file)
        self.module.__file__ = str(path)
        sys.modules["__main__"] = self.module
        sys.argv = [str(path)]
        self._given = frozenset(self.namespace)
        for cell in cells:
            self._run_cell(cell)

    def names(self) -> list[str]:
        """Return the student's names at top level, without those that Python put there."""
        found = (name for name in list(self.namespace) if isinstance(name, str))
        names = [
            name
            for name in found
            if name not in self._given and not name.startswith("__") and len(name) <= MAXIMUM_NAME
        ]
        return names[:MAXIMUM_NAMES]

    def _run_cell(self, cell: Cell) -> None:
        shown = f"{self.file}, cell {cell.number}" if self.file.endswith(NOTEBOOK) else self.file
        self.enter(f"run of {shown}")
        name = str(self.submission / shown)
        source = "\n" * (cell.first_line - 1) + without_magics(cell.source)
        if cell.first_line == 1:
            lines = cell.source.splitlines(keepends=True)
            linecache.cache[name] = (len(cell.source), None, lines, name)
        try:
            tree = ast.parse(source, name)
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            self.add_failure(explain_syntax(error, shown))
            return
        for statement in _statements(tree):
            line = Line(file=self.file, cell=cell.number, line=statement.lineno)
            self._run_statement(statement, name, shown, line)

    def _run_statement(self, statement: ast.stmt, name: str, shown: str, line: Line) -> None:
        try:
            tree = ast.fix_missing_locations(ast.Module([self.rewrite(statement)], []))
            code = compile(tree, name, "exec", self._flags, dont_inherit=True)
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            self.add_failure(explain_syntax(error, shown))
            return
        self._flags |= code.co_flags & _FUTURE
        self.bound |= {
            name: Line(file=line.file, cell=line.cell, line=number)
            for name, number in bound_names(statement)
        }
        self.before(line)
        try:
            with _alarm(self.limits.question_seconds * STATEMENT_SHARE):
                exec(code, self.namespace)  # noqa: S102 - what the sandbox is for
        except StatementTimeoutError:
            seconds = self.limits.question_seconds * STATEMENT_SHARE
            failure = StudentError(
                "limit",
                f"This statement was stopped after {seconds:g} s.",
                "What it had trained until then counts. Shorten it, or look for an endless loop.",
                location=locate(shown, line.line),
            )
            self.add_failure(failure)
        except SystemExit:
            failure = StudentError(
                "exit",
                "This statement ended the program; all the same, the statements after it were run.",
                "Remove exit(), quit() and sys.exit().",
            )
            self.add_failure(failure, line, shown)
        except BaseException as error:  # noqa: BLE001 - student code raises anything
            self.add_failure(explain_exception(error, self.submission, self.limits), line, shown)
        self.after()

    def add_failure(self, failure: StudentError, line: Line | None = None, shown: str = "") -> None:
        """Note a failure; without a location it gets that of the statement."""
        if line is not None:
            failure.location = failure.location or locate(shown, line.line)
        if len(self.failures) < MAXIMUM_FAILURES:
            self.failures.append(failure.to_dict(f"run of {self.file}"))


def _statements(tree: ast.Module) -> Iterator[ast.stmt]:
    """Yield the statements at top level, those under a main guard included."""
    for statement in tree.body:
        if isinstance(statement, ast.If) and is_main_guard(statement):
            yield from statement.body
        else:
            yield statement


@contextlib.contextmanager
def _alarm(seconds: float) -> Iterator[None]:
    """Raise `StatementTimeoutError` in the block after this time, again and again."""
    if not hasattr(signal, "setitimer"):
        # Windows, where only the whole question is limited.
        yield
        return
    is_armed = True

    def ring(_number: int, _frame: object) -> None:
        # An alarm may still be under way when the block has ended.
        if is_armed:
            raise StatementTimeoutError

    signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds, ALARM_SECONDS)
    try:
        yield
    finally:
        is_armed = False
        signal.setitimer(signal.ITIMER_REAL, 0)
