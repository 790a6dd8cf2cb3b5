"""The release of a graded class to its students."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from grader.assignment.loading import load_assignment
from grader.cohort.release import release, require_assignment
from grader.cohort.store import Store
from grader.cohort.summary import Status, StudentSummary, summarize_items
from grader.errors import UsageError
from grader.intake.students import Student
from grader.results import Lateness, Score
from tests.support.result_files import read_json
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


def test_hidden_part(store, tmp_path):
    """A released report and record contain neither a hidden part nor its points."""
    target = tmp_path / "released"
    assert release(store, target, hidden={"2C"}) == ["zoe"]
    assert [folder.name for folder in target.iterdir()] == ["ann"]
    shown = read_json(target / "ann" / "result.json")
    whole = store.result("ann")
    parts = {part.id: part for problem in whole.problems for part in problem.parts}
    assert "2C" in parts
    assert "2C" not in {part.id for problem in shown.problems for part in problem.parts}
    assert shown.score.possible == whole.score.possible - parts["2C"].score.possible
    assert parts["2C"].title not in (target / "ann" / "report.html").read_text()


def test_late_penalty(store, tmp_path):
    """The penalty is that of the shown points, so that it tells nothing of hidden ones."""
    late = replace(store.result("ann"), late=Lateness(share_kept=0.5, penalty_points=1000.0))
    (summary, _) = store.summaries()
    store.record(summary, inputs_sha256="", result=late)
    release(store, tmp_path / "released", hidden={"2C"})
    shown = read_json(tmp_path / "released" / "ann" / "result.json")
    assert shown.late.penalty_points == shown.score.earned / 2


def test_another_assignment(store):
    """Another assignment, with other hidden parts, is refused."""
    with pytest.raises(UsageError, match="ann was graded with another assignment"):
        require_assignment(store, load_assignment("set4"))


def test_nothing_hidden(store, tmp_path):
    """Without hidden parts the result stays whole."""
    release(store, tmp_path / "released", hidden=())
    assert read_json(tmp_path / "released" / "ann" / "result.json") == store.result("ann")


def test_earlier_release(store, tmp_path):
    """A directory with an earlier release is refused."""
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "report.html").write_text("earlier")
    with pytest.raises(UsageError, match="not empty"):
        release(store, tmp_path / "old", hidden=())
