"""One submission between extraction and result: checks, plans for training, scores.

A `Grading` holds no process and prints nothing, so one submission alone and a whole class are
graded by the same code: whoever runs the plans decides where the models are trained.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from grader.assignment.records import (
    AnswerItem,
    Assignment,
    ModelItem,
    SweepItem,
    TruthTableItem,
    VersionsItem,
    WrittenItem,
)
from grader.assignment.selection import reported_id
from grader.errors import GraderError, SubmissionError
from grader.grading.items.model import grade_model, grade_sweep, read_sweep, reject_model
from grader.grading.items.model_checks import CheckedModel, check_model
from grader.grading.items.one_step import check_one_step
from grader.grading.points import (
    conclude,
    grade_answer,
    grade_truth_table,
    grade_versions,
    grade_written,
    leave_out,
    reject_training,
    report_error,
)
from grader.questions import Extraction, Failure
from grader.results import (
    CheckResult,
    ItemResult,
    Outcome,
    PartResult,
    ProblemResult,
)
from grader.training.plans import Plan, plan_model, plan_sweep


@dataclass(frozen=True, kw_only=True)
class PlannedTraining:
    """A plan that is not begun yet, and the multiply-adds of one of its runs."""

    plan: Plan[Any]
    work: float


@dataclass(kw_only=True)
class Grading:
    """The grading of one submission.

    Attributes:
        assignment: with the practice set's thresholds already in place, if that is used.
        selected: the ids of the items to grade.
        extractions: what the sandbox gave, by question id.
        read_written: reads one written answer from the submission.
        dataset, train_examples, test_examples: what models are trained and tested on.
        practice: whether that is the practice set.
        seeds: to train with.
        every_seed: train with all of them whatever comes out.
        full: train every epoch, even past a met threshold.
        results: the items that are finished, by id.
        checked: the models, by item id.
        reported_sweeps: the accuracies that each usable sweep reports, by item id.
    """

    assignment: Assignment
    selected: frozenset[str]
    extractions: Mapping[str, Extraction]
    read_written: Callable[[str], str | Failure]
    dataset: str
    train_examples: int
    test_examples: int
    practice: bool
    seeds: tuple[int, ...]
    every_seed: bool = False
    full: bool = False
    results: dict[str, ItemResult] = field(default_factory=dict)
    checked: dict[str, CheckedModel] = field(default_factory=dict)
    reported_sweeps: dict[str, Sequence[float | None]] = field(default_factory=dict)

    def grade_untrained(self) -> None:
        """Grade every item that needs no training, and check every model."""
        work_left = self.assignment.limits.training_multiply_adds
        for item_id, item in self.assignment.item_ids():
            if isinstance(item, ModelItem) and item_id in self.extractions:
                checked = check_model(
                    item_id,
                    item,
                    self.extractions[item_id],
                    dataset=self.dataset,
                    train_examples=self.train_examples,
                    multiply_adds_left=work_left,
                    seeds=len(self.assignment.seeds),
                )
                self.checked[item_id] = checked
                work_left -= (
                    checked.multiply_adds * len(self.assignment.seeds) if checked.job else 0
                )
            if item_id not in self.selected:
                self.results[item_id] = leave_out(item_id, item, "left out by --only")
                continue
            match item:
                case WrittenItem():
                    answer = self.read_written(item.file)
                    self.results[item_id] = grade_written(item_id, item, answer)
                case AnswerItem():
                    self.results[item_id] = grade_answer(item_id, item, self.extractions[item_id])
                case VersionsItem():
                    self.results[item_id] = grade_versions(item_id, item, self.extractions[item_id])
                case TruthTableItem():
                    self.results[item_id] = grade_truth_table(
                        item_id, item, self.extractions[item_id]
                    )
                case ModelItem() if not self.checked[item_id].job:
                    self.results[item_id] = reject_model(item_id, item, self.checked[item_id])
                case SweepItem():
                    self._settle_sweep_without_training(item_id, item)

    def _settle_sweep_without_training(self, item_id: str, item: SweepItem) -> None:
        """Grade a sweep that reports nothing usable, or whose model cannot be trained."""
        reported = read_sweep(item, self.extractions[item_id])
        if isinstance(reported, CheckResult):
            self.results[item_id] = conclude(item_id, item, [reported])
            return
        self.reported_sweeps[item_id] = reported
        if not self.checked[item.model_item].job:
            failed = CheckResult(
                id="agreement",
                title="The reported accuracies can be reproduced",
                outcome=Outcome.FAILED,
                observed=f"the model of {item.model_item} cannot be trained",
                expected="a model that passes its own checks",
                next_step=f"mend {item.model_item} first",
            )
            self.results[item_id] = conclude(item_id, item, [failed])

    def rehearse(self) -> None:
        """Take one training step with every model that passed its checks, to find what fails."""
        for item_id, checked in self.checked.items():
            if checked.job is not None:
                step = check_one_step(checked.job, seed=self.seeds[0])
                self.checked[item_id] = replace(checked, checks=(*checked.checks, step))

    def plans(self) -> dict[str, PlannedTraining]:
        """The training that is still needed, by item id, the most work first."""
        plans: dict[str, PlannedTraining] = {}
        for item_id, item in self.assignment.item_ids():
            if item_id in self.results:
                continue
            if isinstance(item, ModelItem):
                checked = self.checked[item_id]
                assert checked.job is not None  # noqa: S101  # others have a result by now
                plan: Plan[Any] = plan_model(
                    checked.job,
                    threshold=item.threshold.accuracy,
                    seeds=self.seeds,
                    test_examples=self.test_examples,
                    every_seed=self.every_seed,
                    full=self.full,
                )
                plans[item_id] = PlannedTraining(plan=plan, work=checked.multiply_adds)
            elif isinstance(item, SweepItem):
                checked = self.checked[item.model_item]
                assert checked.job is not None  # noqa: S101  # others have a result by now
                plan = plan_sweep(
                    checked.job,
                    epochs=item.epochs,
                    probabilities=item.probabilities,
                    reported=self.reported_sweeps[item_id],
                    judged=item.judged,
                    minimum_agreeing=item.minimum_agreeing,
                    seeds=self.seeds,
                )
                # Just below its model's own training, so that it runs beside the short ones.
                plans[item_id] = PlannedTraining(plan=plan, work=checked.multiply_adds * 0.99)
        return dict(sorted(plans.items(), key=lambda entry: -entry[1].work))

    def finish(self, item_id: str, outcome: Any) -> ItemResult:
        """Score one item from what its plan gave: runs, or the error that ended it."""
        item = dict(self.assignment.item_ids())[item_id]
        if isinstance(outcome, SubmissionError):
            result = reject_training(item_id, item, outcome, self.checked.get(item_id))
        elif isinstance(outcome, GraderError):
            result = report_error(item_id, item, outcome, self.checked.get(item_id))
        elif isinstance(item, ModelItem):
            result = grade_model(
                item_id,
                item,
                self.checked[item_id],
                outcome,
                test_examples=self.test_examples,
                reported=self.extractions.get(reported_id(item_id)),
                practice=self.practice,
            )
        elif isinstance(item, SweepItem):
            result = grade_sweep(
                item_id,
                item,
                self.reported_sweeps[item_id],
                outcome,
                location=self.extractions[item_id].location,
            )
        else:
            raise GraderError(f"item {item_id} is not trained")
        self.results[item_id] = result
        return result

    def leave_out_rest(self, reason: str) -> None:
        """Mark every item that has no result yet as not graded."""
        for item_id, item in self.assignment.item_ids():
            if item_id in self.results:
                continue
            if isinstance(item, ModelItem):
                self.results[item_id] = reject_model(
                    item_id, item, self.checked[item_id], reason=reason
                )
            else:
                self.results[item_id] = leave_out(item_id, item, reason)

    def problems(self) -> tuple[ProblemResult, ...]:
        """All results, in the assignment's order, with the student's printed output attached."""
        problems = []
        for problem in self.assignment.problems:
            parts = []
            for part in problem.parts:
                items = (self._with_output(self.results[item_id]) for item_id, _ in part.item_ids())
                parts.append(PartResult.of(part.id, part.title, tuple(items)))
            problems.append(ProblemResult.of(problem.id, problem.title, tuple(parts)))
        return tuple(problems)

    def _with_output(self, result: ItemResult) -> ItemResult:
        questions = (result.id, reported_id(result.id))
        extractions = [self.extractions[name] for name in questions if name in self.extractions]
        output = tuple(
            extraction.output for extraction in extractions if extraction.output is not None
        )
        return replace(result, output=output)
