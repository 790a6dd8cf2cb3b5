"""Tests of the JUnit XML: whole documents, the schema, and what another reader makes of it."""

import dataclasses

import pytest
import xmlschema
from hypothesis import given, settings
from hypothesis import strategies as st
from junitparser import Error, Failure, JUnitXml, Skipped

from grader.report.junit import render_junit
from grader.results import SubmissionResult
from tests.support.golden import assert_golden
from tests.support.paths import ROOT
from tests.support.result_samples import (
    ALL_SAMPLES,
    broken_result,
    hostile_results,
    map_strings,
    unfinished_result,
)


@pytest.fixture(scope="module", name="schema")
def load_schema():
    return xmlschema.XMLSchema(ROOT / "tests" / "schemas" / "junit_xunit2.xsd")


def with_text(result: SubmissionResult, text: str) -> SubmissionResult:
    """The result with a text in place of every string that can be a student's."""
    return dataclasses.replace(map_strings(result, lambda _: text), timing=result.timing)


def cases(result: SubmissionResult):
    """Every test case as junitparser reads it."""
    return [case for suite in JUnitXml.fromstring(render_junit(result).encode()) for case in suite]


@pytest.mark.parametrize("name", ["broken", "tested", "unfinished"])
def test_the_whole_document(name):
    """The whole output is the golden file."""
    assert_golden(render_junit(ALL_SAMPLES[name]()), f"junit_{name}.xml")


@pytest.mark.parametrize("name", ALL_SAMPLES)
def test_schema(name, schema):
    """Every sample is valid."""
    schema.validate(render_junit(ALL_SAMPLES[name]()))


def test_schema_refuses_other_dialects(schema):
    """A test case outside a suite, an unknown attribute and two outcomes are invalid."""
    document = render_junit(broken_result())
    for valid, invalid in (
        ("<testsuite ", '<testsuite points="3" '),
        ("<failure ", "<skipped/><failure "),
        ("</testsuites>", '<testcase classname="a" name="b" time="0.000"/></testsuites>'),
    ):
        assert not schema.is_valid(document.replace(valid, invalid, 1))


def test_every_check_is_a_case():
    """Another reader finds each part as a suite and each check as a case in it."""
    result = broken_result()
    suites = list(JUnitXml.fromstring(render_junit(result).encode()))
    parts = [part for problem in result.problems for part in problem.parts]
    assert [suite.name for suite in suites] == [f"{part.id}: {part.title}" for part in parts]
    for suite, part in zip(suites, parts, strict=True):
        assert suite.tests == len(list(suite)) == sum(len(item.checks) for item in part.items)


def test_outcomes():
    """Failed, skipped, pending and errored checks each read differently."""
    found = {
        (type(result), result.type)
        for sample in (broken_result(), unfinished_result())
        for case in cases(sample)
        for result in case.result
    }
    assert found == {
        (Failure, "failed"),
        (Skipped, "skipped"),
        (Skipped, "pending"),
        (Error, "error"),
    }
    assert any(not case.result for case in cases(broken_result()))


def test_item_without_checks():
    """An item that was left out before any check is a skipped case with the reason."""
    left_out = [case for case in cases(unfinished_result()) if case.classname == "2E"]
    assert [case.result[0].message for case in left_out] == [
        "Left out by --quick: nothing was trained."
    ]


def test_failure_text():
    """The text of a failure holds the facts and the details."""
    case = next(
        case
        for case in cases(broken_result())
        if case.classname == "2B.dataset_sizes" and case.result
    )
    for text in ("observed: ", "expected: ", "next step: ", "where: problem_2.py:31", "Traceback"):
        assert text in case.result[0].text


def test_hostile_strings(schema):
    """No markup, control character or lone surrogate of a submission breaks the document."""
    for hostile in hostile_results():
        result = dataclasses.replace(hostile, timing=broken_result().timing)
        document = render_junit(result)
        schema.validate(document)
        assert len(cases(result)) == len(cases(broken_result()))


@settings(max_examples=40)
@given(text=st.text())
def test_any_text(text, tmp_path_factory):
    """Whatever a submission says, the file is XML that can be read."""
    path = tmp_path_factory.getbasetemp() / "any.xml"
    path.write_text(render_junit(with_text(broken_result(), text)), encoding="utf-8")
    assert sum(suite.tests for suite in JUnitXml.fromfile(path)) == len(cases(broken_result()))


def test_real_runs(reference_step, attacker_step, schema):
    """The files of the command for the reference and a broken submission are valid."""
    for step in (reference_step, attacker_step):
        schema.validate(step.junit)
    reference = JUnitXml.fromstring(reference_step.junit.encode())
    assert (reference.failures, reference.errors) == (0, 0)
    broken = JUnitXml.fromstring(attacker_step.junit.encode())
    assert broken.failures > 0
    assert {type(r) for suite in broken for case in suite for r in case.result} == {
        Failure,
        Skipped,
    }
