r"""LaTeX as MathML, which browsers draw without scripts or fonts.

The converter is not trusted: it lets markup through in `\text{<b>}`, and takes links and styles
from its input. So its tree is rewritten with the elements and attributes listed here, and every
text is escaped.
"""

from __future__ import annotations

from functools import lru_cache
from html import escape, unescape
from xml.etree.ElementTree import Element

LONGEST_FORMULA = 2_000
"""Characters; a formula in a real answer has fewer than 200."""

_DEEPEST = 60
ELEMENTS = frozenset(
    {
        *("math", "mrow", "mi", "mn", "mo", "mtext", "mspace", "mfrac", "msqrt", "mroot", "mstyle"),
        *("msub", "msup", "msubsup", "munder", "mover", "munderover", "mmultiscripts"),
        *("mtable", "mtr", "mtd", "mpadded", "mphantom", "mprescripts", "none"),
    }
)
_BOOLEAN = {"true", "false"}
ATTRIBUTES = {
    "display": {"inline", "block"},
    "displaystyle": _BOOLEAN,
    "stretchy": _BOOLEAN,
    "fence": _BOOLEAN,
    "accent": _BOOLEAN,
    "accentunder": _BOOLEAN,
    "form": {"prefix", "infix", "postfix"},
    "linethickness": {"0"},
    "mathvariant": {"normal"},
    "columnalign": {"left", "right", "center", "right left"},
}
"""The attributes that are kept, with their harmless values."""


@lru_cache(maxsize=512)
def mathml(latex: str, *, display: bool) -> str | None:
    """Return a formula without dollar signs as MathML, or None if it cannot be drawn.

    With `display`, the formula has a line of its own.
    """
    # The converter's tables of symbols load slowly, and few reports have formulae.
    from latex2mathml.converter import convert_to_element  # noqa: PLC0415

    if len(latex) > LONGEST_FORMULA:
        return None
    try:
        element = convert_to_element(latex, display="block" if display else "inline")
        return _write(element, depth=0)
    # A broken formula makes the converter raise any exception.
    except Exception:  # noqa: BLE001
        return None


def _write(element: Element, depth: int) -> str:
    """Return the element without unknown attributes, or raise ValueError."""
    if element.tag not in ELEMENTS or depth > _DEEPEST:
        raise ValueError(element.tag)
    attributes = "".join(
        f' {name}="{value}"'
        for name, value in element.attrib.items()
        if value in ATTRIBUTES.get(name, ())
    )
    text = escape(unescape(element.text or ""))
    if element.tag == "mi" and text == "&amp;":
        # A column separator in an environment that the converter does not know.
        raise ValueError(text)
    children = "".join(_write(child, depth + 1) for child in element)
    return f"<{element.tag}{attributes}>{text}{children}</{element.tag}>"
