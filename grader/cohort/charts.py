"""The class page's charts as plain geometry, which `class_charts.html` writes as SVG.

A class has a thousand points in each chart, and a page several charts; drawn as one path for each
group of points they are small, and nothing heavy has to be loaded for them.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from grader.cohort.statistics import ModelItem
from grader.report.wording import count, percentage, points

WIDTH, HEIGHT = 420, 236
LEFT, RIGHT, TOP, BOTTOM = 54, 408, 26, 196
"""The drawn area, in the units of the chart's view box."""

_SCORE_BINS, _ACCURACY_BINS = 20, 28
_BAR_GAP = 1.0
_OUTLIER_SHARE = 0.05
"""So many of the lowest accuracies may lie outside: one failed run must not flatten the others."""


@dataclass(frozen=True, kw_only=True)
class Tick:
    """A mark on an axis."""

    at: float
    label: str


@dataclass(frozen=True, kw_only=True)
class Bar:
    """One bar; `role` is a class of the style sheet, `title` what it says when pointed at."""

    x: float
    y: float
    width: float
    height: float
    role: str
    title: str


@dataclass(frozen=True, kw_only=True)
class Dots:
    """Points of one kind, as the data of a path."""

    role: str
    path: str


@dataclass(frozen=True, kw_only=True)
class Line:
    """A straight line across the drawn area."""

    x1: float
    y1: float
    x2: float
    y2: float


@dataclass(frozen=True, kw_only=True)
class Chart:
    """All that is drawn of one chart.

    Attributes:
        title: what it shows; its accessible name.
        description: its content in a sentence.
        legend: roles, and what they mean.
        wanted: the threshold, or None.
    """

    title: str
    description: str
    x_label: str
    y_label: str
    x_ticks: Sequence[Tick]
    y_ticks: Sequence[Tick]
    bars: Sequence[Bar] = ()
    dots: Sequence[Dots] = ()
    legend: Sequence[tuple[str, str]] = ()
    wanted: Line | None = None


@dataclass(frozen=True, kw_only=True)
class Scale:
    """From values to places along an axis.

    Attributes:
        low, high: the values at its ends; what lies beyond is drawn at the end.
        start, end: the places of its ends.
        logarithmic: equal ratios are equally long.
    """

    low: float
    high: float
    start: float
    end: float
    logarithmic: bool = False

    def place(self, value: float) -> float:
        """Where a value lies, to a tenth of a unit."""
        low, high, value = (
            math.log10(number) if self.logarithmic else number
            for number in (self.low, self.high, min(max(value, self.low), self.high))
        )
        share = (value - low) / (high - low)
        return round(self.start + share * (self.end - self.start), 1)

    def ticks(self, label: Callable[[float], str], *, about: int = 5) -> list[Tick]:
        """Marks at round values, about so many."""
        values = self._decades() if self.logarithmic else self._round_values(about)
        return [Tick(at=self.place(value), label=label(value)) for value in values]

    def _round_values(self, about: int) -> list[float]:
        rough = (self.high - self.low) / about
        magnitude = 10.0 ** math.floor(math.log10(rough))
        step = next(
            factor * magnitude for factor in (1, 2, 5, 10) if factor * magnitude >= rough * 0.999
        )
        first, last = math.ceil(self.low / step - 1e-6), math.floor(self.high / step + 1e-6)
        return [number * step for number in range(first, last + 1)]

    def _decades(self) -> list[float]:
        factors = (1, 2, 5) if self.high / self.low < 100 else (1,)
        exponents = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        values = (factor * 10.0**exponent for exponent in exponents for factor in factors)
        return [value for value in values if self.low <= value <= self.high]


def score_chart(scores: Sequence[float], possible: float) -> Chart:
    """How many students have how many points."""
    x = Scale(low=0, high=max(possible, *scores, 1.0), start=LEFT, end=RIGHT)
    width = x.high / _SCORE_BINS
    counts = Counter(min(int(score / width), _SCORE_BINS - 1) for score in scores)
    bins = {number: (number * width, (number + 1) * width) for number in range(_SCORE_BINS)}
    y = _count_scale(counts)
    return Chart(
        title="Points over the class",
        description=f"{count(len(scores))} students in {_SCORE_BINS} groups by points.",
        x_label="points, after what lateness costs",
        y_label="students",
        x_ticks=x.ticks(points),
        y_ticks=y.ticks(points, about=4),
        bars=[
            _bar(x, y, edges, counts[number], "first", _range(edges, points))
            for number, edges in bins.items()
            if counts[number]
        ],
    )


