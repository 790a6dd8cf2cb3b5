"""Models: layers and recipe are checked, then the model is trained against its threshold."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch

from grader.assignment.records import Assignment, Limits, ModelItem, reported_id
from grader.errors import ModelError
from grader.grading.items.chance import clearly_met_accuracy, reported_differs
from grader.grading.items.comparison import format_value
from grader.grading.items.hints import hint_on_percentage, hints_for_recipe, surest_advice
from grader.grading.items.interface import Context, Training
from grader.grading.items.recipe import check_recipe, describe_recipe
from grader.grading.items.recorded import (
    describe_origin,
    find_hints,
    list_notes,
    report_source,
)
from grader.grading.items.structure import check_structure
from grader.grading.items.verdict import Judge
from grader.grading.points import add_checks, skipped
from grader.models.questions import Extraction
from grader.models.shapes import count_multiply_adds, count_state, count_work, find_shapes
from grader.results import (
    CheckResult,
    Hint,
    ItemResult,
    Metric,
    Outcome,
    TrainingRun,
)
from grader.training.budget import Budget
from grader.training.data_sources.interface import DataFacts
from grader.training.datasets import Dataset
from grader.training.job import TrainingJob
from grader.training.loop import train
from grader.training.plans import Plan, Round

STEP_STATE = 20_000_000
STEP_WORK = 5_000_000_000
STEP_VALUES = 25_000_000
"""Parameters and buffers of a model, and work (see `count_work`) and outputs of all layers of a
batch, for one step in the grader's own process: about half a second, and 500 MB."""


def check(item_id: str, item: ModelItem, context: Context) -> ItemResult | ModelTraining:
    """Check layers, recipe and training work; a model without a fault is to be trained."""
    setting = context.setting
    dataset = setting.dataset_of(item_id)
    structure = check_structure(
        item_id,
        item,
        context.extractions[item_id],
        input_shapes=item.input_shapes or dataset.facts.input_shapes,
        outputs=item.count_outputs(dataset.facts),
        # The grader sets the mode itself.
        harmless=frozenset({"evaluation"}),
    )
    if isinstance(structure, ItemResult):
        return _skip_accuracy(structure, item)
    extraction = context.extractions[item_id]
    location = structure.extracted.location
    recipe = check_recipe(item, structure.extracted, channels=dataset.facts.channels)
    checks = [_as_recorded(check, extraction) for check in recipe.checks]
    if structure.extracted.class_name and not item.modules:
        checks.insert(0, _refuse_class(structure.extracted.class_name))
    multiply_adds = work = 0.0
    if structure.shapes:
        per_example = count_multiply_adds(structure.model, structure.shapes)
        multiply_adds = float(per_example) * dataset.facts.train_examples * recipe.epochs
        work = multiply_adds * len(setting.assignment.seeds)
        checks.append(_check_work(work, setting.assignment.limits))
    located = (replace(check, location=check.location or location) for check in checks)
    hints = hints_for_recipe(
        recipe.optimizer, recipe.scheduler, recipe.epochs, location, recipe.normalization
    )
    result = replace(
        add_checks(structure.result, *located),
        hints=(*structure.result.hints, *hints),
        notes=(*describe_origin(structure.extracted), *recipe.notes),
    )
    if extraction.attribution is not None:
        result = replace(
            result,
            hints=(*result.hints, *find_hints(extraction.attribution)),
            notes=(*result.notes, *list_notes(extraction.attribution, item)),
            source=report_source(extraction.attribution, item),
        )
    if result.outcome is not Outcome.PASSED:
        return _skip_accuracy(result, item)
    job = TrainingJob(
        model=structure.model,
        optimizer=recipe.optimizer,
        scheduler=recipe.scheduler,
        epochs=recipe.epochs,
        batch_size=recipe.batch_size,
        seed=0,
        dataset=dataset.name,
        dataset_sha256=dataset.sha256,
        input_shape=structure.input_shape,
        stop_at_accuracy=None,
        counted_epoch=item.hardest.epoch,
        normalization=recipe.normalization,
        loss=item.loss,
    )
    return ModelTraining(
        so_far=replace(result, recipe=describe_recipe(job)),
        multiply_adds=multiply_adds,
        item=item,
        context=context,
        job=job,
        dataset=dataset,
    )


def _refuse_class(name: str) -> CheckResult:
    return CheckResult.judged(
        "sequential",
        "An nn.Sequential",
        passed=False,
        observed=f"the model is of the class {name}",
        expected="nn.Sequential",
        next_step="list the layers of its forward() in one nn.Sequential",
    )


def _as_recorded(check: CheckResult, extraction: Extraction) -> CheckResult:
    """Return a check of the recipe in the words of a program, which declares no functions.

    What could not be read of a program's optimiser or scheduler is for a person to decide.
    """
    title = _TITLES_IN_PROGRAMS.get(check.id)
    if extraction.attribution is None or title is None:
        return check
    failures = dict(extraction.model.failures) if extraction.model else {}
    if check.id in failures:
        return replace(check, title=title, outcome=Outcome.PENDING)
    return replace(check, title=title)


