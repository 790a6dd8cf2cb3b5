"""Count the turns of a program's loops, and end what would take too long.

Each `for` and `while` statement is rewritten so that its turns are seen. With stand-ins for data a
training is far shorter than on a real machine; a loop that still takes long, is left early or
raises counts as it was declared: `range(20)` is 20 epochs.
"""

from __future__ import annotations

import ast
import operator
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

PATIENCE_SECONDS = 1.5
"""Time of one statement after which its training loops are cut, where their length is known."""
WHILE_PATIENCE = 5
"""More patience with a `while` loop, by this factor: what it would still do is not known."""
SWEEP_PATIENCE = 8
"""More patience with a loop whose turns are trainings of their own, by this factor."""
LATER_PATIENCE = 1 / 3
"""Less patience with a statement's later trainings, by this factor."""
MAXIMUM_ACTIVE = 1000
EACH, TURN = "__grader_each__", "__grader_turn__"


@dataclass(kw_only=True, eq=False)
class Loop:
    """One `for` loop that runs.

    Attributes:
        serial: counted over loops and optimisers, so that an older one has a smaller number.
        length: the turns that were declared, or -1 if unknown.
        turns: begun so far.
        is_data: its turns are the batches of a data loader.
        epochs_before: of each training when the loop began, by `id()`.
    """

    serial: int
    length: float
    turns: float = 0
    is_data: bool = False
    is_closed: bool = False
    is_complete: bool = False
    epochs_before: dict[int, float] = field(default_factory=dict)


@dataclass(kw_only=True)
class Loops:
    """All loops that run now, the outermost first.

    Attributes:
        on_begin, on_end: told of every loop.
        has_trained: returns True if an optimiser stepped since the statement began.
        counts_batches: a `while` loop that runs counts batches, not epochs.
        advancing: loops that wait for their next value, the outermost first; a loop over a
            generator of the program's waits for a loop in it.
    """

    on_begin: Callable[[Loop], None] = lambda _: None
    on_end: Callable[[Loop], None] = lambda _: None
    has_trained: Callable[[], bool] = lambda: False
    patience_seconds: float = PATIENCE_SECONDS
    active: list[Loop] = field(default_factory=list)
    advancing: list[Loop] = field(default_factory=list)
    cut_whiles: int = 0  # those whose end is not known
    cut_sweeps: int = 0
    trained: list[int] = field(default_factory=list)  # serials of this statement's new optimisers
    whiles: dict[int, tuple[Loop, float]] = field(default_factory=dict)
    counts_batches: bool = False
    _serial: int = 0
    _began: float = 0.0
    _training_began: float = 0.0

    def next_serial(self) -> int:
        """Return a number that is larger than all before."""
        self._serial += 1
        return self._serial

    def begin_statement(self) -> None:
        """Give the next statement its patience."""
        self._began = self._training_began = time.monotonic()
        self.cut_whiles = self.cut_sweeps = 0
        self.trained.clear()
        self.whiles.clear()
        self.counts_batches = False

    def begin_training(self, serial: int) -> None:
        """Give a training its patience; `serial` is its optimiser's."""
        self._training_began = time.monotonic()
        self.trained.append(serial)

    def is_late(self, factor: float = 1.0) -> bool:
        """Return True if this training, or this statement before any, took too long."""
        share = factor * (LATER_PATIENCE if len(self.trained) > 1 else 1.0)
        return time.monotonic() - self._training_began > self.patience_seconds * share

    def end_statement(self) -> None:
        """Close the loops that an exception left, innermost first."""
        for loop in reversed(list(self.active)):
            self._close(loop)

    def each(self, values: Iterable[Any]) -> Iterator[Any]:
        """Yield the values of a `for` loop."""
        iterator = iter(values)
        loop = Loop(serial=self.next_serial(), length=_length_of(values))
        if len(self.active) < MAXIMUM_ACTIVE:
            self.active.append(loop)
            self.on_begin(loop)
        try:
            while not self._is_overdue(loop):
                self.advancing.append(loop)
                try:
                    value = next(iterator)
                except StopIteration:
                    loop.is_complete = True
                    return
                finally:
                    self.advancing.remove(loop)
                loop.turns += 1
                yield value
        finally:
            self._close(loop)

    def turn(
        self, number: int, progress: Callable[[], tuple[Any, Any]] | None, *, counts_batches: bool
    ) -> bool:
        """Return True if a `while` loop may go on.

        Args:
            number: of the statement.
            progress: returns both sides of the condition `step < steps`; None for another one.
            counts_batches: what is compared counts batches.
        """
        self.counts_batches = counts_batches
        here, there = _evaluate(progress)
        loop, start = self.whiles.get(number, (None, here))
        if loop is None or here < start:
            loop, start = Loop(serial=self.next_serial(), length=-1), here
            self.whiles[number] = loop, start
            self.on_begin(loop)
        is_late = self.is_late(1 if there > here > start else WHILE_PATIENCE)
        if not (is_late and self.has_trained()):
            return True
        if there > here > start:
            loop.turns, loop.length = here - start, there - start
            self.on_end(loop)
        else:
            self.cut_whiles += 1
        return False

    def _is_overdue(self, loop: Loop) -> bool:
        if loop.is_data or not loop.length > loop.turns > 0 or not self.has_trained():
            return False
        if sum(serial > loop.serial for serial in self.trained) < loop.turns:
            return self.is_late()
        elapsed = time.monotonic() - self._began
        is_overdue = elapsed > self.patience_seconds * SWEEP_PATIENCE
        self.cut_sweeps += is_overdue
        return is_overdue

    def _close(self, loop: Loop) -> None:
        if not loop.is_closed:
            loop.is_closed = True
            if loop in self.active:
                self.active.remove(loop)
                self.on_end(loop)


