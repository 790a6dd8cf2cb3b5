"""Tests of the result file and its schema."""

import copy
import json

import jsonschema
import msgspec
import pytest

from grader.report.json import render_json
from grader.results import SubmissionResult
from tests.support.paths import ROOT
from tests.support.result_files import read_json, result_schema, write_json
from tests.support.result_samples import ALL_SAMPLES, good_result, hostile_results, map_strings

SCHEMA_PATH = ROOT / "grader" / "report" / "result.schema.json"


@pytest.fixture(scope="module")
def validator():
    schema = json.loads(SCHEMA_PATH.read_bytes())
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


@pytest.mark.parametrize("name", ALL_SAMPLES)
def test_a_result_survives_the_file(name, tmp_path):
    """A result that is read back equals the one that was written."""
    result = ALL_SAMPLES[name]()
    write_json(result, tmp_path / "result.json")
    assert read_json(tmp_path / "result.json") == result


@pytest.mark.parametrize("name", ALL_SAMPLES)
def test_a_result_file_fits_the_schema(name, tmp_path, validator):
    """Every sample is valid under the committed schema."""
    write_json(ALL_SAMPLES[name](), tmp_path / "result.json")
    validator.validate(json.loads((tmp_path / "result.json").read_bytes()))


def test_hostile_strings_survive_the_file(tmp_path):
    """Control characters and markup come back as they were.

    Lone surrogates are taken out before: no message from the sandbox can hold them.
    """
    for number, hostile in enumerate(hostile_results()):
        result = map_strings(hostile, lambda text: text.replace("\ud800", ""))
        path = tmp_path / f"{number}.json"
        write_json(result, path)
        assert read_json(path) == result


HIDDEN = "\x7f \x85 \u00ad \u200b \u200f \u2028 \u202e \u2066 \ufeff \U000e0041"


def test_what_cannot_be_seen_is_escaped():
    """Control characters, those that turn text, and invisible ones; others stay readable."""
    result = map_strings(good_result(), lambda text: f"{text} {HIDDEN} é 数 🙂")
    rendered = render_json(result)
    assert not set(rendered) & set(HIDDEN.replace(" ", ""))
    assert r"\u202e \u2066 \ufeff \udb40\udc41 é 数 🙂" in rendered
    assert msgspec.json.decode(rendered, type=SubmissionResult) == result


def test_no_runner_commands():
    """The runner takes `##[name]` anywhere in its log for a command; the value stays the same."""
    hostile = map_strings(good_result(), lambda text: f"{text}##[add-mask]\\##[error]")
    rendered = render_json(hostile)
    assert "##[" not in rendered
    assert msgspec.json.decode(rendered, type=SubmissionResult) == hostile


def test_committed_schema():
    """`tests.support.result_files` says how to renew the file."""
    assert SCHEMA_PATH.read_bytes() == result_schema()


def test_same_bytes(tmp_path):
    """Two writings of equal results do not differ."""
    for name in ("first", "second"):
        write_json(good_result(), tmp_path / name)
    assert (tmp_path / "first").read_bytes() == (tmp_path / "second").read_bytes()


@pytest.mark.parametrize(
    "path",
    [
        ("name",),
        ("score", "possible"),
        ("problems", 0, "parts", 0, "outcome"),
        ("provenance", "practice"),
    ],
)
def test_schema_rejects_a_gap(path, tmp_path, validator):
    """A document without a required field is invalid, for the schema and for `read_json`."""
    write_json(good_result(), tmp_path / "result.json")
    document = json.loads((tmp_path / "result.json").read_bytes())
    broken = copy.deepcopy(document)
    node = broken
    for step in path[:-1]:
        node = node[step]
    del node[path[-1]]
    (tmp_path / "broken.json").write_text(json.dumps(broken), encoding="utf-8")
    assert not validator.is_valid(broken)
    with pytest.raises(msgspec.ValidationError):
        read_json(tmp_path / "broken.json")


def test_schema_rejects_an_outcome(tmp_path, validator):
    """An outcome that does not exist is invalid."""
    write_json(good_result(), tmp_path / "result.json")
    document = json.loads((tmp_path / "result.json").read_bytes())
    document["problems"][0]["parts"][0]["outcome"] = "excellent"
    assert not validator.is_valid(document)
