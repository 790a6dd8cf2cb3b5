"""Text from strangers made harmless for one line, a block, or a file name."""

from __future__ import annotations

import os
import re
import unicodedata

_ESCAPE_SEQUENCE = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]{0,1000}(?:\x07|\x1b\\)|[@-Z\\-_])"
)
"""Terminal control sequences (ECMA-48: CSI, OSC and the two-character ones)."""

_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Unicode's general categories of what cannot be seen, or turns the text around it."""


def clean_line(text: str) -> str:
    """One line: control characters are shown as escapes, line breaks are spaces."""
    return _show_hidden(" ".join(_ESCAPE_SEQUENCE.sub("", text).split()), kept="")


def clean_block(text: str) -> str:
    """Several lines: line breaks and tabs stay, other control characters are shown as escapes."""
    unified = text.replace("\r\n", "\n").replace("\r", "\n")
    return _show_hidden(_ESCAPE_SEQUENCE.sub("", unified), kept="\n\t")


def display_name(name: str | bytes) -> str:
    """A file name as one line of text, whatever bytes it has; different names stay different."""
    decoded = os.fsencode(name).decode("utf-8", "backslashreplace")
    return _show_hidden(decoded, kept="")


def is_hidden(character: str) -> bool:
    """Whether a character cannot be seen, or turns the text around it."""
    return unicodedata.category(character) in _HIDDEN


def _show_hidden(text: str, *, kept: str) -> str:
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        character
        if character in kept or not is_hidden(character)
        else character.encode("unicode_escape").decode()
        for character in text
    )
