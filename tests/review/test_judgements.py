"""A person's judgement changes an automatic result."""

from dataclasses import replace

import pytest

from grader.assignment.records import Rubric, RubricItem
from grader.report.html import render_html
from grader.report.wording import items_that_await_a_person
from grader.results import Outcome
from grader.review.judgements import Judgement, apply_judgements, judge_item, points_of
from tests.support.result_samples import good_result

RUBRIC = Rubric(
    items=(
        RubricItem(id="forward", text="The forward pass", points=2),
        RubricItem(id="backward", text="The backward pass", points=3),
        RubricItem(id="muddle", text="Muddles the two", points=-1),
    )
)


def judged(*found: str, **changes: object):
    return Judgement(
        grader="grace",
        rubric_items=found,
        answer_sha256="0",
        judged_at="2026-11-25T12:00:00+00:00",
        **changes,
    )


@pytest.mark.parametrize(
    ("judgement", "points"),
    [
        (judged(), 0),
        (judged("forward"), 2),
        (judged("forward", "backward"), 5),
        (judged("forward", "backward", "muddle"), 4),
        (judged("muddle"), 0),
        (judged("forward", adjustment=0.5), 2.5),
        (judged("forward", "backward", adjustment=3), 5),
        (judged("an item that was removed", "forward"), 2),
    ],
)
def test_points(judgement, points):
    """Deductions never go below zero, and bonuses never above the item's points."""
    assert points_of(judgement, RUBRIC, 5) == points


def test_deductions():
    """A rubric of deductions starts from all points."""
    deductions = replace(RUBRIC, starts_full=True, items=RUBRIC.items[2:])
    assert points_of(judged(), deductions, 5) == 5
    assert points_of(judged("muddle"), deductions, 5) == 4


def test_totals():
    """Item, part, problem and total follow; other items are untouched."""
    before = good_result()
    after = apply_judgements(before, {"1A": judged("forward")}, {"1A": RUBRIC})
    item = next(item for item in after.items() if item.id == "1A")
    assert (item.outcome, item.score.earned, item.score.lost) == (Outcome.FAILED, 2, 3)
    assert after.score.pending == before.score.pending - 5
    assert after.score.earned == before.score.earned + 2
    assert after.problems[0].parts[0].score == item.score
    assert after.problems[1:] == before.problems[1:]
    assert [item.id for item in items_that_await_a_person(after)] == [
        item.id for item in items_that_await_a_person(before) if item.id != "1A"
    ]


def test_automatic_item():
    """A judgement of an automatic item changes nothing."""
    result = good_result()
    assert apply_judgements(result, {"2C": judged("forward")}, {"2C": RUBRIC}) == result


def test_missing_answer():
    """A missing answer can be judged, because it may be in a picture."""
    pending = next(item for item in good_result().items() if item.id == "1A")
    missing = replace(pending, outcome=Outcome.FAILED, written_text=None)
    assert judge_item(missing, judged("forward", "backward"), RUBRIC).score.earned == 5


def test_report():
    """The report shows each rubric item with its points, and the comment as safe Markdown."""
    judgement = judged("forward", "muddle", comment="Nearly. *Where* is <script>alert(1)</script>?")
    page = render_html(apply_judgements(good_result(), {"1A": judgement}, {"1A": RUBRIC}))
    assert "+2: The forward pass" in page
    assert "\N{MINUS SIGN}1: Muddles the two" in page
    assert "<em>Where</em>" in page
    assert "<script>" not in page
