"""An author's own constraint: checked, tried when it is loaded, and part of the digest."""

from __future__ import annotations

from pathlib import Path

import pytest

from grader.assignment.loading import load_assignment
from grader.assignment.records import Assignment, ModelItem
from grader.errors import AssignmentError
from grader.grading.items import structure
from grader.models.digest import digest_of
from grader.results import CheckResult, Outcome
from tests.support.specs import linear, mlp, model

FILE = """
from dataclasses import dataclass, replace
from grader.assignment import {imported}
from grader.assignment.loading import load_assignment
from grader.results import CheckResult

LIMIT = 3

def count(model):
    return len(model.layers)

@dataclass(frozen=True, kw_only=True)
class FewLayers:
    word: str = "layers"

    def check(self, model):
        {body}

SET4 = load_assignment("set4")
ASSIGNMENT = SET4.with_items(
    lambda item_id, item: replace(item, constraints=(FewLayers(),)) if item_id == "2C" else item
)
"""
BODY = """return CheckResult.judged(
            "few-layers", "Few layers", passed=count(model) <= LIMIT,
            observed=f"{count(model)} {self.word}", expected=f"at most {LIMIT}",
        )"""


def load(path: Path, body: str = BODY, imported: str = "Assignment") -> Assignment:
    file = path / "mine.py"
    file.write_text(FILE.format(body=body, imported=imported).replace("{{", "{"))
    return load_assignment(str(file))


def rule_of(assignment: Assignment) -> ModelItem:
    item = dict(assignment.item_ids())["2C"]
    assert isinstance(item, ModelItem)
    return item


def test_checked(tmp_path: Path) -> None:
    """It judges as the grader's own do."""
    (rule,) = rule_of(load(tmp_path)).constraints
    check = structure.check_rule(rule, mlp(5), (1, 28, 28))
    assert (check.outcome, check.observed) == (Outcome.FAILED, "4 layers")
    assert structure.check_rule(rule, model(linear(784, 10)), (784,)).outcome is Outcome.PASSED


def test_digest_follows_source(tmp_path: Path) -> None:
    """A changed rule, helper or constant of its file is a changed assignment; a comment is none."""
    texts = {
        "same": FILE,
        "rule": FILE.replace('"layers"', '"of them"'),
        "helper": FILE.replace("len(model.layers)", "len(model.layers) + 0"),
        "constant": FILE.replace("LIMIT = 3", "LIMIT = 4"),
        "other": FILE + "\n# a comment\n",
    }
    digests = {}
    for name, text in texts.items():
        directory = tmp_path / name
        directory.mkdir()
        file = directory / "mine.py"
        file.write_text(text.format(body=BODY, imported="Assignment"))
        digests[name] = digest_of(rule_of(load_assignment(str(file))))
    assert digests["other"] == digests["same"]
    assert len(set(digests.values())) == 4


@pytest.mark.parametrize(
    ("body", "imported", "mistake"),
    [
        ("return model.depth", "Assignment", r"FewLayers.check failed at mine.py:17: Attribute"),
        ("return True", "Assignment", "FewLayers.check returned bool instead of CheckResult"),
        (BODY, "Assignmint", "mine.py:3: ImportError"),
    ],
)
def test_mistakes(tmp_path: Path, body: str, imported: str, mistake: str) -> None:
    """A rule is tried when it is loaded; its file and line are named."""
    with pytest.raises(AssignmentError, match=mistake):
        load(tmp_path, body, imported)


def test_failure_costs_nothing(tmp_path: Path) -> None:
    """A rule that fails on one model only is an error, and no points are lost."""
    body = BODY.replace("return", "assert len(model.layers) != 1; return", 1)
    (rule,) = rule_of(load(tmp_path, body)).constraints
    check: CheckResult = structure.check_rule(rule, model(linear(784, 10)), (784,))
    assert check.outcome is Outcome.ERROR
    assert "AssertionError" in check.observed
