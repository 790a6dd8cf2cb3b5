"""Result files of the tests, and the JSON Schema of a result file.

`python -m tests.support.result_files > grader/report/result.schema.json` renews the schema.
"""

import inspect
import json
import sys
from pathlib import Path
from typing import Any

import msgspec

from grader.report.json import render_json
from grader.results import SCHEMA_VERSION, SubmissionResult


def write_json(result: SubmissionResult, path: Path) -> None:
    """Write a result file."""
    path.write_text(render_json(result), encoding="utf-8")


def read_json(path: Path) -> SubmissionResult:
    """Read a result file; an incomplete one raises msgspec.ValidationError."""
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
