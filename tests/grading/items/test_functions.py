"""Tested functions: the outcomes of the author's tests become checks with points."""

import pytest

from grader.assignment.records import FunctionsItem
from grader.grading.items import functions
from grader.grading.options import Options
from grader.models.questions import CaseResult, Extraction, Question
from grader.results import CapturedOutput, CheckResult, Outcome, Score
from tests.support.item_samples import make_context
from tests.support.specs import FAILURE

ITEM = FunctionsItem(title="Softmax", points=3, file="softmax.py", tests="tests/test_softmax.py")


def case(outcome: str, points: float, *, hidden: bool = False) -> CaseResult:
    """A test's outcome, with the score that a run gives it."""
    kept = {"passed": "earned", "failed": "lost"}.get(outcome, "undecided")
    check = CheckResult(
        id=f"test_{outcome}",
        title=f"The {outcome} one",
        outcome=Outcome(outcome),
        observed="f(4242) returned 1",
        score=Score(possible=points, **{kept: points}),
        hidden=hidden,
    )
    output = CapturedOutput(source="softmax.py: x", text="4242\n", hidden=hidden)
    return CaseResult(check=check, output=output)


def check(*cases: CaseResult, failure=None, options: Options | None = None):
    """The item's result."""
    question = Question(id="1A", kind="tests", file=ITEM.file, function="test_softmax.py")
    extraction = Extraction(question=question, cases=cases, failure=failure)
    return functions.check(
        "1A", ITEM, make_context(extractions={"1A": extraction}, options=options)
    )


@pytest.mark.parametrize(
    ("outcomes", "outcome", "score"),
    [
        (("passed", "passed"), "passed", Score(possible=3, earned=3)),
        (("passed", "failed"), "failed", Score(possible=3, earned=1.5, lost=1.5)),
        (("failed", "error"), "error", Score(possible=3, lost=1.5, undecided=1.5)),
    ],
)
def test_points(outcomes, outcome, score):
    """Each test gives its own points; a fault of the grader leaves an item without a grade."""
    result = check(*(case(one, 1.5) for one in outcomes))
    assert (result.outcome, result.score) == (outcome, score)
    assert [one.outcome for one in result.checks] == list(outcomes)


def test_hidden():
    """Students read nothing of a hidden test, instructors everything."""
    cases = (case("failed", 1), case("failed", 2, hidden=True))
    shown = check(*cases)
    assert [one.observed for one in shown.checks] == ["f(4242) returned 1", "a hidden test failed"]
    assert shown.checks[1].id == "hidden-1"
    assert len(shown.output) == 1
    whole = check(*cases, options=Options(shows_hidden=True))
    assert whole.checks[1].observed == "f(4242) returned 1"
    assert len(whole.output) == 2
    assert whole.for_students() == shown


def test_file_that_cannot_be_imported():
    """The failure is told once, and all points are lost."""
    result = check(case("failed", 1), case("failed", 2, hidden=True), failure=FAILURE)
    assert result.score == Score(possible=3, lost=3)
    assert [one.outcome for one in result.checks] == ["failed", "skipped", "skipped"]
    assert FAILURE.message in result.checks[0].observed


def test_without_sandbox():
    """Tests that were not run lose no points."""
    result = check()
    assert (result.outcome, result.score.undecided) == (Outcome.SKIPPED, 3)
