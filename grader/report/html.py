"""The result as one HTML file without scripts; nothing is fetched, and nothing in the file can act.

Every value that a template prints is escaped and made visible. The page's policy allows one style
sheet, by its hash, and images that are part of the file.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import io
import math
import re
from dataclasses import dataclass
from functools import cache
from inspect import isfunction
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from PIL import Image

from grader.report import charts, wording
from grader.report.markdown import render_markdown
from grader.report.wording import Verdict
from grader.results import MisclassifiedExample, Outcome, SubmissionResult, add_points
from grader.text import clean_block, make_visible

_TEMPLATES = Path(__file__).parent / "templates"
_VERDICT_MARKS = {
    Verdict.PASSED: "✓",
    Verdict.FAILED: "✗",
    Verdict.PARTLY: "◐",
    Verdict.UNANSWERED: "○",
    Verdict.SKIPPED: "\N{EN DASH}",
    Verdict.PENDING: "…",
    Verdict.ERROR: "!",
}


@dataclass(frozen=True, kw_only=True)
class Inlined:
    """A style sheet or script inside a page, and its name in the Content-Security-Policy."""

    text: Markup
    source: Markup


def render_html(result: SubmissionResult) -> str:
    """Return the whole report."""
    template = template_environment().get_template("report.html")
    # A last look at what is shown, whatever decoded a character on the way.
    return make_visible(template.render(result=result, provenance=result.provenance))


def render_ungraded(name: str, title: str, *, heading: str, reason: str, next_step: str) -> str:
    """Return the page for a student whose work was not graded: the reason, and what to do."""
    template = template_environment().get_template("ungraded.html")
    return make_visible(
        template.render(name=name, title=title, heading=heading, reason=reason, next_step=next_step)
    )


def load_ahead() -> None:
    """Compile the templates now, so that the first report need not wait for them."""
    environment = template_environment()
    for name in environment.list_templates(extensions=["html"]):
        environment.get_template(name)


@cache
def inlined(*names: str) -> Inlined:
    """Return style sheets or scripts of this package, one after the other."""
    text = "".join((_TEMPLATES / name).read_text(encoding="utf-8") for name in names)
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return Inlined(
        text=Markup(text),  # noqa: S704 - files of this package
        source=Markup(f"'sha256-{digest}'"),  # noqa: S704 - base64
    )


@cache
def template_environment() -> Environment:
    """Return the templates of this package, in which every value is escaped and visible."""
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
        "charts": charts,
        "inlined": inlined,
        "verdict_labels": wording.VERDICT_LABELS,
        "verdict_marks": _VERDICT_MARKS,
    }
    environment.filters |= {
        name: value for name, value in vars(wording).items() if isfunction(value)
    }
    environment.filters |= {
        "metric_curves": charts.metric_curves,
        "anchor": anchor,
        "bar_segments": bar_segments,
        "picture_uri": picture_uri,
        "loss_curves": charts.loss_curves,
        "rendered_markdown": render_markdown,
        "shade": shade,
        "sweep_chart": charts.sweep_chart,
        "without_terminal_codes": clean_block,
    }
    return environment


def _finalize(value: Any) -> Any:
    """Make every text visible that a template prints, except markup of our own."""
    return make_visible(value) if isinstance(value, str) and type(value) is not Markup else value


def anchor(identifier: str, kind: str) -> str:
    """Return an id for the page, such as "part-2C"; two identifiers never share an id."""
    slug = re.sub(r"[^A-Za-z0-9.-]+", "-", identifier)[:40]
    if slug != identifier:
        digest = hashlib.sha256(identifier.encode("utf-8", "surrogatepass")).hexdigest()
        slug = f"{slug}-{digest[:8]}"
    return f"{kind}-{slug}"


def bar_segments(result: SubmissionResult) -> list[tuple[str, str, float, float, float]]:
    """Return the score bar's segments that have points.

    A segment is its name, words, points, and left end and width in per cent of all points.
    """
    score, unanswered = result.score, wording.unanswered_points(result)
    named = (
        ("earned", "earned", score.earned),
        ("pending", "to be graded by a person", score.pending),
        ("open", "not answered yet", unanswered),
        ("lost", "lost", add_points([score.lost, -unanswered])),
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
    """Return the darkness of a confusion matrix's cell, 0 to 5, by its share of the row.

    Mistakes are rare, so a linear scale would leave them all blank.
    """
    share = cell / max(sum(row), 1)
    return sum(share > limit for limit in (0, 0.002, 0.005, 0.02, 0.1))


def picture_uri(example: MisclassifiedExample) -> str:
    """Return the pixels as a PNG in a data URI; empty if their number does not fit their shape."""
    try:
        pixels = base64.b64decode(example.pixels_base64, validate=True)
    except (binascii.Error, ValueError):
        return ""
    side = math.isqrt(len(pixels))
    channels, height, width = example.pixels_shape or (1, side, side)
    if not pixels or len(pixels) != channels * height * width or channels not in {1, 3}:
        return ""
    planes = [
        Image.frombytes("L", (width, height), pixels[start : start + height * width])
        for start in range(0, len(pixels), height * width)
    ]
    written = io.BytesIO()
    image = planes[0] if channels == 1 else Image.merge("RGB", planes)
    image.save(written, format="PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(written.getvalue()).decode('ascii')}"
