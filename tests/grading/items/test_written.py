"""Written answers wait for a person."""

import pytest

from grader.assignment.records import WrittenItem
from grader.grading.items import written
from grader.intake.written import WrittenAnswer
from grader.results import Outcome
from tests.support.item_samples import ITEMS, make_context
from tests.support.specs import FAILURE


@pytest.mark.parametrize(
    ("found", "outcome", "text", "observed"),
    [
        (WrittenAnswer(text="Because.", place="written/1A.md"), "pending", "Because.", "1 word, "),
        (
            WrittenAnswer(text="So it is.", place="set4.ipynb, cell 3"),
            "pending",
            "So it is.",
            "3 words in set4.ipynb, cell 3, ",
        ),
        (WrittenAnswer(place="written/1A.md"), "failed", None, "the file has no answer"),
        (FAILURE, "failed", None, FAILURE.message),
    ],
    ids=["answered", "elsewhere", "empty", "missing"],
)
def test_answers(found, outcome, text, observed):
    """Any answer waits for a person, a missing one does not."""
    item = ITEMS["1A"]
    assert isinstance(item, WrittenItem)
    context = make_context(read_written=lambda _file, _below: found)
    result = written.check("1A", item, context)
    assert (result.outcome, result.written_text) == (outcome, text)
    assert observed in result.checks[0].observed


def test_documents():
    """A picture or a PDF waits for a person, too, and those of two students are told apart."""
    texts = []
    for sha256 in ("1" * 64, "2" * 64):
        found = WrittenAnswer(documents=("1A.pdf", "a`b.jpg"), sha256=sha256)
        context = make_context(read_written=lambda _file, _below: found)  # noqa: B023
        result = written.check("1A", ITEMS["1A"], context)
        assert result.outcome is Outcome.PENDING
        assert result.checks[0].observed == "1A.pdf, a`b.jpg, for a person to look at"
        texts.append(result.written_text)
    assert "`1A.pdf`, `a'b.jpg`" in texts[0]
    assert texts[0] != texts[1]
