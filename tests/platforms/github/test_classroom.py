"""Tests of what GitHub Classroom reads."""

import base64
import json

import jsonschema
import pytest

from grader.platforms.github.classroom import render_classroom, write_classroom
from tests.support.result_samples import (
    ALL_SAMPLES,
    broken_result,
    good_result,
    hostile_results,
    practice_result,
    unfinished_result,
)

SCHEMA = {
    "type": "object",
    "required": ["version", "status", "max_score", "tests"],
    "additionalProperties": False,
    "properties": {
        "version": {"const": 1},
        "status": {"enum": ["pass", "fail", "error"]},
        "max_score": {"type": "number", "exclusiveMinimum": 0},
        "tests": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["name", "status", "score", "message"],
                "additionalProperties": False,
                "properties": {
                    "name": {"type": "string"},
                    "status": {"enum": ["pass", "fail", "error"]},
                    "score": {"type": "number", "minimum": 0},
                    "message": {"type": "string"},
                    "test_code": {"type": "string"},
                    "filename": {"type": "string"},
                    "line_no": {"type": "integer", "minimum": 0},
                    "duration": {"type": "number", "minimum": 0},
                },
            },
        },
    },
}
"""The fields that the autograding-grading-reporter takes; without a score it counts NaN."""


def decoded(result):
    """Return the results as the reporter reads them."""
    return json.loads(base64.b64decode(render_classroom(result), validate=True))


@pytest.mark.parametrize("name", ALL_SAMPLES)
def test_schema(name):
    """Every field that it needs is there, of the right type."""
    jsonschema.validate(decoded(ALL_SAMPLES[name]()), SCHEMA)


def test_points():
    """Nothing that a person grades counts, so that the most points are the same for everybody."""
    good, broken = decoded(good_result()), decoded(broken_result())
    assert (good["status"], good["max_score"]) == ("pass", 61)
    assert sum(test["score"] for test in good["tests"]) == 61
    assert (broken["status"], broken["max_score"]) == ("fail", 61)
    assert sum(test["score"] for test in broken["tests"]) == broken_result().score.earned


def test_failure_has_a_line():
    """Its line, and what was seen."""
    test = next(t for t in decoded(broken_result())["tests"] if t["name"].startswith("2C:"))
    assert (test["status"], test["filename"], test["line_no"]) == ("fail", "problem_2.py", 40)
    assert "97.34%" in test["message"]


def test_ungraded_is_an_error():
    """An error of the grader, and what was left out, is neither passed nor failed."""
    unfinished = decoded(unfinished_result())
    statuses = {test["name"].split(":")[0]: test["status"] for test in unfinished["tests"]}
    assert unfinished["status"] == "error"
    assert (statuses["2C"], statuses["2E"], statuses["2D"]) == ("error", "error", "pass")


def test_practice():
    """Every test says so."""
    assert all(test["name"].startswith("PRACTICE") for test in decoded(practice_result())["tests"])


def test_hostile_strings_command_nothing():
    """The reporter prints what it reads, so that no text may be a command or break its line."""
    for hostile in hostile_results():
        for test in decoded(hostile)["tests"]:
            for text in (test["name"], test["message"], test["test_code"], test["filename"]):
                assert "::" not in text
                assert "##[" not in text
                assert text.isprintable()


def test_output_is_appended(tmp_path):
    """A line `result=…`, after what the step wrote before."""
    path = tmp_path / "output"
    path.write_text("before=1\n")
    write_classroom(good_result(), path)
    assert path.read_text() == f"before=1\nresult={render_classroom(good_result())}\n"
