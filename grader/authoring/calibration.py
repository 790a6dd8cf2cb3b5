"""Calibrate thresholds: how far the reference's accuracies spread over seeds, and what that means.

The chance of failing is simulated: seeds draw from a normal distribution with the measured mean and
standard deviation, and are run by the grader's own rule.
"""

from __future__ import annotations

import difflib
import math
import random
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from grader.assignment.records import Assignment, ItemWithData, ModelItem, Threshold
from grader.assignment.source_lines import find_thresholds
from grader.grading.items.chance import Measured, needs_another_seed
from grader.results import ItemResult, Metric, SubmissionResult, TrainingReport

DRAWS = 4000
ACCEPTED_CHANCE = 0.01
"""A model as good as the reference may fail by chance this often."""


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """One model item over its seeds.

    Attributes:
        item_id: of the item.
        metric: what is measured; `mean` and `deviation` are the counted values' over seeds.
        threshold: the present one, for all points.
        chance: that a model as good as the reference fails it.
        seconds: the time that a student's model like the reference costs, on this machine.
        proposed: the hardest round threshold that such a model fails by chance in at most
            `ACCEPTED_CHANCE` of the gradings.
    """

    item_id: str
    metric: Metric
    seeds: int
    mean: float
    deviation: float
    threshold: float
    chance: float
    seconds: float
    proposed: float


def calibrated_items(assignment: Assignment) -> list[str]:
    """Return the ids of the items whose models are trained."""
    return [item_id for item_id, item in assignment.item_ids() if isinstance(item, ModelItem)]


def calibrate(assignment: Assignment, result: SubmissionResult) -> Iterator[Calibration]:
    """Yield the calibration of every item whose runs are in the reference's result."""
    items = dict(assignment.item_ids())
    for graded in result.items():
        item = items[graded.id]
        if isinstance(item, ItemWithData) and graded.training and len(graded.training.runs) > 1:
            yield _calibrate(item, graded, graded.training, assignment.seeds)


def _calibrate(
    item: ItemWithData, graded: ItemResult, training: TrainingReport, seeds: Sequence[int]
) -> Calibration:
    values = [training.counted(run) for run in training.runs]
    mean, deviation = statistics.fmean(values), statistics.stdev(values)
    threshold, metric = item.hardest, training.metric
    error = statistics.fmean(run.rmse_error for run in training.runs)

    def measure(value: float) -> Measured:
        if metric is Metric.RMSE:
            return Measured.of_rmse(max(0.0, value), error)
        return Measured.of_accuracy(min(max(value, 0.0), 1.0), training.test_examples)

    def simulate(candidate: float) -> tuple[float, float]:
        changed = threshold.at(candidate)
        return _simulate(changed, len(seeds), lambda draw: measure(draw.gauss(mean, deviation)))

    chance, runs = simulate(threshold.value)
    return Calibration(
        item_id=graded.id,
        metric=metric,
        seeds=len(values),
        mean=mean,
        deviation=deviation,
        threshold=threshold.value,
        chance=chance,
        seconds=runs * statistics.fmean(run.wall_seconds for run in training.runs),
        proposed=_propose(metric, mean, deviation, lambda value: simulate(value)[0]),
    )


def _simulate(
    threshold: Threshold, seeds: int, draw_run: Callable[[random.Random], Measured]
) -> tuple[float, float]:
    """Return the share of gradings that fail, and the mean number of runs."""
    draw, failures, runs = random.Random(0), 0, 0  # noqa: S311  # a simulation
    for _ in range(DRAWS):
        first = draw_run(draw)
        runs += 1
        met = threshold.metric.is_met(first.value, threshold.value)
        if not met and needs_another_seed(first, threshold.value, threshold.epoch):
            for _ in range(seeds - 1):
                runs += 1
                if threshold.metric.is_met(draw_run(draw).value, threshold.value):
                    met = True
                    break
        failures += not met
    return failures / DRAWS, runs / DRAWS


def _propose(
    metric: Metric, mean: float, deviation: float, chance_at: Callable[[float], float]
) -> float:
    """Return the hardest round threshold that is failed by chance seldom enough."""
    step = 0.005 if metric is Metric.ACCURACY else 10.0 ** (math.floor(math.log10(mean)) - 1)
    towards = -1 if metric is Metric.ACCURACY else 1
    start = math.floor(mean / step) if metric is Metric.ACCURACY else math.ceil(mean / step)
    for number in range(20 + math.ceil(4 * deviation / step)):
        candidate = round((start + towards * number) * step, 6)
        if candidate <= 0 or chance_at(candidate) <= ACCEPTED_CHANCE:
            break
    return candidate


def write_patch(file: Path, proposed: dict[str, float]) -> str:
    """Return a patch of an assignment's file that sets thresholds, by item id; "" if none is found.

    Only the thresholds of items that stand as calls inside of their `Part` are found.
    """
    text = file.read_text(encoding="utf-8")
    lines = text.splitlines(keepends=True)
    changed = list(lines)
    found = find_thresholds(text)
    chosen = [(found[item_id], value) for item_id, value in proposed.items() if item_id in found]
    for node, value in sorted(chosen, key=lambda pair: -pair[0].col_offset):
        # Column offsets are in bytes of UTF-8.
        line = changed[node.lineno - 1].encode()
        changed[node.lineno - 1] = (
            line[: node.col_offset] + f"{value:g}".encode() + line[node.end_col_offset :]
        ).decode()
    return "".join(difflib.unified_diff(lines, changed, f"a/{file.name}", f"b/{file.name}"))
