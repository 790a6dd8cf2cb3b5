"""A store written by the grader before the table `settings` had its name (schema version 2).

`data/old_class/` was made by that grader: `grade batch submissions --practice`, one judgement by
`grade review import`, an invitation for hal, half of the answers for a second reading, and hal's
judgement of bob's answer on the page, not published yet.
"""

import shutil
import sqlite3
from pathlib import Path

import pytest

import grader
from grader.assignment.records import (
    AnswerItem,
    Assignment,
    Part,
    Practice,
    Problem,
    Rubric,
    RubricItem,
    WrittenItem,
)
from grader.cohort.batch import ClassRequest, count_totals, grade_class
from grader.cohort.class_page import is_page_current
from grader.cohort.store import STORE_NAME, Store
from grader.cohort.summary import Status
from grader.grading.options import Options
from grader.report.files import CLASS_PAGE_NAME, REPORT_NAME
from grader.review.accounts import accept
from grader.review.ledger import undo
from grader.review.publishing import publish
from grader.review.store import ReviewStore
from tests.cohort.test_batch import RecordingObserver

OLD_CLASS = Path(__file__).parent / "data" / "old_class"
HALS_TOKEN = "WyJoYWwiLDBd.aweLEQ.E2tQYo1GkVtY1TYsxqpItqjLyJI"
TINY = Assignment(
    id="tiny",
    title="Tiny",
    points=5,
    dataset="mnist",
    seeds=(1, 2),
    problems=(
        Problem(
            id="1",
            title="Adding",
            parts=(
                Part(
                    id="1A",
                    title="The sum",
                    items=(
                        (
                            "",
                            AnswerItem(
                                title="The sum of 1, 2 and 3",
                                points=2,
                                file="sums.py",
                                function="add",
                                accepted=(6,),
                            ),
                        ),
                    ),
                ),
                Part(
                    id="1B",
                    title="Why",
                    items=(
                        (
                            "",
                            WrittenItem(
                                title="Why the order does not matter",
                                points=3,
                                file="why.md",
                                question="Why does the order not matter?",
                                rubric=Rubric(
                                    items=(
                                        RubricItem(
                                            id="commutes", text="Addition commutes", points=2
                                        ),
                                        RubricItem(id="proof", text="A proof", points=1),
                                    ),
                                ),
                            ),
                        ),
                    ),
                ),
            ),
        ),
    ),
    practice=Practice(dataset="mnist-5k", thresholds=()),
)


@pytest.fixture
def output(tmp_path):
    """The old class's directory, with empty files for its reports and its class page."""
    shutil.copy(OLD_CLASS / STORE_NAME, tmp_path)
    for student_id in ("ann", "bob"):
        (tmp_path / student_id).mkdir()
        (tmp_path / student_id / REPORT_NAME).touch()
    (tmp_path / CLASS_PAGE_NAME).touch()
    return tmp_path


def test_data_is_old():
    """The stored file has the schema before the migration."""
    connection = sqlite3.connect(f"file:{OLD_CLASS / STORE_NAME}?mode=ro&immutable=1", uri=True)
    assert connection.execute("PRAGMA user_version").fetchone() == (2,)
    assert connection.execute("SELECT count(*) FROM review_settings").fetchone() == (4,)
    connection.close()


def test_opens(output):
    """Summaries, results and settings read as they were written."""
    with Store.open_existing(output) as store:
        ann, bob, cyd = store.summaries()
        assert (ann.status, ann.final_points, ann.score.pending) == (Status.GRADED, 4, 0)
        assert (bob.status, bob.final_points, bob.score.pending) == (Status.GRADED, 0, 3)
        assert (cyd.status, cyd.score.lost) == (Status.UNUSABLE, 5)
        assert store.result("ann").score.earned == 4
        assert store.automatic_result(1).score.earned == 2
        assert store.setting("similarity") == '{"groups":[],"common":[],"not_compared":""}'
        assert is_page_current(store, output)


def test_review_goes_on(output, monkeypatch):
    """Judgements, changes, the second readings and old invitations hold after the migration."""
    monkeypatch.setattr("grader.review.accounts.INVITATION_DAYS", 36_500)
    with ReviewStore.open_existing(output) as store:
        (ann, bob) = store.entries("1B")
        assert (ann.current.rubric_items, ann.current.comment) == (("commutes",), "Prove it.")
        assert bob.current.flagged
        assert store.double_share() == 0.5
        assert [change.kind for change in store.newest_changes(9)] == [
            *("judgement", "double grading", "invitation", "import")
        ]
        assert accept(store, HALS_TOKEN).name == "hal"
        assert undo(store, "hal").item_id == "1B"
        # The digest of the published judgements is the same, so no report is written again.
        assert publish(store, TINY, output) == []


def test_nobody_is_graded_again(output, monkeypatch):
    """The inputs' digests are the same, so unchanged submissions keep their grades."""
    monkeypatch.setattr(grader, "__version__", "0.1.0")
    request = ClassRequest(
        directory=OLD_CLASS / "submissions",
        output=output,
        assignment=TINY,
        options=Options(practice=True, may_fall_back=False),
    )
    observer = RecordingObserver()
    with Store.open_existing(output) as store:
        grade_class(request, store, observer)
        totals = count_totals(store.summaries())
    assert (observer.graded_ids, observer.warnings) == ([], [])
    assert (totals.passed, totals.fell_short, totals.unusable) == (1, 1, 1)
