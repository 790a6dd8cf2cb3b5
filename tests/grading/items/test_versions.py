"""The versions of torch and torchvision are well-formed and go together."""

from __future__ import annotations

import pytest
import torch
import torchvision

from grader.assignment.records import VersionsItem
from grader.grading.items import versions
from grader.grading.items.versions import check_versions
from grader.models.questions import PlainMapping
from grader.results import Outcome
from tests.support.item_samples import ITEMS, make_context
from tests.support.specs import answer_extraction

GRADER_TORCH = "2.14.1+cpu"


def outcomes(value) -> list[tuple[str, Outcome]]:
    checks, _ = check_versions(value, grader_torch=GRADER_TORCH)
    return [(check.id, check.outcome) for check in checks]


def test_installed_pair():
    """This environment's own versions are right, and need no note."""
    value = (str(torch.__version__), str(torchvision.__version__))
    checks, notes = check_versions(value, grader_torch=torch.__version__)
    assert [check.outcome for check in checks] == [Outcome.PASSED, Outcome.PASSED]
    assert notes == ()


@pytest.mark.parametrize(
    ("torch_version", "torchvision_version"),
    [
        ("1.4.0", "0.5.0"),
        ("1.8.2", "0.9.1"),
        ("1.13.1", "0.14.0"),
        ("2.0.1", "0.15.2"),
        ("2.1.0", "0.16.0"),
        ("2.6.0+cu124", "0.21.0+cu124"),
        ("2.9.1", "0.24.0"),
        ("2.14.1", "0.29.1"),
        ("2.14.1+cpu", "0.29.0"),
        ("2", "0.15"),
        ("2.6.0a0+git1234", "0.21.0a0"),
        ("v2.6.0", "0.21"),
    ],
)
def test_released_pairs(torch_version, torchvision_version):
    """The pairs of torchvision's README pass, with any patch level and build."""
    assert outcomes((torch_version, torchvision_version)) == [
        ("well-formed-versions", Outcome.PASSED),
        ("matching-versions", Outcome.PASSED),
    ]


def test_dict():
    """The keys are the packages' names, in any case."""
    value = PlainMapping(pairs=(("torchvision", "0.21.0"), ("Torch", "2.6.0")))
    assert outcomes(value)[-1] == ("matching-versions", Outcome.PASSED)


def test_other_version_is_a_note():
    """It costs nothing, and a build for another device is not even noted."""
    checks, notes = check_versions(("2.6.0", "0.21.0"), grader_torch=GRADER_TORCH)
    assert all(check.outcome is Outcome.PASSED for check in checks)
    assert len(notes) == 1
    assert "You have torch 2.6.0, the grader trains with 2.14.1+cpu" in notes[0]
    assert check_versions(("2.14.1+cu130", "0.29.1"), grader_torch=GRADER_TORCH)[1] == ()


@pytest.mark.parametrize(
    ("value", "expected", "next_step"),
    [
        (("2.6.0", "0.20.0"), "torchvision 0.21 with torch 2.6.0", "of one environment"),
        (("2.6.0", "1.21.0"), "torchvision 0.21 with torch 2.6.0", "of one environment"),
        (("0.21.0", "2.6.0"), "torch 1.4 to 2.x", "swap the two"),
        (("1.3.1", "0.4.2"), "torch 1.4 to 2.x", "of one environment"),
        (("1.14.0", "0.15.0"), "torch 1.4 to 2.x", "of one environment"),
        (("3.0.0", "0.45.0"), "torch 1.4 to 2.x", "of one environment"),
    ],
)
def test_mismatched_pair(value, expected, next_step):
    """The versions themselves are well-formed; the failure says which would match."""
    checks, _ = check_versions(value, grader_torch=GRADER_TORCH)
    form, pair = checks
    assert form.outcome is Outcome.PASSED
    assert pair.outcome is Outcome.FAILED
    assert pair.observed == f"torch {value[0]} with torchvision {value[1]}"
    assert pair.expected == expected
    assert next_step in pair.next_step


@pytest.mark.parametrize(
    ("value", "observed"),
    [
        (None, "your function returned None"),
        ("2.6.0", "your function returned '2.6.0'"),
        (("2.6.0",), "your function returned ('2.6.0',)"),
        (("2.6.0", "0.21.0", "2.6.0"), "your function returned ('2.6.0', '0.21.0', '2.6.0')"),
        (PlainMapping(pairs=(("torch", "2.6.0"),)), "your function returned {'torch': '2.6.0'}"),
        ((2.6, 0.21), "the version of torch is given as 2.6, which is not text"),
        (("2.6.0", None), "the version of torchvision is given as None, which is not text"),
        (("two", "0.21.0"), "the version of torch is given as 'two', which is not a version"),
        (("2.6.0", ""), "the version of torchvision is given as '', which is not a version"),
        (
            ("9" * 5000, "0.21.0"),
            f"the version of torch is given as '{'9' * 118}…, which is not a version",
        ),
    ],
)
def test_not_two_versions(value, observed):
    """The failure tells what is not a version, and what to return instead."""
    checks, notes = check_versions(value, grader_torch=GRADER_TORCH)
    (check,) = checks
    assert check.id == "well-formed-versions"
    assert check.outcome is Outcome.FAILED
    assert check.observed == observed
    assert ".__version__" in check.next_step
    assert notes == ()


def test_item():
    """The item shows the value and passes with its two checks and the call."""
    item = ITEMS["2A"]
    assert isinstance(item, VersionsItem)
    value = (str(torch.__version__), str(torchvision.__version__))
    context = make_context(extractions={"2A": answer_extraction(value, "versions")})
    result = versions.check("2A", item, context)
    assert result.outcome is Outcome.PASSED
    assert [check.id for check in result.checks] == [
        "called",
        "well-formed-versions",
        "matching-versions",
    ]
    assert result.answer == str(value)
