"""Written answers wait for a person."""

import pytest

from grader.assignment.records import WrittenItem
from grader.grading.items import written
from grader.results import Outcome
from tests.support.item_samples import ITEMS, make_context
from tests.support.specs import FAILURE

MARKED = "> Question?\n\n<!-- Write your answer below this line. -->\n"


@pytest.mark.parametrize(
    ("content", "outcome", "text"),
    [
        (MARKED + "Because.", Outcome.PENDING, "Because."),
        ("Because.", Outcome.PENDING, "Because."),
        (MARKED, Outcome.FAILED, None),
        ("  \n", Outcome.FAILED, None),
        (FAILURE, Outcome.FAILED, None),
    ],
    ids=["below the marker", "without a marker", "only the question", "empty", "missing"],
)
def test_missing_answer_fails(content, outcome, text):
    """The question above the marker is not an answer; any answer waits for a person."""
    item = ITEMS["1A"]
    assert isinstance(item, WrittenItem)
    result = written.check("1A", item, make_context(read_written=lambda _file: content))
    assert (result.outcome, result.written_text) == (outcome, text)
