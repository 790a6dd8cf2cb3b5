"""A student's Markdown as inert HTML: no scripts, no images, no styles, no links but web and mail.

Two lines of defence, each enough by itself: the parser makes no raw HTML and no odd links, and
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
    "th": {"class"},
    "td": {"class"},
    "span": {"class"},
    "div": {"class", "tabindex", "role", "aria-label"},
    **{element: set(mathematics.ATTRIBUTES) for element in mathematics.ELEMENTS},
}
_CLASSES = {
    *("align-left", "align-right", "align-center", "math", "math-block", "inert-image", "scroll"),
}


def render_markdown(text: str) -> Markup:
    """CommonMark with tables; `$maths$` is drawn, or stays as it was typed if it cannot be.

    A text beyond any honest answer is shown as it is, so that parsing cannot take long.
    """
    visible = make_visible(text)
    if len(visible) > LONGEST_PARSED:
        return Markup("<pre>{}</pre>").format(visible)
    rendered = _parser().render(visible)
    return Markup(  # noqa: S704 - nh3 has just cleaned it
        nh3.clean(
            rendered,
            tags=_TAGS,
            attributes=_ATTRIBUTES,
            attribute_filter=_filter_attribute,
            url_schemes={"http", "https", "mailto"},
            link_rel="noopener noreferrer nofollow",
        )
    )


@cache
def _parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])
    parser.use(dollarmath_plugin, allow_labels=False, allow_blank_lines=False, double_inline=True)
    parser.validateLink = _is_web_or_mail  # type: ignore[method-assign]
    parser.add_render_rule("image", _render_image)
    parser.add_render_rule("math_inline", _render_math)
    parser.add_render_rule("math_inline_double", _render_math)
    parser.add_render_rule("math_block", _render_math_block)
    parser.add_render_rule("heading_open", _render_heading)
    parser.add_render_rule("heading_close", _render_heading)
    parser.add_render_rule("table_open", _render_table_open)
    parser.add_render_rule("table_close", _render_table_close)
    parser.add_render_rule("th_open", _render_cell)
    parser.add_render_rule("td_open", _render_cell)
    return parser


def _is_web_or_mail(url: str) -> bool:
    return _LINK.fullmatch(url) is not None


def _filter_attribute(tag: str, name: str, value: str) -> str | None:
    if tag in mathematics.ELEMENTS:
        return value if value in mathematics.ATTRIBUTES.get(name, ()) else None
    if name == "class":
        return value if value in _CLASSES else None
    if name == "href":
        return value if _is_web_or_mail(value) else None
    return value


def _render_image(
    renderer: RendererHTML,
    tokens: Sequence[Token],
    index: int,
    options: OptionsDict,
    environment: EnvType,
) -> str:
    """An image is only named: showing it would fetch a file or tell a server who reads this."""
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
    """The report's own headings go down to h4, so a student's begin below."""
    token = tokens[index]
    level = 5 if token.tag == "h1" else 6
    return f"<h{level}>" if token.nesting == 1 else f"</h{level}>\n"


def _render_table_open(*_: Any) -> str:
    return '<div class="scroll" role="group" aria-label="Table" tabindex="0"><table>\n'


def _render_table_close(*_: Any) -> str:
    return "</table></div>\n"


def _render_cell(_renderer: Any, tokens: Sequence[Token], index: int, *_: Any) -> str:
    """Alignment becomes a class: the page's policy forbids style attributes."""
    token = tokens[index]
    style = str(token.attrs.get("style", ""))
    alignment = style.removeprefix("text-align:")
    return f'<{token.tag} class="align-{alignment}">' if style else f"<{token.tag}>"
