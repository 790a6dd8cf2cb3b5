r"""LaTeX as MathML, which browsers draw by themselves: no script, no font, nothing fetched.

The converter's output is not believed: it lets markup through in `\text{<b>}`, and takes links and
styles from its input. Its tree is written anew, with the elements and attributes listed here and
every text escaped.
"""

from __future__ import annotations

from functools import lru_cache
from html import escape, unescape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

LONGEST_FORMULA = 2_000
"""Characters; a formula of an honest answer has fewer than 200."""

_DEEPEST = 60
ELEMENTS = frozenset(
    {
        *("math", "mrow", "mi", "mn", "mo", "mtext", "mspace", "mfrac", "msqrt", "mroot", "mstyle"),
        *("msub", "msup", "msubsup", "munder", "mover", "munderover", "mmultiscripts"),
        *("mtable", "mtr", "mtd", "mpadded", "mphantom", "mprescripts", "none"),
    }
)
ATTRIBUTES = {
    "display": frozenset({"inline", "block"}),
    "displaystyle": frozenset({"true", "false"}),
    "stretchy": frozenset({"true", "false"}),
    "fence": frozenset({"true", "false"}),
    "accent": frozenset({"true", "false"}),
    "accentunder": frozenset({"true", "false"}),
    "form": frozenset({"prefix", "infix", "postfix"}),
    "linethickness": frozenset({"0"}),
    "mathvariant": frozenset({"normal"}),
    "columnalign": frozenset({"left", "right", "center", "right left"}),
}
"""The attributes that are kept, each with its harmless values."""


class _NotDrawnError(Exception):
    """The formula is nothing that can be drawn."""


@lru_cache(maxsize=512)
def mathml(latex: str, *, display: bool) -> str | None:
    """A formula as MathML, or None if it cannot be drawn and is best shown as it was typed.

    Args:
        latex: without the dollar signs.
        display: whether it stands on a line of its own.
    """
    # It and its tables of symbols take a while to load, and few reports have formulae.
    from latex2mathml.converter import convert_to_element  # noqa: PLC0415

    if len(latex) > LONGEST_FORMULA:
        return None
    try:
        element = convert_to_element(latex, display="block" if display else "inline")
        return _write(element, depth=0)
    # The converter raises whatever a broken formula makes it stumble over.
    except Exception:  # noqa: BLE001
        return None


def _write(element: Element, depth: int) -> str:
    if element.tag not in ELEMENTS or depth > _DEEPEST:
        raise _NotDrawnError
    attributes = "".join(
        f' {name}="{value}"'
        for name, value in element.attrib.items()
        if value in ATTRIBUTES.get(name, ())
    )
    text = escape(unescape(element.text or ""))
    if element.tag == "mi" and text == "&amp;":
        # A column's mark in an environment that the converter does not know.
        raise _NotDrawnError
    children = "".join(_write(child, depth + 1) for child in element)
    return f"<{element.tag}{attributes}>{text}{children}</{element.tag}>"