def accuracy_chart(item: ModelItem) -> Chart:
    """How many models have which accuracy, below and above the threshold."""
    x, width = _accuracy_bins(item)
    last = round((x.high - item.threshold) / width) - 1
    numbers = Counter(
        min(math.floor((max(value, x.low) - item.threshold) / width + 1e-9), last)
        for value in item.accuracies
    )
    y = _count_scale(numbers)
    return Chart(
        title=f"{item.id}: accuracies over the class",
        description=_describe(item),
        x_label=_accuracy_label(item, x),
        y_label="students",
        x_ticks=x.ticks(_as_percentage),
        y_ticks=y.ticks(points, about=4),
        bars=[
            _bar(x, y, edges, numbers[number], _role(number >= 0), _range(edges, percentage))
            for number in sorted(numbers)
            for edges in [(item.threshold + number * width, item.threshold + (number + 1) * width)]
        ],
        legend=_legend(item),
        wanted=Line(x1=x.place(item.threshold), y1=TOP, x2=x.place(item.threshold), y2=BOTTOM),
    )


def size_chart(item: ModelItem) -> Chart | None:
    """Accuracy against the number of parameters; None where that is not known."""
    models = [(model.parameters, model.accuracy) for model in item.models if model.parameters]
    if not models:
        return None
    sizes = [size for size, _ in models]
    x = Scale(low=min(sizes) / 1.1, high=max(sizes) * 1.1, start=LEFT, end=RIGHT, logarithmic=True)
    y = _accuracy_scale(item, BOTTOM, TOP)
    sides = {
        reached: [
            (x.place(size), y.place(accuracy))
            for size, accuracy in models
            if (accuracy >= item.threshold) is reached
        ]
        for reached in (False, True)
    }
    return Chart(
        title=f"{item.id}: accuracy against parameters",
        description=_describe(item),
        x_label="trainable parameters",
        y_label=_accuracy_label(item, y),
        x_ticks=x.ticks(lambda value: count(round(value))),
        y_ticks=y.ticks(_as_percentage),
        dots=[
            Dots(
                role=_role(reached),
                path="".join(f"M{left} {top}h0" for left, top in sorted(set(places))),
            )
            for reached, places in sides.items()
            if places
        ],
        legend=_legend(item),
        wanted=Line(x1=LEFT, y1=y.place(item.threshold), x2=RIGHT, y2=y.place(item.threshold)),
    )


def _accuracy_bins(item: ModelItem) -> tuple[Scale, float]:
    """A scale of whole bins and their width: no bin has models on both sides of the threshold."""
    scale = _accuracy_scale(item, LEFT, RIGHT)
    width = (scale.high - scale.low) / _ACCURACY_BINS
    below, above = (
        math.ceil(abs(end - item.threshold) / width - 1e-9) for end in (scale.low, scale.high)
    )
    low, high = item.threshold - below * width, item.threshold + above * width
    return replace(scale, low=low, high=high), width


def _accuracy_scale(item: ModelItem, start: float, end: float) -> Scale:
    """Wide enough for the threshold and all but the lowest accuracies."""
    accuracies = item.accuracies
    lowest = accuracies[int(_OUTLIER_SHARE * len(accuracies))]
    low, high = min(lowest, item.threshold), max(accuracies[-1], item.threshold)
    margin = max(0.06 * (high - low), 0.001)
    return Scale(low=max(low - margin, 0.0), high=min(high + margin, 1.0), start=start, end=end)


def _accuracy_label(item: ModelItem, scale: Scale) -> str:
    below = sum(accuracy < scale.low for accuracy in item.accuracies)
    if not below:
        return "test accuracy"
    return f"test accuracy ({count(below)} below {_as_percentage(scale.low)}, drawn at the edge)"


def _describe(item: ModelItem) -> str:
    accuracies = item.accuracies
    return (
        f"{count(item.reached)} of {count(len(accuracies))} models reach the wanted "
        f"{percentage(item.threshold)}; the lowest has {percentage(accuracies[0])}, the best "
        f"{percentage(accuracies[-1])}."
    )


def _legend(item: ModelItem) -> list[tuple[str, str]]:
    reached = item.reached
    return [
        ("first", f"{count(reached)} reached {percentage(item.threshold)}"),
        ("second", f"{count(len(item.models) - reached)} below"),
    ]


def _role(reached: bool) -> str:  # noqa: FBT001 - the only thing it is about
    return "first" if reached else "second"


def _count_scale(counts: Counter[int]) -> Scale:
    return Scale(low=0, high=max([*counts.values(), 4]), start=BOTTOM, end=TOP)


def _bar(
    x: Scale, y: Scale, edges: tuple[float, float], students: int, role: str, title: str
) -> Bar:
    left, right = (x.place(edge) for edge in edges)
    top = y.place(students)
    return Bar(
        x=left,
        y=top,
        width=max(round(right - left - _BAR_GAP, 1), 1.0),
        height=round(BOTTOM - top, 1),
        role=role,
        title=f"{title}: {count(students)}",
    )


def _range(edges: Iterable[float], label: Callable[[float], str]) -> str:
    return " to ".join(label(edge) for edge in edges)


def _as_percentage(value: float) -> str:
    return f"{100 * value:.4g}%"
