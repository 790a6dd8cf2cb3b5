"""The result as one HTML file: no script, nothing fetched, and nothing in it that can act.

Autoescaping and `make_visible` apply to every value that a template prints; the page's policy
allows one style sheet, by its hash, and images that are part of the file.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import io
import re
from functools import cache, partial
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from PIL import Image

from grader.report import charts, wording
from grader.report.inlined import inlined
from grader.report.markdown import render_markdown
from grader.results import MisclassifiedExample, Outcome, Score, SubmissionResult
from grader.text import clean_block, make_visible

_SIDE_PIXELS = 28
_OUTCOME_MARKS = {
    Outcome.PASSED: "✓",
    Outcome.FAILED: "✗",
    Outcome.SKIPPED: "\N{EN DASH}",
    Outcome.PENDING: "…",
    Outcome.ERROR: "!",
}


def render_html(result: SubmissionResult) -> str:
    """The whole report, ready to be written as UTF-8."""
    style = inlined("style.css")
    return (
        template_environment()
        .get_template("report.html")
        .render(
            result=result,
            provenance=result.provenance,
            style=style.text,
            style_source=style.source,
        )
    )


def write_html(result: SubmissionResult, path: Path) -> None:
    """Write the report to `path`, whose folder must exist."""
    path.write_text(render_html(result), encoding="utf-8")


def load_ahead() -> None:
    """Compile the templates now, so that the first report need not wait for them."""
    environment = template_environment()
    for name in environment.list_templates(extensions=["html"]):
        environment.get_template(name)


@cache
def template_environment() -> Environment:
    """The templates of this package, in which every value is escaped and nothing is invisible."""
    environment = Environment(
        loader=PackageLoader("grader.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_finalize,
    )
    environment.globals |= {
        "Outcome": Outcome,
        "outcome_labels": wording.OUTCOME_LABELS,
        "outcome_marks": _OUTCOME_MARKS,
        "area": charts.AREA,
        "counted_accuracy": wording.counted_accuracy,
    }
    filters = {
        "accuracy_curves": charts.accuracy_curves,
        "anchor": anchor,
        "attention_heading": wording.attention_heading,
        "bar_segments": bar_segments,
        "count": wording.count,
        "counted_run": wording.counted_run,
        "deciding_check": wording.deciding_check,
        "digit_uri": digit_uri,
        "doubts": wording.doubts,
        "doubtful_items": wording.doubtful_items,
        "duration": wording.duration,
        "interval_sentence": wording.interval_sentence,
        "items_that_await_a_person": wording.items_that_await_a_person,
        "items_that_fell_short": wording.items_that_fell_short,
        "loss": wording.loss,
        "loss_curves": charts.loss_curves,
        "minute": wording.minute,
        "percentage": wording.percentage,
        "points": wording.points,
        "rendered_markdown": render_markdown,
        "quiet_summary": wording.quiet_summary,
        "reported_sentence": wording.reported_sentence,
        "run_end": wording.run_end,
        "score_line": wording.score_line,
        "shade": shade,
        "shape": wording.shape,
        "signed_points": wording.signed_points,
        "sweep_chart": charts.sweep_chart,
        "without_terminal_codes": clean_block,
        "rough_percentage": partial(wording.percentage, decimals=1),
    }
    environment.filters |= filters
    return environment


def _finalize(value: Any) -> Any:
    """What a template prints: text with nothing invisible in it."""
    return make_visible(value) if isinstance(value, str) and type(value) is not Markup else value


def anchor(identifier: str, kind: str) -> str:
    """An id for the page: "part-2C". Two identifiers never share one."""
    slug = re.sub(r"[^A-Za-z0-9.-]+", "-", identifier)[:40]
    if slug != identifier:
        digest = hashlib.sha256(identifier.encode("utf-8", "surrogatepass")).hexdigest()
        slug = f"{slug}-{digest[:8]}"
    return f"{kind}-{slug}"


def bar_segments(score: Score) -> list[tuple[str, str, float, float, float]]:
    """The score bar: name, words, points, and left end and width in per cent of what is possible.

    Segments without points are left out.
    """
    named = (
        ("earned", "earned", score.earned),
        ("pending", "for a person to give", score.pending),
        ("lost", "lost", score.lost),
        ("undecided", "undecided", score.undecided),
    )
    segments = []
    left = 0.0
    for name, words, value in named:
        if value > 0 and score.possible > 0:
            width = 100 * value / score.possible
            segments.append((name, words, value, round(left, 3), round(width, 3)))
            left += width
    return segments


def shade(cell: int, row: tuple[int, ...]) -> int:
    """How dark a cell of the confusion matrix is, 0 to 5, by its share of the row on a log scale.

    Mistakes are rare, so a linear scale would leave them all blank.
    """
    share = cell / max(sum(row), 1)
    return sum(share > limit for limit in (0, 0.002, 0.005, 0.02, 0.1))


def digit_uri(example: MisclassifiedExample) -> str:
    """The example's pixels as a PNG in a data URI; empty if they are not 28 x 28 bytes."""
    try:
        pixels = base64.b64decode(example.pixels_base64, validate=True)
    except (binascii.Error, ValueError):
        return ""
    if len(pixels) != _SIDE_PIXELS * _SIDE_PIXELS:
        return ""
    written = io.BytesIO()
    image = Image.frombytes("L", (_SIDE_PIXELS, _SIDE_PIXELS), pixels)
    image.save(written, format="PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(written.getvalue()).decode('ascii')}"
