"""Calibration: chances from the spread of seeds, and thresholds from chances."""

from dataclasses import replace
from pathlib import Path

import pytest

from grader.assignment.loading import home_of, load_assignment
from grader.assignment.source_lines import find_thresholds
from grader.authoring.calibration import calibrate, write_patch
from grader.results import (
    EpochResult,
    ItemResult,
    Metric,
    Outcome,
    RecipeReport,
    Score,
    TrainingReport,
    TrainingRun,
)

SPREAD = (-0.01, -0.005, 0.0, 0.0, 0.005, 0.01)


class Result:
    """A result with one item."""

    def __init__(self, item: ItemResult) -> None:
        self._item = item

    def items(self) -> list[ItemResult]:
        return [self._item]


def calibrated(mean: float, threshold: float):
    """The calibration of 2A, whose final accuracies spread around a mean."""
    runs = tuple(
        TrainingRun(
            seed=seed,
            epochs=(EpochResult(train_loss=0.1, test_accuracy=mean + off),),
            wall_seconds=2,
        )
        for seed, off in enumerate(SPREAD)
    )
    training = TrainingReport(
        recipe=RecipeReport(epochs=1, batch_size=32, optimizer=()),
        runs=runs,
        threshold=threshold,
        counted_epoch="best",
        accuracy=mean,
        interval=(0, 1),
        borderline=False,
        test_examples=10_000,
    )
    item = ItemResult(
        id="2A", title="", kind="model", outcome=Outcome.PASSED, score=Score(possible=4),
        training=training,
    )  # fmt: skip
    assignment = load_assignment("digits").with_items(
        lambda item_id, item: (
            replace(item, threshold=item.threshold.at(threshold)) if item_id == "2A" else item
        )
    )
    (row,) = calibrate(assignment, Result(item))
    return row


def test_easy_threshold():
    """A threshold far below the accuracies is never failed, and costs one run."""
    row = calibrated(0.95, 0.90)
    assert (row.mean, row.chance, row.seconds) == (pytest.approx(0.95), 0.0, 2.0)


def test_hard_threshold():
    """A threshold at the mean fails an eighth with three seeds, and costs more runs."""
    row = calibrated(0.95, 0.95)
    assert 0.08 < row.chance < 0.17
    assert 3.0 < row.seconds < 4.5


def test_proposal():
    """The proposed threshold is the hardest in half points that is failed in at most 1%."""
    row = calibrated(0.95, 0.80)
    assert row.proposed == pytest.approx(0.94)
    assert calibrated(0.95, row.proposed).chance <= 0.01 < calibrated(0.95, 0.945).chance


def test_patch(tmp_path: Path):
    """A patch changes the threshold for all points, and nothing else."""
    file = home_of("digits") / "assignment.py"
    patch = write_patch(file, {"2A": 0.915, "2B.model": 0.955, "9Z": 0.1})
    changed = [
        line for line in patch.splitlines() if line[0] in "+-" and line[:3] not in {"+++", "---"}
    ]
    assert [line.strip("+-").strip() for line in changed] == [
        "threshold=Threshold(0.93),",
        "threshold=Threshold(0.915),",
        'Threshold(0.95, points=8, epoch="final"),',
        'Threshold(0.955, points=8, epoch="final"),',
    ]
    assert set(find_thresholds(file.read_text())) == {"2A", "2B.model", "2C"}


def test_metric_of_numbers():
    """Of errors the least is best, and none at all is the worst."""
    assert Metric.RMSE.best([0.3, 0.2]) == 0.2
    assert Metric.RMSE.show(Metric.RMSE.best([])) == "infinite"