class LoopRewriter(ast.NodeTransformer):
    """Send every loop of a statement through `Loops`."""

    _whiles = 0

    def visit_For(self, node: ast.For) -> ast.AST:
        """Rewrite `for x in y` as `for x in each(y)`."""
        self.generic_visit(node)
        node.iter = _call(EACH, [node.iter], node.iter)
        return node

    def visit_While(self, node: ast.While) -> ast.AST:
        """Rewrite `while x` as `while x and turn()`."""
        self.generic_visit(node)
        self._whiles += 1
        turn = _call(TURN, [ast.Constant(self._whiles), _progress(node.test)], node.test)
        turn.keywords = [ast.keyword("counts_batches", ast.Constant(_counts_batches(node)))]
        node.test = ast.copy_location(ast.BoolOp(ast.And(), [node.test, turn]), node.test)
        return node


def _progress(test: ast.expr) -> ast.expr:
    """Return a function of both sides of `step < steps`, or None for another condition."""
    parts = test.values if isinstance(test, ast.BoolOp) and isinstance(test.op, ast.And) else [test]
    for part in parts:
        match part:
            case ast.Compare(left=ast.Name(), ops=[ast.Lt() | ast.LtE()], comparators=[right]):
                sides = ast.Tuple([part.left, right], ast.Load())
                nothing = ast.arguments(
                    posonlyargs=[], args=[], kwonlyargs=[], kw_defaults=[], defaults=[]
                )
                return ast.Lambda(nothing, sides)
    return ast.Constant(None)


def _evaluate(progress: Callable[[], tuple[Any, Any]] | None) -> tuple[float, float]:
    """Return both sides as numbers, or zeros."""
    try:
        here, there = (float(side) for side in progress()) if progress else (0.0, 0.0)
    except BaseException:  # noqa: BLE001 - a student's class may do anything
        return 0.0, 0.0
    return here, there


def _counts_batches(loop: ast.While) -> bool:
    """Return True for `while step < 3000:` around a `for` loop that counts `step`."""
    tested = {node.id for node in ast.walk(loop.test) if isinstance(node, ast.Name)}
    return any(
        isinstance(counted, ast.AugAssign)
        and isinstance(counted.target, ast.Name)
        and counted.target.id in tested
        for inner in ast.walk(loop)
        if isinstance(inner, ast.For)
        for counted in ast.walk(inner)
    )


def _call(name: str, arguments: list[ast.expr], place: ast.expr) -> ast.Call:
    function = ast.copy_location(ast.Name(name, ast.Load()), place)
    return ast.copy_location(ast.Call(function, arguments, []), place)


def _length_of(values: object) -> int:
    """Return the number of values of a list, a range and the like, or -1 if unknown."""
    try:
        return operator.length_hint(values, -1)
    except BaseException:  # noqa: BLE001 - a student's class may do anything
        return -1