_TITLES_IN_PROGRAMS = {
    "optimizer": "The program's optimiser",
    "scheduler": "The program's scheduler",
}


def _check_work(multiply_adds: float, limits: Limits) -> CheckResult:
    budget = limits.training_multiply_adds
    return CheckResult.judged(
        "work",
        "Training work",
        passed=multiply_adds <= budget,
        observed=f"up to {multiply_adds / 1e9:,.0f} billion multiply-adds over all seeds",
        expected=f"at most {budget / 1e9:,.0f} billion",
        next_step="make the model smaller (fewer channels, an earlier pooling) or train it for "
        "fewer epochs",
    )


def _skip_accuracy(result: ItemResult, item: ModelItem, reason: str = "") -> ItemResult:
    """Return the result of a model that is not trained."""
    if result.outcome is Outcome.PENDING:
        return result
    failed = sum(check.outcome is Outcome.FAILED for check in result.checks)
    if failed:
        plural = "1 of the checks above" if failed == 1 else f"{failed} of the checks above"
        reason = f"not trained, because {plural} failed"
    return add_checks(result, skipped("accuracy", item.hardest.metric.heading, reason))


@dataclass(frozen=True, kw_only=True)
class ModelTraining(Training):
    """A model that passed its checks.

    Attributes:
        job: the training, with the seed still to be set.
        dataset: of the training.
    """

    item: ModelItem
    context: Context
    job: TrainingJob
    dataset: Dataset

    def rehearse(self) -> ModelTraining:
        """Take a training step on noise, and forecast from a second one how long training takes."""
        step, seconds = check_one_step(
            self.job, self.dataset.facts, seed=self.context.setting.seeds[0]
        )
        so_far = replace(add_checks(self.so_far, step), forecast_seconds=seconds)
        return replace(self, so_far=so_far)

    def leave_out(self, reason: str) -> ItemResult:
        """Return the result of a model that is not trained."""
        return _skip_accuracy(self.so_far, self.item, reason)

    def plan(self) -> Plan[tuple[TrainingRun, ...]]:
        """Train until one seed meets every threshold; further seeds only if chance may help them.

        A run whose best epoch counts may end early: later epochs cannot change its verdict.
        """
        setting, hardest = self.context.setting, self.item.hardest
        stop_at = None
        stops_early = hardest.metric is Metric.ACCURACY and hardest.epoch == "best"
        if stops_early and not setting.options.full:
            stop_at = clearly_met_accuracy(hardest.value, self.dataset.facts.test_examples)
        jobs = [replace(self.job, seed=seed, stop_at_accuracy=stop_at) for seed in setting.seeds]
        budget = budget_of(setting.assignment)
        if setting.options.seeds:
            return tuple((yield Round(jobs=jobs, budget=budget)))
        runs: list[TrainingRun] = []
        for job in jobs:
            runs += yield Round(jobs=[job], budget=budget)
            if not self._judge.may_gain(runs):
                break
        return tuple(runs)

    def result(self, outcome: Sequence[TrainingRun]) -> ItemResult:
        """Return the verdict on the runs, beside what the student reports."""
        result = self._judge.conclude(self.so_far, outcome, partial(self._advise, outcome))
        reported, notes, hints = self._read_reported()
        differs = (
            reported is not None
            # The student measured on another data set than the practice set.
            and not self.context.setting.practice
            and reported_differs(
                reported, [self._judge.measure(run) for run in outcome], self._judge.test_examples
            )
        )
        assert result.training is not None  # noqa: S101  # the judge's report
        return replace(
            result,
            notes=(*self.so_far.notes, *notes),
            hints=(*self.so_far.hints, *hints),
            training=replace(result.training, reported_accuracy=reported, reported_differs=differs),
        )

    @property
    def _judge(self) -> Judge:
        examples = self.dataset.facts.test_examples
        return Judge(item=self.item, job=self.job, test_examples=examples)

    def _advise(self, runs: Sequence[TrainingRun], missing: float) -> str:
        """Return the next step after a failure, from the surest cause that is known."""
        recipe = self.item.recipe
        may_train_longer = not recipe.fixed and self.job.epochs < recipe.maximum_epochs
        diverged = any(run.diverged for run in runs)
        if advice := surest_advice(self.so_far.hints, diverged=diverged):
            return advice
        if diverged:
            return "lower the learning rate"
        is_accuracy = self.item.hardest.metric is Metric.ACCURACY
        hardly_learned = _hardly_above_chance(self.dataset.facts)
        if is_accuracy and all(run.epochs and run.final_accuracy < hardly_learned for run in runs):
            return "the model hardly learns: check the learning rate and the layers' order"
        faster = "train longer or faster" if may_train_longer else "learn faster"
        if not is_accuracy:
            return (
                "look at the learning curve: if the loss is still falling, "
                f"{faster}; if it is low and the test error stalls, regularise"
            )
        gap = f"{100 * missing:.2f} percentage points are missing"
        return (
            f"{gap}: look at the learning curve. If the loss is still falling, {faster}; if it is "
            "low and the test accuracy stalls, regularise"
        )

    def _read_reported(self) -> tuple[float | None, tuple[str, ...], tuple[Hint, ...]]:
        """Return the accuracy that the student reports, with notes and hints."""
        function = f"{self.item.reported}()"
        reported = self.context.extractions.get(reported_id(self.so_far.id))
        if reported is None or (not reported.answered and reported.failure is None):
            is_program = self.so_far.source is not None  # it has no functions
            note = f"{function} is not defined, so no accuracy is compared."
            return None, () if is_program else (note,), ()
        if reported.failure:
            return None, (f"{function} gave no value: {reported.failure.message}",), ()
        value = reported.value
        is_rmse = self.item.hardest.metric is Metric.RMSE
        if isinstance(value, int | float) and not isinstance(value, bool):
            if 0 <= value <= 1 or (is_rmse and value >= 0):
                return float(value), (), ()
            if 1 < value <= 100 and not is_rmse:
                hint = hint_on_percentage(function, value, reported.location)
                return value / 100, (), (hint,)
        shown = format_value(value)
        needed = "an error from 0 up" if is_rmse else "a share from 0 to 1"
        return None, (f"{function} returned {shown}, which is not {needed}.",), ()


