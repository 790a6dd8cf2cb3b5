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
    fit_scale,
    markers,
    short_percentage,
    threshold_line,
)
from grader.report.wording import count, percentage, points

_SCORE_BINS, _ACCURACY_BINS = 20, 28
_BAR_GAP = 1.0
_SERIES = ("series-1", "series-2")
"""Classes of those who reach the threshold, and of the others."""
_OUTLIER_SHARE = 0.05
"""The lowest accuracies may lie outside: one failed run must not flatten the others."""


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
    """Draw how many models have which accuracy, below and above the threshold."""
    fitted = _accuracy_scale(item, ACROSS)
    width = (fitted.high - fitted.low) / _ACCURACY_BINS
    # Whole bins, one of which begins at the threshold.
    below, above = (
        math.ceil(abs(end - item.threshold) / width - 1e-9) for end in (fitted.low, fitted.high)
    )
    low, high = item.threshold - below * width, item.threshold + above * width
    x = replace(fitted, low=low, high=high)
    y, bars = _histogram(item.accuracies, x, item.threshold, width, percentage, _labels(item))
    upright = f"M{x.place(item.threshold)} {TOP}V{BOTTOM}"
    return Chart(
        title=f"{item.id}: accuracies over the class",
        description=_describe(item),
        x_label=_accuracy_label(item, x),
        y_label="students",
        x_ticks=x.ticks(short_percentage),
        y_ticks=y.ticks(points, about=4),
        shapes=[*bars, Shape(look="threshold", path=upright)],
    )


def size_chart(item: TrainedItem) -> Chart | None:
    """Draw accuracy against the number of parameters, or return None if no number is known."""
    models = [(model.parameters, model.accuracy) for model in item.models if model.parameters]
    if not models:
        return None
    x = fit_scale((size for size, _ in models), ACROSS, logarithmic=True)
    y = _accuracy_scale(item, UP)
    sides: tuple[set[tuple[float, float]], ...] = (set(), set())
    for size, accuracy in models:
        sides[accuracy < item.threshold].add((x.place(size), y.place(accuracy)))
    dots = [
        markers(f"dots {series}", sorted(places), DOT, label)
        for series, places, label in zip(_SERIES, sides, _labels(item), strict=True)
        if places
    ]
    return Chart(
        title=f"{item.id}: accuracy against parameters",
        description=_describe(item),
        x_label="trainable parameters",
        y_label=_accuracy_label(item, y),
        x_ticks=x.ticks(_short_count),
        y_ticks=y.ticks(short_percentage),
        shapes=[*dots, threshold_line(y, item.threshold)],
    )


def _accuracy_scale(item: TrainedItem, axis: tuple[float, float]) -> Scale:
    """Return a scale for the threshold and all accuracies but the lowest."""
    inside = item.accuracies[int(_OUTLIER_SHARE * len(item.models)) :]
    return fit_scale([item.threshold, *inside], axis, lowest=0, highest=1)


def _histogram(
    values: Sequence[float],
    x: Scale,
    origin: float,
    width: float,
    words: Callable[[float], str],
    labels: Sequence[str] = ("", ""),
) -> tuple[Scale, list[Shape]]:
    """Return the scale and the bars of a histogram of the students' values.

    A bin starts at `origin`; bars before it have another colour, and the second label.
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
        below = number < 0
        bars.append(
            Shape(
                look=f"column {_SERIES[below]}",
                path=f"M{left} {y.place(students)}h{across}V{BOTTOM}h-{across}z",
                label=labels[below],
                sample=SAMPLE_BOX,
                title=f"{' to '.join(map(words, edges))}: {count(students)}",
            )
        )
    return y, bars


def _accuracy_label(item: TrainedItem, scale: Scale) -> str:
    below = sum(accuracy < scale.low for accuracy in item.accuracies)
    if not below:
        return "test accuracy"
    return f"test accuracy ({count(below)} below {short_percentage(scale.low)}, drawn at the edge)"


def _short_count(value: float) -> str:
    """Return 50000.0 as "50k" and 1e6 as "1M"."""
    for limit, unit in ((1e6, "M"), (1e3, "k")):
        if value >= limit:
            return f"{value / limit:g}{unit}"
    return f"{value:g}"


def _describe(item: TrainedItem) -> str:
    accuracies = item.accuracies
    return (
        f"{count(item.reached)} of {count(len(accuracies))} models reach the threshold of "
        f"{percentage(item.threshold)}. Accuracies run from {percentage(accuracies[0])} to "
        f"{percentage(accuracies[-1])}."
    )


def _labels(item: TrainedItem) -> tuple[str, str]:
    """Return the labels of the models that reach the threshold, and of the others."""
    below = len(item.models) - item.reached
    return f"{count(item.reached)} reached {percentage(item.threshold)}", f"{count(below)} below"
