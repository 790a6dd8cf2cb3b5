"""The class page's charts: points, accuracies, and accuracy against size."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace

from grader.cohort.statistics import TrainedItem
from grader.report.charts import (
    ACROSS,
    BOTTOM,
    DOT,
    SAMPLE_BOX,
    TOP,
    UP,
    Chart,
    Scale,
    Shape,
    fit_metric_scale,
    fit_scale,
    markers,
    metric_label,
    threshold_line,
)
from grader.report.wording import count, points
from grader.results import Metric

_SCORE_BINS, _ACCURACY_BINS = 20, 28
_BAR_GAP = 1.0
_SERIES = ("series-1", "series-2")
"""Classes of those who reach the threshold, and of the others."""
_OUTLIER_SHARE = 0.05
"""The worst models may lie outside: one failed run must not flatten the others."""


def score_chart(scores: Sequence[float], possible: float) -> Chart:
    """Draw how many students have how many points."""
    x = Scale(low=0, high=max(possible, *scores, 1.0), axis=ACROSS)
    y, bars = _histogram(scores, x, 0, x.high / _SCORE_BINS, points)
    return Chart(
        title="Points over the class",
        description=f"{count(len(scores))} students in {_SCORE_BINS} groups by points.",
        x_label="points, after late penalties",
        y_label="students",
        x_ticks=x.ticks(points),
        y_ticks=y.ticks(points, about=4),
        shapes=bars,
    )


def accuracy_histogram(item: TrainedItem) -> Chart:
    """Draw how many models have which accuracy or error, below and above the threshold."""
    fitted = _metric_scale(item, ACROSS)
    width = (fitted.high - fitted.low) / _ACCURACY_BINS
    # Whole bins, one of which begins at the threshold.
    below, above = (
        math.ceil(abs(end - item.threshold) / width - 1e-9) for end in (fitted.low, fitted.high)
    )
    low, high = item.threshold - below * width, item.threshold + above * width
    x = replace(fitted, low=low, high=high)
    # From the threshold on the right, and before it.
    sides = tuple(zip(_SERIES, _labels(item), strict=True))
    if item.metric is Metric.RMSE:
        sides = sides[::-1]
    y, bars = _histogram(item.accuracies, x, item.threshold, width, item.metric.show, sides)
    upright = f"M{x.place(item.threshold)} {TOP}V{BOTTOM}"
    return Chart(
        title=f"{item.id}: {_plural(item.metric)} over the class",
        description=_describe(item),
        x_label=_metric_label(item, x),
        y_label="students",
        x_ticks=x.ticks(metric_label(item.metric)),
        y_ticks=y.ticks(points, about=4),
        shapes=[*bars, Shape(look="threshold", path=upright)],
    )


def size_chart(item: TrainedItem) -> Chart | None:
    """Draw accuracy or error against the number of parameters, or return None without numbers."""
    models = [(model.parameters, model.accuracy) for model in item.models if model.parameters]
    if not models:
        return None
    x = fit_scale((size for size, _ in models), ACROSS, logarithmic=True)
    y = _metric_scale(item, UP)
    sides: tuple[set[tuple[float, float]], ...] = (set(), set())
    for size, accuracy in models:
        sides[not item.metric.is_met(accuracy, item.threshold)].add(
            (x.place(size), y.place(accuracy))
        )
    dots = [
        markers(f"dots {series}", sorted(places), DOT, label)
        for series, places, label in zip(_SERIES, sides, _labels(item), strict=True)
        if places
    ]
    return Chart(
        title=f"{item.id}: {item.metric.label.partition(' ')[2]} against parameters",
        description=_describe(item),
        x_label="trainable parameters",
        y_label=_metric_label(item, y),
        x_ticks=x.ticks(_short_count),
        y_ticks=y.ticks(metric_label(item.metric)),
        shapes=[*dots, threshold_line(y, item.threshold)],
    )


def _metric_scale(item: TrainedItem, axis: tuple[float, float]) -> Scale:
    """Return a scale for the threshold and all values but the worst."""
    outside = int(_OUTLIER_SHARE * len(item.models))
    values = item.accuracies
    inside = values[outside:] if item.metric is Metric.ACCURACY else values[: len(values) - outside]
    return fit_metric_scale([item.threshold, *inside], axis, item.metric)


def _plural(metric: Metric) -> str:
    return "accuracies" if metric is Metric.ACCURACY else "test RMSEs"


def _histogram(
    values: Sequence[float],
    x: Scale,
    origin: float,
    width: float,
    words: Callable[[float], str],
    sides: Sequence[tuple[str, str]] = ((_SERIES[0], ""), (_SERIES[1], "")),
) -> tuple[Scale, list[Shape]]:
    """Return the scale and the bars of a histogram of the students' values.

    A bin starts at `origin`; bars from there on have the first class and label of `sides`, those
    before it the second.
    """
    last = round((x.high - origin) / width) - 1
    counts = Counter(
        min(math.floor((max(value, x.low) - origin) / width + 1e-9), last) for value in values
    )
    y = Scale(low=0, high=max([*counts.values(), 4]), axis=UP)
    bars = []
    for number, students in sorted(counts.items()):
        edges = origin + number * width, origin + (number + 1) * width
        left, right = map(x.place, edges)
        across = max(round(right - left - _BAR_GAP, 1), 1.0)
        series, label = sides[number < 0]
        bars.append(
            Shape(
                look=f"column {series}",
                path=f"M{left} {y.place(students)}h{across}V{BOTTOM}h-{across}z",
                label=label,
                sample=SAMPLE_BOX,
                title=f"{' to '.join(map(words, edges))}: {count(students)}",
            )
        )
    return y, bars


def _metric_label(item: TrainedItem, scale: Scale) -> str:
    label, show = item.metric.label, metric_label(item.metric)
    below = sum(value < scale.low for value in item.accuracies)
    above = sum(value > scale.high for value in item.accuracies)
    if below:
        return f"{label} ({count(below)} below {show(scale.low)}, drawn at the edge)"
    if above:
        return f"{label} ({count(above)} above {show(scale.high)}, drawn at the edge)"
    return label


def _short_count(value: float) -> str:
    """Return 50000.0 as "50k" and 1e6 as "1M"."""
    for limit, unit in ((1e6, "M"), (1e3, "k")):
        if value >= limit:
            return f"{value / limit:g}{unit}"
    return f"{value:g}"


def _describe(item: TrainedItem) -> str:
    values, show = item.accuracies, item.metric.show
    return (
        f"{count(item.reached)} of {count(len(values))} models reach the threshold of "
        f"{show(item.threshold)}. {_plural(item.metric).capitalize()} run from {show(values[0])} "
        f"to {show(values[-1])}."
    )


def _labels(item: TrainedItem) -> tuple[str, str]:
    """Return the labels of the models that reach the threshold, and of the others."""
    missed = len(item.models) - item.reached
    side = "below" if item.metric is Metric.ACCURACY else "above"
    reached = f"{count(item.reached)} reached {item.metric.show(item.threshold)}"
    return reached, f"{count(missed)} {side}"
