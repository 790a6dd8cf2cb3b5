"""Line charts as inline SVG: matplotlib draws, and the page's own style sheet colours.

matplotlib writes colours and fonts into style attributes, which the page's policy forbids and
which cannot follow a dark mode. So charts are drawn in stand-in colours, and `_Svg` turns each into
a class ("stroke-first", "fill-ink") that `style.css` gives a colour in both modes.
"""

from __future__ import annotations

import io
import itertools
import math
import re
import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING, Any

from markupsafe import Markup
from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from grader.report.wording import percentage, run_end

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from matplotlib.axes import Axes

    from grader.results import SweepPoint, TrainingReport, TrainingRun

    _Look = tuple[str, str | tuple[int, tuple[float, ...]], str]

_SVG = "{http://www.w3.org/2000/svg}"
_XLINK_HREF = "{http://www.w3.org/1999/xlink}href"

_INK, _GRID, _FIRST, _SECOND, _THIRD, _WANTED = (f"#fe00{number:02x}" for number in range(6))
_ROLES = {
    _INK: "ink",
    _GRID: "grid",
    _FIRST: "first",
    _SECOND: "second",
    _THIRD: "third",
    _WANTED: "wanted",
}
"""Stand-in colours that matplotlib uses nowhere by itself, and the classes they become."""

_SERIES: tuple[_Look, ...] = (
    (_FIRST, "-", "o"),
    (_SECOND, (0, (6, 2)), "s"),
    (_THIRD, (0, (2, 1.5)), "^"),
    (_FIRST, (0, (1, 1)), "D"),
    (_SECOND, (0, (6, 1.5, 1.5, 1.5)), "v"),
    (_THIRD, "-", "P"),
)
"""Colour, dashes and marker tell series apart, so that colour alone never has to."""

_STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "grader",
    "font.size": 9.5,
    "text.color": _INK,
    "axes.edgecolor": _INK,
    "axes.labelcolor": _INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": _GRID,
    "grid.linewidth": 0.8,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "xtick.major.size": 3.0,
    "ytick.major.size": 3.0,
    "lines.linewidth": 1.6,
    "lines.markersize": 3.5,
    "legend.frameon": False,
    "legend.handlelength": 2.4,
    "path.simplify": False,
}
_WIDTH_INCHES, _HEIGHT_INCHES = 4.5, 3.0
_MARGINS = {"left": 0.18, "right": 0.985, "top": 0.97}
"""Shares of the figure. Fixed, because finding them costs matplotlib a second drawing."""
_LABEL_SHARE, _LEGEND_ROW_SHARE = 0.19, 0.07
"""What the axis' label and each row of the legend take at the bottom of the figure."""
_LEGEND_COLUMNS = 4


def accuracy_chart(training: TrainingReport, chart_id: str) -> Markup:
    """The test accuracy of every run after every epoch, against the threshold.

    Args:
        training: what to draw.
        chart_id: unique on the page; every id in the chart starts with it.
    """
    with rc_context(_STYLE):
        figure, axes = _empty_chart("epoch", "test accuracy")
        axes.axhline(training.threshold, color=_WANTED, linestyle=(0, (1, 1)), label="wanted")
        for run, look in _with_looks(training.runs):
            accuracies = [epoch.test_accuracy for epoch in run.epochs]
            _draw_run(axes, run, accuracies, look)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.yaxis.set_major_formatter(FuncFormatter(_as_percentage))
        curves = "; ".join(
            f"seed {run.seed}: best {percentage(run.best_accuracy)}, "
            f"final {percentage(run.final_accuracy)}, {run_end(run)}"
            for run in training.runs
        )
        return _finish(
            figure,
            chart_id,
            title="Test accuracy by epoch",
            description=f"Wanted: {percentage(training.threshold)}. {curves}.",
        )


def loss_chart(training: TrainingReport, chart_id: str) -> Markup:
    """The mean training loss of every run in every epoch; `chart_id` as in `accuracy_chart`."""
    with rc_context(_STYLE):
        figure, axes = _empty_chart("epoch", "training loss")
        for run, look in _with_looks(training.runs):
            _draw_run(axes, run, [epoch.train_loss for epoch in run.epochs], look)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        if any(run.diverged for run in training.runs):
            axes.set_yscale("log")
        curves = "; ".join(
            f"seed {run.seed}: from {run.epochs[0].train_loss:.4g} to "
            f"{run.epochs[-1].train_loss:.4g}"
            for run in training.runs
            if run.epochs
        )
        return _finish(figure, chart_id, title="Training loss by epoch", description=f"{curves}.")


def sweep_chart(sweep: Sequence[SweepPoint], chart_id: str) -> Markup:
    """Reported accuracies beside the reproduced ones; `chart_id` as in `accuracy_chart`."""
    with rc_context(_STYLE):
        figure, axes = _empty_chart("dropout probability p", "test accuracy after 1 epoch")
        reproduced = [(p.probability, p.reproduced[0], p.tolerance) for p in sweep if p.reproduced]
        if reproduced:
            probabilities, accuracies, tolerances = zip(*reproduced, strict=True)
            if any(tolerances):
                axes.fill_between(
                    probabilities,
                    [value - off for value, off in zip(accuracies, tolerances, strict=True)],
                    [value + off for value, off in zip(accuracies, tolerances, strict=True)],
                    color=_FIRST,
                    alpha=0.2,
                    linewidth=0,
                    label="tolerance",
                )
            axes.plot(probabilities, accuracies, color=_FIRST, marker="o", label="reproduced")
        reported = [(p.probability, p.reported) for p in sweep if p.reported is not None]
        if reported:
            axes.plot(
                *zip(*reported, strict=True),
                color=_SECOND,
                linestyle="none",
                marker="D",
                markersize=6,
                markerfacecolor="none",
                markeredgewidth=1.6,
                label="reported",
            )
        axes.yaxis.set_major_formatter(FuncFormatter(_as_percentage))
        return _finish(
            figure,
            chart_id,
            title="Test accuracy against dropout probability",
            description="The table beside this chart has the same numbers.",
        )


