"""The verdict on a model's runs: what they reached, held against the item's thresholds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from grader.assignment.records import ItemWithData, Threshold
from grader.grading.items.chance import Measured, is_borderline, needs_another_seed
from grader.grading.items.recipe import describe_recipe
from grader.grading.points import add_checks, add_scored_checks
from grader.results import CheckResult, ItemResult, Metric, TrainingReport, TrainingRun
from grader.training.job import TrainingJob


@dataclass(frozen=True, kw_only=True)
class Judge:
    """Judges the runs of one model; one seed that meets a threshold is enough for it.

    Attributes:
        job: the training or evaluation, without its seed.
        test_examples: the size of the test set.
    """

    item: ItemWithData
    job: TrainingJob
    test_examples: int

    def measure(self, run: TrainingRun) -> Measured:
        """Return the value of a run that counts, with its chance."""
        hardest = self.item.hardest
        value = run.counted(hardest.epoch, hardest.metric)
        if hardest.metric is Metric.RMSE:
            return Measured.of_rmse(value, run.rmse_error)
        return Measured.of_accuracy(value, self.test_examples)

    def may_gain(self, runs: Sequence[TrainingRun]) -> bool:
        """Return True if another seed may meet a threshold that no run has met yet."""
        measured = [self.measure(run) for run in runs]
        return any(
            needs_another_seed(measured[0], threshold.value, threshold.epoch)
            for threshold in self.item.thresholds
            if not _is_met(threshold, measured)
        )

    def conclude(
        self,
        so_far: ItemResult,
        runs: Sequence[TrainingRun],
        advise: Callable[[float], str],
    ) -> ItemResult:
        """Return the result with a check for each threshold, and with the report of the runs.

        Args:
            so_far: the result of the checks before the runs.
            runs: at least one.
            advise: returns the next step from how much is missing, for a threshold that was missed.
        """
        hardest = self.item.hardest
        measured = [self.measure(run) for run in runs]
        best = hardest.metric.best(one.value for one in measured)
        checks = [
            self._check(number, runs, measured, advise(abs(threshold.value - best)))
            for number, threshold in enumerate(self.item.thresholds)
        ]
        if len(checks) == 1:
            result = add_checks(so_far, *checks)
        else:
            result = add_scored_checks(so_far, checks, self._points_of_steps())
        report = TrainingReport(
            recipe=describe_recipe(self.job),
            runs=tuple(runs),
            threshold=hardest.value,
            counted_epoch=hardest.epoch,
            accuracy=best,
            interval=next(one.interval for one in measured if one.value == best),
            borderline=any(
                is_borderline(measured, threshold.value) for threshold in self.item.thresholds
            ),
            test_examples=self.test_examples,
            metric=hardest.metric,
            lesser_thresholds=tuple(threshold.value for threshold in self.item.thresholds[:-1]),
        )
        return replace(result, training=report)

    def _check(
        self,
        number: int,
        runs: Sequence[TrainingRun],
        measured: Sequence[Measured],
        next_step: str,
    ) -> CheckResult:
        threshold = self.item.thresholds[number]
        metric = threshold.metric
        bound = "at least" if metric is Metric.ACCURACY else "at most"
        expected = f"{bound} {metric.show(threshold.value)}"
        if self.job.epochs:
            expected += f" in the {threshold.epoch} epoch of one seed"
        return CheckResult.judged(
            "accuracy" if len(self.item.thresholds) == 1 else f"accuracy-{number + 1}",
            metric.heading,
            passed=_is_met(threshold, measured),
            observed=self._describe(runs, measured, threshold),
            expected=expected,
            next_step=next_step,
        )

    def _describe(
        self, runs: Sequence[TrainingRun], measured: Sequence[Measured], threshold: Threshold
    ) -> str:
        """Return the best value with everything that qualifies it."""
        metric = threshold.metric
        best = metric.best(one.value for one in measured)
        seeds = "1 seed" if len(runs) == 1 else f"the best of {len(runs)} seeds"
        observed = metric.show(best)
        if self.job.epochs:
            observed += f" in the {threshold.epoch} epoch ({seeds})"
        if any(run.diverged for run in runs):
            observed += "; the loss became infinite or NaN"
        borderline = is_borderline(measured, threshold.value)
        if borderline and metric.is_met(best, threshold.value):
            observed += "; the other seeds fell short"
        elif borderline:
            observed += "; the threshold is within the 95% interval"
        return observed

    def _points_of_steps(self) -> list[float]:
        """Return what each threshold adds to the points of those before it."""
        totals = [threshold.points or 0.0 for threshold in self.item.thresholds[:-1]]
        return [after - before for before, after in pairwise([0.0, *totals, self.item.points])]


def _is_met(threshold: Threshold, measured: Sequence[Measured]) -> bool:
    return any(threshold.metric.is_met(one.value, threshold.value) for one in measured)
