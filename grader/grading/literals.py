"""Find out, without running it, whether a value of a program is written down or computed."""

from __future__ import annotations

import re
from collections.abc import Sequence

from grader.intake.notebooks import Cell

_MAXIMUM_LINES = 60
_MAXIMUM_CHARACTERS = 5000
_MAXIMUM_DEPTH = 3
"""Variables that a value may be made of, and these of others."""

_LONGEST_LINE = 1000
_TEXTS_AND_COMMENTS = re.compile(
    r"'''.*?'''|\"\"\".*?\"\"\"|'[^'\n]*'|\"[^\"\n]*\"|#[^\n]*", re.DOTALL
)
_ATTRIBUTE = re.compile(r"\.\s*[A-Za-z_]\w*")
_NUMBER = re.compile(r"\b\d[\w.]*(?:[eE][+-]\d+)?")
_NAME = re.compile(r"[A-Za-z_]\w*")
_ASSIGNED = re.compile(r"\b(\w+)\s*=(?!=)")
_LOOP = re.compile(r"\bfor\s+([\w,\s()]{1,80}?)\s+in\b")

_HARMLESS = frozenset(
    {
        *("def", "return", "for", "in", "if", "else", "dict", "zip", "list", "tuple", "range"),
        *("round", "float", "int", "str", "len", "enumerate", "None", "np", "numpy", "torch"),
    }
)
"""Names that compute nothing from data."""


def is_literal(cells: Sequence[Cell], name: str) -> bool:
    """Return True if a variable or function gives what is written there, whatever was computed.

    Args:
        cells: of the program.
        name: of a top-level function or variable.
    """
    return _is_literal(cells, name, _MAXIMUM_DEPTH)


def _is_literal(cells: Sequence[Cell], name: str, depth: int) -> bool:
    start = re.compile(rf"(?:def\s+{re.escape(name)}\s*\(|{re.escape(name)}\s*(?::[^=\n]*)?=(?!=))")
    # A change in place, or an assignment in a block, such as in the loop that measures.
    change = re.compile(
        rf"\s+(?:{re.escape(name)}\s*=(?!=))"
        rf"|.*\b{re.escape(name)}\s*(?:\.\s*(?:append|extend|insert|update|pop|sort|clear)\b|\[|[-+*/]=)"
    )
    block: list[str] | None = None
    for cell in cells:
        lines = cell.source.split("\n") if cell.kind == "code" else []
        for index, line in enumerate(lines):
            shown = line[:_LONGEST_LINE]
            if start.match(shown):  # the last definition counts
                block = _read_block(lines[index : index + _MAXIMUM_LINES])
            elif change.match(shown):
                return False
    text = "\n".join(block or ())
    if not 0 < len(text) <= _MAXIMUM_CHARACTERS:
        return False
    others = _names_in(text) - _HARMLESS - {name}
    return len(others) <= depth and all(_is_literal(cells, one, depth - 1) for one in others)


def _read_block(lines: Sequence[str]) -> list[str]:
    """Return the first line with the lines that belong to it."""
    block = [lines[0]]
    for line in lines[1:]:
        if line.strip() and not line.startswith((" ", "\t", ")", "]", "}")):
            break
        block.append(line)
    return block


def _names_in(block: str) -> set[str]:
    """Return the names that a block takes from outside."""
    text = _NUMBER.sub(" ", _ATTRIBUTE.sub(" ", _TEXTS_AND_COMMENTS.sub(" ", block)))
    own = set(_ASSIGNED.findall(text))
    for targets in _LOOP.findall(text):
        own.update(_NAME.findall(targets))
    return set(_NAME.findall(text)) - own