def _empty_chart(x_label: str, y_label: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(_WIDTH_INCHES, _HEIGHT_INCHES))
    figure.patch.set_visible(False)
    axes = figure.add_subplot()
    axes.patch.set_visible(False)
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    return figure, axes


def _with_looks(runs: Sequence[TrainingRun]) -> Iterator[tuple[TrainingRun, _Look]]:
    return zip(runs, itertools.cycle(_SERIES), strict=False)


def _draw_run(
    axes: Axes,
    run: TrainingRun,
    values: list[float],
    look: _Look,
) -> None:
    """One curve; a run that ended early has a large mark where it ended."""
    color, dashes, marker = look
    epochs = range(1, len(values) + 1)
    label = f"seed {run.seed}"
    axes.plot(epochs, values, color=color, linestyle=dashes, marker=marker, label=label)
    if values and (run.diverged or run.stopped_early):
        axes.plot(
            [len(values)],
            [values[-1]],
            color=color,
            linestyle="none",
            marker="X" if run.diverged else "|",
            markersize=10 if run.diverged else 16,
            markeredgewidth=0 if run.diverged else 2,
            label="diverged" if run.diverged else "stopped early",
        )


def _as_percentage(value: float, _position: int | None = None) -> str:
    return f"{100 * value:.4g}%"


def _finish(figure: Figure, chart_id: str, *, title: str, description: str) -> Markup:
    handles, labels = figure.axes[0].get_legend_handles_labels()
    by_label = dict(zip(labels, handles, strict=True))
    for ending in ("stopped early", "diverged"):
        if ending in by_label:
            by_label[ending] = by_label.pop(ending)
    rows = math.ceil(len(by_label) / _LEGEND_COLUMNS)
    figure.subplots_adjust(**_MARGINS, bottom=_LABEL_SHARE + rows * _LEGEND_ROW_SHARE)
    figure.legend(
        by_label.values(),
        by_label.keys(),
        loc="lower center",
        borderaxespad=0.1,
        ncols=min(_LEGEND_COLUMNS, len(by_label)),
        columnspacing=1.2,
    )
    written = io.StringIO()
    figure.savefig(written, format="svg")
    return _page_svg(written.getvalue(), chart_id, title=title, description=description)


def _page_svg(source: str, chart_id: str, *, title: str, description: str) -> Markup:
    """The SVG file of matplotlib as an element of the page: small, named, and free of styles."""
    root = ET.fromstring(source)  # noqa: S314 - matplotlib has just written it
    for child in list(root):
        if child.tag == f"{_SVG}metadata" or child.find(f"{_SVG}style") is not None:
            root.remove(child)
    renamed = _new_ids(root, chart_id)
    for element in root.iter():
        element.tag = element.tag.removeprefix(_SVG)  # HTML's parser knows the namespace
        element.text = element.text if (element.text or "").strip() else None
        element.tail = None
        _rename(element, renamed)
        _move_style_to_attributes(element)
    for position, (tag, text) in enumerate((("title", title), ("desc", description))):
        label = ET.Element(tag, {"id": f"{chart_id}-{tag}"})
        label.text = text
        root.insert(position, label)
    root.attrib = {
        "viewBox": root.attrib["viewBox"],
        "class": "chart",
        "role": "img",
        "aria-labelledby": f"{chart_id}-title {chart_id}-desc",
    }
    return Markup(ET.tostring(root, encoding="unicode"))  # noqa: S704 - ElementTree escapes


def _new_ids(root: ET.Element, chart_id: str) -> dict[str, str]:
    """A short id, unique on the page, for each id that the chart refers to."""
    references = re.compile(r"#([\w.-]+)")
    wanted = [
        match[1]
        for element in root.iter()
        for name, value in element.attrib.items()
        if name == _XLINK_HREF or "url(" in value
        for match in references.finditer(value)
    ]
    return {old: f"{chart_id}-{new}" for new, old in enumerate(dict.fromkeys(wanted))}


def _rename(element: ET.Element, renamed: dict[str, str]) -> None:
    own_id = element.attrib.pop("id", None)
    if own_id in renamed:
        element.set("id", renamed[own_id])
    reference = element.attrib.pop(_XLINK_HREF, None)
    if reference is not None:
        element.set("href", f"#{renamed[reference.removeprefix('#')]}")
    clip_path = element.get("clip-path")
    if clip_path is not None:
        element.set("clip-path", f"url(#{renamed[clip_path.removeprefix('url(#')[:-1]]})")


def _move_style_to_attributes(element: ET.Element) -> None:
    """Stand-in colours become classes, and the page's font replaces matplotlib's."""
    classes = []
    for declaration in element.attrib.pop("style", "").split(";"):
        name, _, value = (piece.strip() for piece in declaration.partition(":"))
        if value in _ROLES:
            classes.append(f"{name}-{_ROLES[value]}")
        elif name and not name.startswith("font"):
            element.set(name, value)
    if element.tag == "text" and not classes:
        classes.append("fill-ink")
    if element.get("transform", "").startswith("rotate(-0 "):
        del element.attrib["transform"]
    if classes:
        element.set("class", " ".join(classes))
