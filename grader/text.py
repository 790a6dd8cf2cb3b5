"""Untrusted text, made harmless for one line, a block, or a file name."""

from __future__ import annotations

import difflib
import os
import re
import unicodedata
from collections.abc import Iterable

_TERMINAL_SEQUENCE = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"  # CSI: colours, cursor movements
    r"|(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)?"  # OSC, DCS …
    r"|\x1b[ -/]*[0-~]"  # two-character sequences
)
"""Control sequences of ECMA-48 (5th edition, section 5.4 and 5.6) and xterm's OSC ended by BEL."""

_HIDDEN_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Unicode's general categories of characters that are invisible or reorder the text around them."""

_JOINERS = "\u200c\u200d"
"""Zero-width characters that Persian, Indic scripts and emoji need. Beside ASCII they only hide."""


def clean_line(text: str) -> str:
    """Return one line: line breaks become spaces, terminal codes go, hidden characters show."""
    return _show_hidden(" ".join(_TERMINAL_SEQUENCE.sub("", text).split()), kept="")


def clean_block(text: str) -> str:
    """Return several lines without terminal codes; see `make_visible`."""
    return make_visible(_TERMINAL_SEQUENCE.sub("", text))


def make_visible(text: str) -> str:
    r"""Write every hidden character as an escape, such as `\x1b` or `\u202e`.

    Line ends of all systems become newlines; tabs stay.
    """
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return "\n".join(_show_hidden(line, kept="\t") for line in lines)


def display_name(name: str | bytes) -> str:
    """Return a file name as one line of text; different names stay different."""
    return _show_hidden(os.fsencode(name).decode("utf-8", "backslashreplace"), kept="")


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return a suggestion to put behind a message about `word`, or "" if nothing is close."""
    by_lower_case = {candidate.lower(): candidate for candidate in known}
    close = difflib.get_close_matches(word.lower(), by_lower_case, n=1)
    return f"; did you mean {by_lower_case[close[0]]!r}?" if close else ""


def is_hidden(character: str) -> bool:
    """Return True if a character is invisible or reorders the text around it."""
    return unicodedata.category(character) in _HIDDEN_CATEGORIES


def _show_hidden(text: str, *, kept: str) -> str:
    if text.isprintable():
        return text
    shown = []
    before = ""
    for character in text:
        joins = character in _JOINERS and not before.isascii() and before not in _JOINERS
        visible = joins or character in kept or not is_hidden(character)
        shown.append(character if visible else character.encode("unicode_escape").decode())
        before = character
    return "".join(shown)
