"""The class page's charts: points, accuracies, and accuracy against size."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
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
_OUTLIER_SHARE = 0.05
"""The lowest accuracies may lie outside: one failed run must not flatten the others."""


def score_chart(scores: Sequence[float], possible: float) -> Chart:
    """Draw how many students have how many points."""
    x = Scale(low=0, high=max(possible, *scores, 1.0), axis=ACROSS)
    width = x.high / _SCORE_BINS
    counts = Counter(min(int(score / width), _SCORE_BINS - 1) for score in scores)
    y = _count_scale(counts)
    return Chart(
        title="Points over the class",
        description=f"{count(len(scores))} students in {_SCORE_BINS} groups by points.",
        x_label="points, after late penalties",
        y_label="students",
        x_ticks=x.ticks(points),
        y_ticks=y.ticks(points, about=4),
        shapes=[
            _bar(x, y, number * width, width, students, points, look="column series-1")
            for number, students in sorted(counts.items())
        ],
    )


def accuracy_histogram(item: TrainedItem) -> Chart:
    """Draw how many models have which accuracy, below and above the threshold."""
    x, width = _accuracy_bins(item)
    last = round((x.high - item.threshold) / width) - 1
    counts = Counter(
        min(math.floor((max(value, x.low) - item.threshold) / width + 1e-9), last)
        for value in item.accuracies
    )
    y = _count_scale(counts)
    shapes = []
    for number, students in sorted(counts.items()):
        left = item.threshold + number * width
        look, label = _side(item, "column", reached=number >= 0)
        shapes.append(_bar(x, y, left, width, students, percentage, look=look, legend=label))
    upright = f"M{x.place(item.threshold)} {TOP}V{BOTTOM}"
    return Chart(
        title=f"{item.id}: accuracies over the class",
        description=_describe(item),
        x_label=_accuracy_label(item, x),
        y_label="students",
        x_ticks=x.ticks(short_percentage),
        y_ticks=y.ticks(points, about=4),
        shapes=[*shapes, Shape(look="threshold", path=upright)],
    )


def size_chart(item: TrainedItem) -> Chart | None:
    """Draw accuracy against the number of parameters, or return None if no number is known."""
    models = [(model.parameters, model.accuracy) for model in item.models if model.parameters]
    if not models:
        return None
    x = fit_scale((size for size, _ in models), ACROSS, logarithmic=True)
    y = _accuracy_scale(item, UP)
    shapes = []
    for reached in (False, True):
        # A set, since many models may lie on one place.
        places = {
            (x.place(size), y.place(accuracy))
            for size, accuracy in models
            if (accuracy >= item.threshold) is reached
        }
        if places:
            look, label = _side(item, "dots", reached=reached)
            shapes.append(markers(look, sorted(places), DOT, label))
    return Chart(
        title=f"{item.id}: accuracy against parameters",
        description=_describe(item),
        x_label="trainable parameters",
        y_label=_accuracy_label(item, y),
        x_ticks=x.ticks(_short_count),
        y_ticks=y.ticks(short_percentage),
        shapes=[*shapes, threshold_line(y, item.threshold)],
    )


def _accuracy_bins(item: TrainedItem) -> tuple[Scale, float]:
    """Return a scale of whole bins, one of which begins at the threshold, and their width."""
    scale = _accuracy_scale(item, ACROSS)
    width = (scale.high - scale.low) / _ACCURACY_BINS
    below, above = (
        math.ceil(abs(end - item.threshold) / width - 1e-9) for end in (scale.low, scale.high)
    )
    low, high = item.threshold - below * width, item.threshold + above * width
    return replace(scale, low=low, high=high), width


def _accuracy_scale(item: TrainedItem, axis: tuple[float, float]) -> Scale:
    """Return a scale for the threshold and all accuracies but the lowest."""
    inside = item.accuracies[int(_OUTLIER_SHARE * len(item.models)) :]
    return fit_scale([item.threshold, *inside], axis, lowest=0, highest=1)


def _count_scale(counts: Mapping[int, int]) -> Scale:
    return Scale(low=0, high=max([*counts.values(), 4]), axis=UP)


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


def _side(item: TrainedItem, kind: str, *, reached: bool) -> tuple[str, str]:
    """Return look and label of the models on one side of the threshold."""
    if reached:
        return f"{kind} series-1", f"{count(item.reached)} reached {percentage(item.threshold)}"
    return f"{kind} series-2", f"{count(len(item.models) - item.reached)} below"


def _bar(
    x: Scale,
    y: Scale,
    low: float,
    width: float,
    students: int,
    words: Callable[[float], str],
    *,
    look: str,
    legend: str = "",
) -> Shape:
    """Return a bar from `low` to `low + width`; `words` writes both into its title."""
    left, right, top = x.place(low), x.place(low + width), y.place(students)
    across = max(round(right - left - _BAR_GAP, 1), 1.0)
    return Shape(
        look=look,
        path=f"M{left} {top}h{across}V{BOTTOM}h-{across}z",
        label=legend,
        sample=SAMPLE_BOX,
        title=f"{words(low)} to {words(low + width)}: {count(students)}",
    )
