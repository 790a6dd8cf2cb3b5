"""A student's Markdown as inert HTML: no scripts, images or styles, and only web and mail links.

Two lines of defence, each enough by itself: the parser makes no raw HTML and no other links, and
nh3 keeps only the tags and attributes listed here.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from typing import Any

import nh3
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict
from markupsafe import Markup, escape
from mdit_py_plugins.dollarmath import dollarmath_plugin

from grader.report import mathematics
from grader.text import make_visible

LONGEST_PARSED = 50_000
"""Characters; the slowest known text of this length takes two seconds."""

_LINK = re.compile(r"(?:https?://|mailto:)[^\s]+", re.IGNORECASE)
_TAGS = {
    *("p", "br", "hr", "h5", "h6", "blockquote", "pre", "code", "em", "strong", "s", "a", "span"),
    *("ul", "ol", "li", "table", "thead", "tbody", "tr", "th", "td", "div"),
    *mathematics.ELEMENTS,
}
_ATTRIBUTES = {
    "a": {"href"},
    "ol": {"start"},
    "div": {"tabindex", "role", "aria-label"},
}
_ALIGNMENTS = {"align-left", "align-right", "align-center"}
_ATTRIBUTE_VALUES = {
    "th": {"class": _ALIGNMENTS},
    "td": {"class": _ALIGNMENTS},
    "span": {"class": {"math", "inert-image"}},
    "div": {"class": {"math-block", "scroll"}},
    **dict.fromkeys(mathematics.ELEMENTS, mathematics.ATTRIBUTES),
}


def render_markdown(text: str) -> Markup:
    """Return CommonMark with tables as HTML; `$maths$` that cannot be drawn stays as typed.

    A longer text than `LONGEST_PARSED` is shown as typed, so that parsing cannot take long.
    """
    visible = make_visible(text)
    if len(visible) > LONGEST_PARSED:
        return Markup("<pre>{}</pre>").format(visible)
    rendered = _parser().render(visible)
    cleaned = nh3.clean(
        rendered,
        tags=_TAGS,
        attributes=_ATTRIBUTES,
        tag_attribute_values=_ATTRIBUTE_VALUES,
        attribute_filter=_filter_attribute,
        url_schemes={"http", "https", "mailto"},
        link_rel="noopener noreferrer nofollow",
    )
    # Again, because `&#x202e;` and TeX's `\\unicode{x202e}` become characters only here.
    return Markup(make_visible(cleaned))  # noqa: S704 - nh3 has just cleaned it


@cache
def _parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])
    parser.use(dollarmath_plugin, allow_labels=False, allow_blank_lines=False, double_inline=True)
    parser.validateLink = _is_web_or_mail  # type: ignore[method-assign]
    for names, rule in (
        (("image",), _render_image),
        (("math_inline", "math_inline_double"), _render_math),
        (("math_block",), _render_math_block),
        (("heading_open", "heading_close"), _render_heading),
        (("table_open", "table_close"), _render_table),
        (("th_open", "td_open"), _render_cell),
    ):
        for name in names:
            parser.add_render_rule(name, rule)
    return parser


def _is_web_or_mail(url: str) -> bool:
    return _LINK.fullmatch(url) is not None


def _filter_attribute(_tag: str, name: str, value: str) -> str | None:
    """Remove relative links, which nh3 would keep."""
    return value if name != "href" or _is_web_or_mail(value) else None


def _render_image(
    renderer: RendererHTML,
    tokens: Sequence[Token],
    index: int,
    options: OptionsDict,
    environment: EnvType,
) -> str:
    """Name the image: showing it would fetch a file, or tell a server who reads the page."""
    token = tokens[index]
    text = renderer.renderInlineAsText(token.children, options, environment)
    source = str(token.attrs.get("src", ""))
    return f'<span class="inert-image">[image: {escape(text)} ({escape(source)})]</span>'


def _render_math(_renderer: Any, tokens: Sequence[Token], index: int, *_: Any) -> str:
    token = tokens[index]
    drawn = mathematics.mathml(token.content, display=False)
    return (
        drawn or f'<span class="math">{escape(token.markup + token.content + token.markup)}</span>'
    )


def _render_math_block(_renderer: Any, tokens: Sequence[Token], index: int, *_: Any) -> str:
    content = tokens[index].content
    shown = mathematics.mathml(content, display=True) or escape(f"$${content}$$")
    return f'<div class="math-block">{shown}</div>\n'


def _render_heading(_renderer: Any, tokens: Sequence[Token], index: int, *_: Any) -> str:
    """Start a student's headings at h5, below the report's own."""
    token = tokens[index]
    level = 5 if token.tag == "h1" else 6
    return f"<h{level}>" if token.nesting == 1 else f"</h{level}>\n"


def _render_table(_renderer: Any, tokens: Sequence[Token], index: int, *_: Any) -> str:
    if tokens[index].nesting == 1:
        return '<div class="scroll" role="group" aria-label="Table" tabindex="0"><table>\n'
    return "</table></div>\n"


def _render_cell(_renderer: Any, tokens: Sequence[Token], index: int, *_: Any) -> str:
    """Turn the alignment into a class: the page's policy forbids style attributes."""
    token = tokens[index]
    style = str(token.attrs.get("style", ""))
    alignment = style.removeprefix("text-align:")
    return f'<{token.tag} class="align-{alignment}">' if style else f"<{token.tag}>"
