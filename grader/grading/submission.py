"""One submission between the sandbox's answers and the result.

A `Grading` has no process and prints nothing. A single submission and a whole class are graded by
the same code, and the caller decides where models are trained.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from grader.assignment.records import Item, Part
from grader.assignment.selection import needed_items, select_items
from grader.errors import GraderError
from grader.grading.clock import Clock
from grader.grading.excerpts import Sources
from grader.grading.items.interface import Context, Training
from grader.grading.items.recorded import report_programs
from grader.grading.items.registry import CHECKS
from grader.grading.options import Setting
from grader.grading.points import conclude, end_training, skipped
from grader.grading.provenance import describe_provenance
from grader.intake.submission import Submission
from grader.models.questions import Extraction
from grader.results import (
    LEFT_OUT_BY_ONLY,
    ItemResult,
    PartResult,
    ProblemResult,
    Score,
    SubmissionResult,
)


@dataclass(kw_only=True)
class Grading:
    """The grading of one submission.

    Attributes:
        submission: its private copy is used by `check` only.
        extractions: the sandbox's answers, by question id.
        sources: the student's lines, which reports show.
        results: of the finished items, by id.
        trainings: of the selected items that have no result yet, by id, the longest first.
    """

    setting: Setting
    submission: Submission
    extractions: Mapping[str, Extraction]
    clock: Clock
    sources: Sources | None = None
    results: dict[str, ItemResult] = field(default_factory=dict)
    trainings: dict[str, Training] = field(default_factory=dict)

    def check(self) -> None:
        """Check every item, and grade the items that need no training."""
        assignment = self.setting.assignment
        context = Context(
            setting=self.setting,
            extractions=self.extractions,
            read_written=self.submission.read_written,
        )
        selected = select_items(assignment, self.setting.options.only)
        needed = needed_items(assignment, selected)

        def count_needs(entry: tuple[str, Item]) -> int:
            return len(entry[1].needed_items())

        # An item that needs others comes after them.
        for item_id, item in sorted(assignment.item_ids(), key=count_needs):
            if item_id in needed:
                context.checked[item_id] = CHECKS[type(item)](item_id, item, context)
            if item_id not in selected:
                left_out = skipped("graded", "Graded", LEFT_OUT_BY_ONLY)
                self.results[item_id] = conclude(item_id, item, left_out)
                continue
            checked = context.checked[item_id]
            if isinstance(checked, Training):
                self.trainings[item_id] = checked
            else:
                self.results[item_id] = checked
        longest_first = sorted(self.trainings.items(), key=lambda entry: -entry[1].multiply_adds)
        self.trainings = dict(longest_first)

    def rehearse(self) -> None:
        """Find what fails at once in every training, such as an optimiser that PyTorch refuses."""
        self.trainings = {
            item_id: training.rehearse() for item_id, training in self.trainings.items()
        }

    def finish(self, item_id: str, outcome: Any) -> ItemResult:
        """Grade one item from the outcome of its plan, or from the error that ended the plan."""
        training = self.trainings.pop(item_id)
        if isinstance(outcome, GraderError):
            result = end_training(training.so_far, outcome)
        else:
            result = training.result(outcome)
        self.results[item_id] = result
        return result

    def leave_out_rest(self, reason: str) -> None:
        """Mark every item that has no result yet as not graded."""
        for item_id, training in self.trainings.items():
            self.results[item_id] = training.leave_out(reason)
        self.trainings = {}

    def result(self) -> SubmissionResult:
        """Return the result, once every item has one."""
        problems = tuple(
            ProblemResult.of(
                problem.id, problem.title, tuple(map(self._part_result, problem.parts))
            )
            for problem in self.setting.assignment.problems
        )
        scores = [item.score for item in self.results.values()]
        return SubmissionResult(
            name=self.submission.name,
            score=Score.total(scores),
            complete=all(score.undecided == 0 for score in scores),
            problems=problems,
            intake=self.submission.notes,
            programs=report_programs(self.extractions.values()),
            provenance=describe_provenance(self.setting, self.submission.sha256),
            timing=self.clock.timing(),
        )

    def _part_result(self, part: Part) -> PartResult:
        items = tuple(self._with_output(item_id, item) for item_id, item in part.item_ids())
        return PartResult.of(part.id, part.title, items)

    def _with_output(self, item_id: str, item: Item) -> ItemResult:
        """Return an item's result with the student's printed output."""
        extractions = [
            self.extractions[question.id]
            for question in item.questions(item_id)
            if question.id in self.extractions
        ]
        output = tuple(one.output for one in extractions if one.output is not None)
        result = self.results[item_id]
        if self.sources is not None:
            result = self.sources.add_excerpts(result)
        return replace(result, output=(*result.output, *output))
