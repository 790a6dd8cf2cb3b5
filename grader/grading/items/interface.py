"""The interface of a kind of item.

A kind is a record in `grader.assignment.records` (its fields, its questions to the sandbox, the
author's mistakes) and a module beside this one, which checks and grades it. The module has one
function, a `Check`, that `registry.py` names. If something must be trained, the module also has a
subclass of `Training`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from grader.grading.options import Setting
from grader.grading.points import add_checks, skipped
from grader.intake.written import WrittenAnswer
from grader.models.failures import Failure
from grader.models.questions import Extraction
from grader.results import ItemResult
from grader.training.plans import Plan


@dataclass(kw_only=True)
class Context:
    """One submission, as the checks of its items see it.

    Attributes:
        extractions: the sandbox's answers, by question id.
        read_written: reads one written answer, below a marker, from the submission.
        checked: the items that were checked so far, by id. A kind whose record names
            `needed_items` finds these items here.
    """

    setting: Setting
    extractions: Mapping[str, Extraction]
    read_written: Callable[[str, str], WrittenAnswer | Failure]
    checked: dict[str, ItemResult | Training] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Training(ABC):
    """An item that passed its checks and must be trained.

    Attributes:
        so_far: the result of the checks so far.
        multiply_adds: of one run, forward passes only. The longest training begins first.
    """

    so_far: ItemResult
    multiply_adds: float

    @abstractmethod
    def plan(self) -> Plan[Any]:
        """Return the plan of the runs that the verdict needs."""

    @abstractmethod
    def result(self, outcome: Any) -> ItemResult:
        """Return the item's result from the outcome of its plan."""

    def rehearse(self) -> Training:
        """Return the training after a quick check in place of the runs."""
        return self

    def leave_out(self, reason: str) -> ItemResult:
        """Return the result of an item that is not trained."""
        return add_checks(self.so_far, skipped("graded", "Graded", reason))


Check = Callable[[str, Any, Context], ItemResult | Training]
"""Takes an item with its id; returns the result, or the training if a result needs one."""
