"""Answers are compared with the accepted values."""

from dataclasses import replace

import pytest

from grader.assignment.records import AnswerItem
from grader.grading.items import answer
from grader.models.questions import Extraction
from grader.results import ItemResult, Outcome
from tests.support.item_samples import ITEMS, make_context
from tests.support.specs import FAILURE, answer_extraction, failed_extraction

ITEM = ITEMS["3B"]
assert isinstance(ITEM, AnswerItem)


def check(extraction: Extraction, item: AnswerItem = ITEM) -> ItemResult:
    return answer.check("3B", item, make_context(extractions={"3B": extraction}))


@pytest.mark.parametrize(("value", "outcome"), [(608, "passed"), (600, "failed"), (True, "failed")])
def test_value_decides(value, outcome):
    """Only an accepted value passes."""
    assert check(answer_extraction(value)).outcome.value == outcome


def test_exception_fails():
    """A function that raises fails its own item, with the next step."""
    result = check(failed_extraction(FAILURE))
    assert result.outcome is Outcome.FAILED
    assert result.checks[0].location == "problem_3.py:4"
    assert result.checks[0].next_step == "read the traceback"


def test_whole_float_is_remarked():
    """608.0 counts as 608, with a remark; 608 gets none."""
    remarked = check(answer_extraction(608.0)).checks[-1]
    assert remarked.outcome is Outcome.PASSED
    assert remarked.observed == "608.0; the float 608.0 counts as the integer"
    assert check(answer_extraction(608)).checks[-1].observed == "608"


def test_value_is_kept_secret():
    """A wrong answer is told the form of the right one; without the key, no answer is judged."""
    wrong = check(answer_extraction(600))
    assert "608" not in str(wrong)
    assert wrong.checks[-1].next_step == "work it out again; an integer is wanted"
    for value in (600, 608):
        unchecked = check(answer_extraction(value), replace(ITEM, accepted=()))
        assert unchecked.outcome is Outcome.PENDING
        assert unchecked.score.pending == ITEM.points
        assert unchecked.checks[-1].observed == (
            f"{value}; answered, and checked when it is graded with the key"
        )


def test_all_accepted_values_are_named():
    """A wrong answer is told every accepted value where the author allows it."""
    item = replace(ITEM, accepted=((28, 28, 8), (8, 28, 28)), shows_value=True)
    wrong = check(answer_extraction((8, 28, 27)), item).checks[-1]
    assert wrong.expected == "(28, 28, 8) or (8, 28, 28)"
    assert wrong.observed == (
        "(8, 28, 27); 1 of 3 entries differs, the first at [2]: 27, where 28 is expected"
    )


def test_huge_integer_is_described():
    """An integer of 16610 bits is not written out."""
    result = check(answer_extraction(10**5000))
    assert result.answer == "an integer of 16610 bits"
