"""The result as a JSON file, and the JSON Schema of that file.

`python -m grader.report.json` prints the schema; the committed `result.schema.json` is its output.
"""

from __future__ import annotations

import inspect
import json
import re
import sys
from pathlib import Path
from typing import Any

import msgspec

from grader.results import SCHEMA_VERSION, SubmissionResult
from grader.text import is_hidden

_NOT_PRINTABLE_ASCII = re.compile(r"[^\n -~]")
SCHEMA_PATH = Path(__file__).with_name("result.schema.json")


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


def write_json(result: SubmissionResult, path: Path) -> None:
    """Write the result as UTF-8 to `path`, whose folder must exist."""
    path.write_text(render_json(result), encoding="utf-8")


def read_json(path: Path) -> SubmissionResult:
    """Read a file of `write_json`.

    Raises:
        msgspec.ValidationError: the file is not a result of this schema version.
    """
    return msgspec.json.decode(path.read_bytes(), type=SubmissionResult)


def result_schema() -> bytes:
    """Return the JSON Schema (Draft 2020-12) of a result file, as indented UTF-8 JSON."""
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"Result of grading one submission, schema version {SCHEMA_VERSION}",
        **msgspec.json.schema(SubmissionResult),
    }
    cleaned = json.loads(msgspec.json.encode(schema), object_hook=_clean_description)
    return msgspec.json.format(msgspec.json.encode(cleaned), indent=2) + b"\n"


def _clean_description(node: dict[str, Any]) -> dict[str, Any]:
    """Strip the indentation of a docstring, which Python 3.13 does when it compiles."""
    if isinstance(node.get("description"), str):
        node["description"] = inspect.cleandoc(node["description"])
    return node


if __name__ == "__main__":
    sys.stdout.buffer.write(result_schema())
