"""The class page's charts."""

import re
from dataclasses import replace

import pytest

from grader.cohort.charts import accuracy_histogram, score_chart, size_chart
from grader.cohort.statistics import TrainedItem, TrainedModel
from grader.report.charts import BOTTOM, LEFT
from grader.results import Metric


@pytest.fixture
def model_item():
    """Four models against 98%: two reach it, one is just below, one failed altogether."""
    trained = ((0.98, 50_000), (0.985, 80_000), (0.979, None), (0.1, 1_000_000))
    return TrainedItem(
        id="2C",
        title="A network",
        threshold=0.98,
        models=tuple(TrainedModel(accuracy=one, parameters=size) for one, size in trained),
    )


def edges(chart, series):
    """Where the bars of one series begin and end."""
    bars = [shape.path for shape in chart.shapes if shape.look == f"column {series}"]
    numbers = [re.match(r"M([\d.]+) [\d.]+h([\d.]+)V", bar).groups() for bar in bars]
    return [(float(left), float(left) + float(width)) for left, width in numbers]


def test_no_bar_crosses_the_threshold(model_item):
    """Bars end at the threshold, and those on its two sides differ in colour."""
    chart = accuracy_histogram(model_item)
    (line,) = [shape.path for shape in chart.shapes if shape.look == "threshold"]
    threshold = float(line[1:].split()[0])
    below, above = edges(chart, "series-2"), edges(chart, "series-1")
    assert below
    assert above
    assert all(right <= threshold for _, right in below)
    assert all(left >= threshold for left, _ in above)
    assert all(left >= LEFT for left, _ in below + above)


def test_legend_counts_both_sides(model_item):
    """The legend says how many models are on each side of the threshold."""
    for chart in (accuracy_histogram(model_item), size_chart(model_item)):
        assert set(chart.legend) == {"2 below", "2 reached 98.00%"}


def test_failed_run_at_the_edge():
    """It is drawn at the edge, and the axis says so."""
    models = [TrainedModel(accuracy=0.98 + n / 10_000, parameters=1000 + n) for n in range(40)]
    models[0] = TrainedModel(accuracy=0.1, parameters=999)
    chart = size_chart(TrainedItem(id="2C", title="x", threshold=0.98, models=tuple(models)))
    assert chart is not None
    assert "1 below" in chart.y_label
    (below,) = [shape.path for shape in chart.shapes if shape.look == "dots series-2"]
    assert f" {BOTTOM}" in below


def test_errors_of_numbers(model_item):
    """Of an error less is better: who reached the threshold stands on its left."""
    item = replace(model_item, metric=Metric.RMSE)
    reached, missed = accuracy_histogram(model_item), accuracy_histogram(item)
    assert next(iter(reached.legend)).endswith("below")
    assert next(iter(missed.legend)).endswith("reached 0.98")
    assert any(label.endswith("above") for label in missed.legend)


def test_models_of_unknown_size(model_item):
    """Without any number of parameters there is no chart of sizes."""
    unknown = tuple(replace(model, parameters=None) for model in model_item.models)
    assert size_chart(replace(model_item, models=unknown)) is None


@pytest.mark.parametrize("models", [1, 2, 1000])
def test_equal_models(models):
    """Equal values leave a scale that divides by nothing."""
    same = (TrainedModel(accuracy=1.0, parameters=7),) * models
    model_item = TrainedItem(id="2C", title="x", threshold=1.0, models=same)
    (bar,) = [shape for shape in accuracy_histogram(model_item).shapes if shape.title]
    assert bar.title.endswith(f": {models:,}")
    assert size_chart(model_item) is not None


def test_bars_of_points_hold_everybody():
    """Zero, fractions and full marks each fall into a bar."""
    chart = score_chart([0, 0.1, 55.5, 100, 100], possible=100)
    assert sum(int(bar.title.split(": ")[1]) for bar in chart.shapes) == 5
    assert [tick.label for tick in chart.x_ticks] == ["0", "20", "40", "60", "80", "100"]
