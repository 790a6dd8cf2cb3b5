"""The result as a JSON file; `result.schema.json` is its JSON Schema."""

from __future__ import annotations

import re

import msgspec

from grader.results import SubmissionResult
from grader.text import is_hidden

_NOT_PRINTABLE_ASCII = re.compile(r"[^\n -~]")


def render_json(result: SubmissionResult) -> str:
    """Return the result as indented JSON that is safe in a terminal or a log.

    Hidden characters are escaped, and so is `##[name]`, which GitHub's runner takes for a command.
    JSON has both only in strings, where an escape means the same.
    """
    indented = msgspec.json.format(msgspec.json.encode(result), indent=2).decode()
    visible = _NOT_PRINTABLE_ASCII.sub(_escape_if_hidden, indented)
    return visible.replace("##[", r"#\u0023[") + "\n"


def _escape_if_hidden(found: re.Match[str]) -> str:
    """Return the character, or the escapes of its UTF-16 units (RFC 8259, section 7)."""
    character = found[0]
    if not is_hidden(character):
        return character
    units = character.encode("utf-16-be")
    return "".join(f"\\u{units[start : start + 2].hex()}" for start in range(0, len(units), 2))
