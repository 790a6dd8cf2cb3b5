"""Charts as SVG paths, for the report and the class page.

A chart is plain geometry, which `charts.html` writes. Colours and dashes are classes of the style
sheet: the page's policy forbids style attributes, and colours follow a dark mode.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from grader.report.wording import run_end
from grader.results import Metric, SweepPoint, TrainingReport, TrainingRun

WIDTH, HEIGHT = 360, 220
LEFT, RIGHT, TOP, BOTTOM = 48, 352, 24, 182
"""The view box of every chart, and the rectangle inside it that its axes enclose."""
ACROSS, UP = (LEFT, RIGHT), (BOTTOM, TOP)
"""The start and the end of an axis."""

# Relative SVG paths. Markers and dashes tell series apart without colours.
_MARKERS = (
    "m-2 0a2 2 0 1 0 4 0a2 2 0 1 0-4 0z",  # circle
    "m-2-2h4v4h-4z",  # square
    "m0-2.5l2.5 4.5h-5z",  # triangle
    "m0-3l3 3l-3 3l-3-3z",  # diamond
    "m0 2.5l2.5-4.5h-5z",  # triangle that points down
    "m-3-1h2v-2h2v2h2v2h-2v2h-2v-2h-2z",  # plus
)
_LARGE_DIAMOND = "m0-4.5l4.5 4.5l-4.5 4.5l-4.5-4.5z"
_ENDS = {"diverged": "m-3.5-3.5l7 7m0-7l-7 7", "stopped early": "m0-6v12"}
DOT = "h0"  # as large as the pen is wide
# A legend's sample is 28 by 14 units.
_SAMPLE_LINE, SAMPLE_BOX, _SAMPLE_BAND = "M1 7H27", "M9 2h10v10h-10z", "M1 3H27V11H1z"


@dataclass(frozen=True, kw_only=True)
class Tick:
    """A mark on an axis."""

    at: float
    label: str


@dataclass(frozen=True, kw_only=True)
class Shape:
    """One path, with its classes in the style sheet.

    Shapes may share a `label` of the legend, with its `sample` path beside it. The `title` appears
    when a reader points at the shape.
    """

    look: str
    path: str
    label: str = ""
    sample: str = ""
    title: str = ""


@dataclass(frozen=True, kw_only=True)
class Chart:
    """One chart, its shapes from back to front.

    `description` is the content in a sentence, for those who cannot see the chart.
    """

    title: str
    description: str
    x_label: str
    y_label: str
    x_ticks: Sequence[Tick]
    y_ticks: Sequence[Tick]
    shapes: Sequence[Shape]

    @property
    def legend(self) -> dict[str, dict[str, str]]:
        """For every label the samples beside it, each with its look."""
        legend: dict[str, dict[str, str]] = {}
        for shape in self.shapes:
            if shape.label:
                legend.setdefault(shape.label, {})[shape.sample] = shape.look
        return legend


@dataclass(frozen=True, kw_only=True)
class Scale:
    """Maps values to places along an axis, from `low` and `high` at its ends.

    Values beyond the ends are drawn at the ends.
    """

    low: float
    high: float
    axis: tuple[float, float]
    logarithmic: bool = False

    def place(self, value: float) -> float:
        """Return the place of a value, to a tenth of a unit."""
        low, high, value = (
            math.log10(number) if self.logarithmic else number
            for number in (self.low, self.high, min(max(value, self.low), self.high))
        )
        start, end = self.axis
        return round(start + (value - low) / (high - low) * (end - start), 1)

    def ticks(
        self, label: Callable[[float], str], *, about: int = 6, whole: bool = False
    ) -> list[Tick]:
        """Return roughly `about` ticks at round values, or at whole numbers only."""
        values = self._powers_of_ten(about) if self.logarithmic else []
        if len(values) < 2:
            values = self._round_values(about, least_step=1.0 if whole else 0.0)
        return [Tick(at=self.place(value), label=label(value)) for value in values]

    def _round_values(self, about: int, least_step: float) -> list[float]:
        rough = max((self.high - self.low) / about, least_step)
        magnitude = 10.0 ** math.floor(math.log10(rough))
        steps = (factor * magnitude for factor in (1, 2, 5, 10))
        step = next(step for step in steps if step >= rough * 0.999)
        first, last = math.ceil(self.low / step - 1e-6), math.floor(self.high / step + 1e-6)
        return [number * step for number in range(first, last + 1)]

    def _powers_of_ten(self, about: int) -> list[float]:
        """Return powers of ten, and 2 and 5 between them if the range is short."""
        factors = (1, 2, 5) if self.high / self.low < 100 else (1,)
        first, last = math.floor(math.log10(self.low)), math.ceil(math.log10(self.high))
        powers = range(first, last + 1, math.ceil((last - first) / (2 * about)))
        values = (factor * 10.0**power for power in powers for factor in factors)
        return [value for value in values if self.low <= value <= self.high]


def fit_scale(
    values: Iterable[float],
    axis: tuple[float, float],
    *,
    lowest: float = -math.inf,
    highest: float = math.inf,
    logarithmic: bool = False,
) -> Scale:
    """Return a scale with a margin around the values, but not beyond `lowest` and `highest`."""
    known = [*values]
    low, high = min(known), max(known)
    if logarithmic:
        return Scale(low=low / 1.1, high=high * 1.1, axis=axis, logarithmic=True)
    margin = max(0.06 * (high - low), 0.001 * max(high, 1.0))
    return Scale(low=max(low - margin, lowest), high=min(high + margin, highest), axis=axis)


def fit_metric_scale(values: Iterable[float], axis: tuple[float, float], metric: Metric) -> Scale:
    """Return a scale for a metric's values; those of a model that diverged lie at its end."""
    finite = [value for value in values if value < metric.worst or metric is Metric.ACCURACY]
    highest = 1.0 if metric is Metric.ACCURACY else math.inf
    return fit_scale(finite, axis, lowest=0, highest=highest)


