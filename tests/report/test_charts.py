"""The report's charts: what is drawn, and in classes of the style sheet only."""

import dataclasses
import re

import pytest

from grader.report.charts import Scale, loss_curves, metric_curves, sweep_chart
from grader.report.html import template_environment
from grader.results import EpochResult
from tests.support.result_sample_items import BROKEN, run, sweep, training

THREE_RUNS = BROKEN["2C"]["training"]
DIVERGED = BROKEN["2E"]["training"]


def drawn(chart):
    """The chart as it stands in a page."""
    return str(template_environment().get_template("charts.html").module.figure(chart, "chart-1"))


def paths(chart, kind):
    """The path data of every shape of one kind."""
    return [shape.path for shape in chart.shapes if shape.look.split()[0] == kind]


@pytest.mark.parametrize(
    "draw",
    [
        lambda: metric_curves(THREE_RUNS),
        lambda: loss_curves(DIVERGED),
        lambda: sweep_chart(sweep()),
    ],
)
def test_inert(draw):
    """The same data give the same drawing, coloured only by the page's classes."""
    source = drawn(draw())
    assert drawn(draw()) == source
    assert re.search(r"style=|#[0-9a-f]{6}\b|rgb\(|(fill|stroke)[-\w]*=|nan|inf\b", source) is None
    assert len(source) < 20_000


def test_named():
    """Title, description, axis labels and legend are text that can be read out and searched."""
    source = drawn(metric_curves(THREE_RUNS))
    assert 'role="img" aria-labelledby="chart-1-title chart-1-desc"' in source
    assert '<title id="chart-1-title">Test accuracy by epoch</title>' in source
    assert '<desc id="chart-1-desc">Threshold: 97.50%. seed 0: best 97.' in source
    for label in ("epoch", "test accuracy"):
        assert f">{label}</text>" in source
    for label in ("threshold", "seed 0", "seed 1", "seed 2"):
        assert f"</svg>{label}</li>" in source


def test_curves():
    """Every run is a line with a marker at every epoch; the threshold is a line across."""
    chart = metric_curves(THREE_RUNS)
    assert len(paths(chart, "line")) == len(THREE_RUNS.runs)
    epochs = [len(run.epochs) for run in THREE_RUNS.runs]
    assert [path.count("L") + 1 for path in paths(chart, "line")] == epochs
    assert [path.count("M") for path in paths(chart, "marker")] == epochs
    (threshold,) = paths(chart, "threshold")
    lowest = max(float(y) for y in re.findall(r"[ML][\d.]+ ([\d.]+)", paths(chart, "line")[0]))
    assert float(threshold.split()[1].split("H")[0]) < lowest
    assert [tick.label for tick in chart.x_ticks] == [str(epoch) for epoch in range(1, 11)]


def test_series_differ():
    """Seven runs: six looks, so that neighbours differ in more than colour."""
    chart = metric_curves(training(tuple(run(seed, 0.98) for seed in range(7)), 0.97))
    looks = [shape.look for shape in chart.shapes if shape.look.startswith("line")]
    assert len(set(looks)) == 6
    markers = {path.split("m", 1)[1].split("M")[0] for path in paths(chart, "marker")}
    assert len(markers) == 6


def test_early_ends():
    """Runs that stopped early or diverged have a large mark and a place in the legend."""
    stopped = metric_curves(training((run(0, 0.98, epochs=4, stopped_early=True),), 0.97))
    assert list(stopped.legend) == ["threshold", "seed 0", "stopped early"]
    assert list(loss_curves(DIVERGED).legend) == ["seed 0", "seed 1", "seed 2", "diverged"]
    assert "stopped early" not in metric_curves(training((run(0, 0.98),), 0.97)).legend
    assert len(paths(loss_curves(DIVERGED), "end")) == 3


def test_diverged_is_logarithmic():
    """A loss of 2 beside one of 20,000 can still be read."""
    assert [tick.label for tick in loss_curves(DIVERGED).y_ticks] == ["10", "100", "1000", "10000"]
    assert float(loss_curves(THREE_RUNS).y_ticks[0].label) < 1


def test_tolerance():
    """A sweep has a band where it is judged, and none in practice."""
    assert list(sweep_chart(sweep()).legend) == ["tolerance", "reproduced", "reported"]
    assert list(sweep_chart(sweep(judged=False)).legend) == ["reproduced", "reported"]
    missing = sweep_chart(sweep(disagreeing=(1,)))
    assert paths(missing, "hollow")[0].count("M") == 9
    untrained = [dataclasses.replace(point, reproduced=()) for point in sweep()]
    assert list(sweep_chart(untrained).legend) == ["reported"]


def test_nothing_finite():
    """Empty runs and infinite losses leave a chart without their curves."""
    empty = dataclasses.replace(run(0, 0.5), epochs=(), diverged=True)
    losses = (2.0, float("inf"), float("nan"))
    epochs = tuple(EpochResult(train_loss=loss, test_accuracy=0.1) for loss in losses)
    for runs in ((empty,), (dataclasses.replace(empty, epochs=epochs),), ()):
        report = dataclasses.replace(THREE_RUNS, runs=runs)
        for chart in (metric_curves(report), loss_curves(report)):
            assert all(
                "nan" not in shape.path and "inf" not in shape.path for shape in chart.shapes
            )
            assert chart.x_ticks
            assert chart.y_ticks


@pytest.mark.parametrize(
    ("low", "high", "labels"),
    [
        (10, 1000, ["10", "100", "1000"]),
        (40, 300, ["50", "100", "200"]),
        (6, 9, ["6", "7", "8", "9"]),
    ],
)
def test_logarithmic_ticks(low, high, labels):
    """Powers of ten, 2 and 5 between them in a short range, and round values in a shorter one."""
    scale = Scale(low=low, high=high, axis=(0, 100), logarithmic=True)
    assert [tick.label for tick in scale.ticks("{:.0f}".format, about=4)] == labels


def test_many_decades():
    """An exploding loss has no more ticks than fit."""
    scale = Scale(low=1, high=1e38, axis=(0, 100), logarithmic=True)
    assert 4 <= len(scale.ticks(str)) <= 13
