"""What students are shown of a graded class."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from grader.assignment.loading import load_assignment
from grader.cohort.release import release, require_assignment, without_parts
from grader.cohort.store import Store
from grader.cohort.summary import Status, StudentSummary, summarize_items
from grader.errors import UsageError
from grader.intake.students import Student
from grader.report.json import read_json
from grader.results import Lateness, Score
from tests.support.result_samples import broken_result


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A class of a graded student and one without a grade."""
    result = broken_result()
    graded = StudentSummary(
        student=Student(id="ann"),
        status=Status.GRADED,
        score=result.score,
        folder="ann",
        items=summarize_items(result),
    )
    missing = StudentSummary(
        student=Student(id="zoe"), status=Status.MISSING, score=Score(possible=100)
    )
    with Store(tmp_path / "class.sqlite") as opened:
        opened.record(graded, inputs_sha256="", result=result)
        opened.record(missing, inputs_sha256="", result=None)
        yield opened


def test_a_hidden_part_and_its_points_are_in_nothing_that_is_released(store, tmp_path):
    target = tmp_path / "released"
    released = release(store, target, hidden={"2C"})
    assert (released.folders, released.without_grade) == (1, ("zoe",))
    shown = read_json(target / "ann" / "result.json")
    whole = store.result("ann")
    parts = {part.id: part for problem in whole.problems for part in problem.parts}
    assert "2C" in parts
    assert "2C" not in {part.id for problem in shown.problems for part in problem.parts}
    assert shown.score.possible == whole.score.possible - parts["2C"].score.possible
    assert parts["2C"].title not in (target / "ann" / "report.html").read_text()


def test_being_late_costs_a_share_of_what_is_shown(store):
    """Nobody can work out what a hidden part gave."""
    whole = replace(store.result("ann"), late=Lateness(share_kept=0.5, penalty_points=1000.0))
    shown = without_parts(whole, {"2C"})
    assert shown.late.penalty_points == shown.score.earned / 2


def test_only_the_assignment_of_the_class_says_what_is_hidden(store):
    """Another hides other parts."""
    with pytest.raises(UsageError, match="ann was graded with another assignment"):
        require_assignment(store, load_assignment("set4"))


def test_without_hidden_parts_the_result_is_the_whole_one(store):
    whole = store.result("ann")
    assert without_parts(whole, ()) == whole


def test_what_was_shown_before_is_not_mixed_with_what_is_shown_now(store, tmp_path):
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "report.html").write_text("earlier")
    with pytest.raises(UsageError, match="not empty"):
        release(store, tmp_path / "old", hidden=())