def threshold_line(y: Scale, value: float, label: str = "") -> Shape:
    """Return a line across the chart at a required value."""
    path = f"M{LEFT} {y.place(value)}H{RIGHT}"
    return Shape(look="threshold", path=path, label=label, sample=_SAMPLE_LINE)


def markers(look: str, places: Iterable[tuple[float, float]], marker: str, label: str) -> Shape:
    """Return the same marker at every place."""
    path = "".join(f"M{x} {y}{marker}" for x, y in places)
    return Shape(look=look, path=path, label=label, sample=f"M14 7{marker}")


def short_percentage(value: float) -> str:
    """Return 0.975 as "97.5%", for ticks."""
    return f"{100 * value:.4g}%"


def metric_label(metric: Metric) -> Callable[[float], str]:
    """Return how a metric's values are written on an axis."""
    return short_percentage if metric is Metric.ACCURACY else "{:.4g}".format


def metric_curves(training: TrainingReport) -> Chart:
    """Draw the test accuracy or error of every run after every epoch, and the thresholds."""
    metric, show = training.metric, training.metric.show
    curves = [run.values(metric) for run in training.runs]
    thresholds = [training.threshold, *training.lesser_thresholds]
    y = fit_metric_scale([*thresholds, *itertools.chain(*curves)], UP, metric)
    runs = "; ".join(
        f"seed {run.seed}: best {show(run.best(metric))}, "
        f"final {show(run.final(metric))}, {run_end(run)}"
        for run in training.runs
    )
    x_ticks, shapes = _draw_runs(training.runs, curves, y)
    return Chart(
        title=f"{metric.heading} by epoch",
        description=f"Threshold: {', '.join(map(show, thresholds))}. {runs}.",
        x_label="epoch",
        y_label=metric.label,
        x_ticks=x_ticks,
        y_ticks=y.ticks(metric_label(metric)),
        shapes=[*(threshold_line(y, value, "threshold") for value in thresholds), *shapes],
    )