def check_one_step(job: TrainingJob, facts: DataFacts, *, seed: int) -> tuple[CheckResult, float]:
    """Fail if a training step on noise cannot be taken or has an infinite loss.

    Returns:
        The check, and a forecast of the seconds of one run, 0 without one.

    The step needs no data set. A learning rate that is too high shows in later steps only. It is
    taken in this process, so a large model gets a smaller batch, and a huge one takes no step.
    """
    examples = min(job.batch_size, _count_cheap_examples(job))
    if examples < 2:
        reason = "left out by --quick: the model is too large for a quick step"
        return skipped("one-step", "One training step", reason), 0.0
    noise = _make_noise(facts, examples, seed)
    ended = [time.perf_counter()]
    rehearsal = replace(job, epochs=2, seed=seed, stop_at_accuracy=None)
    try:
        run = train(rehearsal, noise, on_epoch=lambda *_: ended.append(time.perf_counter()))
        # Only the step before the first update counts: noise may well make the second one diverge.
        diverged = not run.epochs
    except ModelError as error:
        passed, observed, next_step = False, str(error), error.next_step
    else:
        passed = not diverged
        observed = "the loss is infinite or NaN" if diverged else "the loss is a number"
        next_step = "look at the layers' order: the loss is not a number before the first update"
    check = CheckResult.judged(
        "one-step", "One training step", passed=passed, observed=observed, next_step=next_step
    )
    # The second of two steps, with an evaluation of as many examples, as often as in training.
    steps = math.ceil(facts.train_examples / job.batch_size) * job.epochs
    return check, steps * (ended[2] - ended[1]) if len(ended) == 3 else 0.0


def _make_noise(facts: DataFacts, examples: int, seed: int) -> Dataset:
    """Return a data set of noise whose examples are like those of the facts."""
    generator = torch.Generator().manual_seed(seed)
    shape = (examples, *facts.input_shape)
    if facts.is_images:
        inputs = torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)
    else:
        inputs = torch.randn(shape, generator=generator)
    if facts.classes is None:
        targets = torch.randn(examples, facts.targets, generator=generator)
    else:
        targets = torch.arange(examples) % facts.classes
    return Dataset(
        name="noise",
        sha256="",
        facts=facts,
        train_inputs=inputs,
        train_targets=targets,
        test_inputs=inputs,
        test_targets=targets,
    )


def _count_cheap_examples(job: TrainingJob) -> int:
    """Return how many examples a step in this process may have; 0 if the model itself is too large.

    Raises:
        ModelError: the model does not fit its input.
    """
    if sum(map(count_state, job.model.layers)) > STEP_STATE:
        return 0
    work = sum(count_work(job.model, job.input_shape))
    values = sum(map(math.prod, find_shapes(job.model, job.input_shape)))
    return min(STEP_WORK // max(work, 1), STEP_VALUES // max(values, 1))


def budget_of(assignment: Assignment, *, stacks: int = 1) -> Budget:
    """Return the limits on the training of one item, whatever seeds an option names.

    Args:
        assignment: whose limits and seeds count.
        stacks: the trainings for each seed.
    """
    return Budget(
        reference_epochs=assignment.limits.training_reference_epochs,
        repetitions=len(assignment.seeds) * stacks,
        memory_bytes=assignment.limits.training_memory_bytes,
    )


def _hardly_above_chance(facts: DataFacts) -> float:
    """Return an accuracy that is little more than guessing gives: 0.2 for ten classes."""
    chance = 1 / (facts.classes or 1)
    return chance + (1 - chance) / 9
