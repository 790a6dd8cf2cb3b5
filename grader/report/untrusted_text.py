"""Text of unknown origin, made safe to look at: nothing in it can steer a terminal or a page."""

from __future__ import annotations

import re

_INVISIBLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"  # C0 and C1 controls, less tab and newline
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u206f"  # marks that reorder the text around them
    "\u00ad\u200b\u2028\u2029\u2060-\u2064\ufeff\ufff9-\ufffb"  # no width, or a hidden line end
    "\U000e0000-\U000e007f"  # tags
    "\ud800-\udfff\ufffe\uffff]"  # not characters at all: UTF-8 or HTML cannot hold them
)
"""What would be invisible, or change how other text looks. The joiners U+200C and U+200D stay:
Persian and emoji need them."""

_TERMINAL_SEQUENCE = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"  # CSI: colours, cursor movements
    r"|(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)?"  # OSC, DCS …
    r"|\x1b[ -/]*[0-~]"  # two-character sequences
)
"""Control sequences of ECMA-48 (5th edition, section 5.4 and 5.6) and xterm's OSC ended by BEL."""


def make_visible(text: str) -> str:
    r"""`text` with every invisible character written as an escape, such as `\x1b` or `\u202e`.

    Line ends of all systems become newlines; tabs stay.
    """
    lines = text.replace("\r\n", "\n").replace("\r", "\n")
    return _INVISIBLE.sub(_escape, lines)


def strip_terminal_codes(text: str) -> str:
    """`text` as a plain terminal would show it: no colours, cursor movements, titles or links."""
    return make_visible(_TERMINAL_SEQUENCE.sub("", text))


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