def loss_curves(training: TrainingReport) -> Chart:
    """Draw the mean training loss of every run in every epoch; logarithmic if a run diverged."""
    curves = [[epoch.train_loss for epoch in run.epochs] for run in training.runs]
    positive = [loss for loss in itertools.chain(*curves) if 0 < loss < math.inf] or [1.0]
    diverged = any(run.diverged for run in training.runs)
    y = fit_scale(positive, UP, lowest=0, logarithmic=diverged)
    runs = "; ".join(
        f"seed {run.seed}: from {curve[0]:.4g} to {curve[-1]:.4g}"
        for run, curve in zip(training.runs, curves, strict=True)
        if curve
    )
    x_ticks, shapes = _draw_runs(training.runs, curves, y)
    return Chart(
        title="Training loss by epoch",
        description=f"{runs}.",
        x_label="epoch",
        y_label="training loss",
        x_ticks=x_ticks,
        y_ticks=y.ticks("{:g}".format),
        shapes=shapes,
    )


def sweep_chart(sweep: Sequence[SweepPoint]) -> Chart:
    """Draw reported accuracies beside the reproduced ones with their tolerance."""
    rerun = [(p.probability, p.reproduced[0], p.tolerance) for p in sweep if p.reproduced]
    reproduced = [(p, accuracy) for p, accuracy, _ in rerun]
    reported = [(p.probability, p.reported) for p in sweep if p.reported is not None]
    band = [(p, accuracy + side * off) for side in (1, -1) for p, accuracy, off in rerun[::side]]
    x = fit_scale((point.probability for point in sweep), ACROSS)
    y = fit_scale(
        [accuracy for _, accuracy in band + reported] or [0.0, 1.0], UP, lowest=0, highest=1
    )
    outline, line, diamonds = (
        [(x.place(p), y.place(accuracy)) for p, accuracy in points]
        for points in (band, reproduced, reported)
    )
    shapes = []
    if any(off for *_, off in rerun):
        path = f"{_line_path(outline)}z"
        shapes.append(
            Shape(look="band series-1", path=path, label="tolerance", sample=_SAMPLE_BAND)
        )
    shapes += _draw_series(line, 0, "reproduced")
    if diamonds:
        shapes.append(markers("hollow series-2", diamonds, _LARGE_DIAMOND, "reported"))
    return Chart(
        title="Test accuracy against dropout probability",
        description="The table beside this chart has the same numbers.",
        x_label="dropout probability p",
        y_label="test accuracy after 1 epoch",
        x_ticks=x.ticks("{:.4g}".format),
        y_ticks=y.ticks(short_percentage),
        shapes=shapes,
    )


def _draw_runs(
    runs: Sequence[TrainingRun], curves: Sequence[Sequence[float]], y: Scale
) -> tuple[list[Tick], list[Shape]]:
    """Return the ticks of the epochs and the curves; early ends have a large mark."""
    x = fit_scale([1, max(map(len, curves), default=1)], ACROSS)
    series, ends = [], []
    for number, (run, curve) in enumerate(zip(runs, curves, strict=True)):
        epochs = enumerate(curve, 1)
        places = [
            (x.place(epoch), y.place(value)) for epoch, value in epochs if math.isfinite(value)
        ]
        series += _draw_series(places, number, f"seed {run.seed}")
        if places and (run.diverged or run.stopped_early):
            label = "diverged" if run.diverged else "stopped early"
            look = f"end {_series_class(number)}"
            ends.append(markers(look, places[-1:], _ENDS[label], label))
    return x.ticks("{:.0f}".format, about=12, whole=True), series + ends


def _draw_series(places: Sequence[tuple[float, float]], number: int, label: str) -> list[Shape]:
    """Return a line with markers, or nothing without places."""
    if not places:
        return []
    look, marker = _series_class(number), _MARKERS[number % len(_MARKERS)]
    return [
        Shape(look=f"line {look}", path=_line_path(places), label=label, sample=_SAMPLE_LINE),
        markers(f"marker {look}", places, marker, label),
    ]


def _series_class(number: int) -> str:
    return f"series-{number % len(_MARKERS) + 1}"


def _line_path(places: Iterable[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x} {y}" for x, y in places)
