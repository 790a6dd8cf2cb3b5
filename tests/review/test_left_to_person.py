"""What the grader leaves to a person of automatic items is graded on the same page."""

import pytest

from grader.cohort.store import STORE_NAME
from grader.results import Outcome
from grader.review.accounts import invite
from grader.review.answers import collect_answers
from grader.review.app import make_app
from grader.review.publishing import publish
from grader.review.store import ReviewStore
from tests.review.test_app import Browser
from tests.support.result_samples import recorded_result
from tests.support.review_class import SET4, give, keep_result


@pytest.fixture(scope="module")
def graded(tmp_path_factory):
    """Two students whose notebooks leave the same questions open."""
    output = tmp_path_factory.mktemp("left-open")
    with ReviewStore(output / STORE_NAME) as store:
        for student_id in ("ada", "bob"):
            keep_result(store, output, student_id, recorded_result())
        collect_answers(store, output)
    return output


def test_each_student_alone(store):
    """The same words about two programs are two answers."""
    answers = {entry.answer_sha256 for entry in store.entries("2E")}
    assert len(answers) == 2
    (first, _) = sorted(answers)
    given = store.answer("2E", first)
    assert given is not None
    assert "2 recorded trainings may be 2E's" in given.text
    assert len({entry.answer_sha256 for entry in store.entries("1A")}) == 1


def test_sweep(store):
    """A sweep comes up with its reproduced accuracies, and where it stands."""
    entry = store.entries("3G.sweep")[0]
    given = store.answer("3G.sweep", entry.answer_sha256)
    assert given is not None
    assert "p = 0.11: reproduced" in given.text
    assert "Where: problem_3.ipynb, cell 6, line 3" in given.text


def test_points(store, output):
    """The points go into the result, and the other student's stay open."""
    give(store, "2E", "ada", adjustment=6)
    give(store, "2A", "ada", adjustment=1)
    assert publish(store, SET4, output) == ["ada"]
    result = store.result("ada")
    assert result is not None
    items = {item.id: item for item in result.items()}
    assert (items["2E"].outcome, items["2E"].score.earned) == (Outcome.PASSED, 6)
    assert (items["2A"].outcome, items["2A"].score.lost) == (Outcome.FAILED, 1)
    assert items["2C"].personal is None


def test_page(store, output):
    """The home page lists what is left to a person, and no other automatic item."""
    browser = Browser(make_app(store, SET4, output, ""))
    browser.join(invite(store, "grace", by="grace"))
    home = browser.open("/").text
    assert "/items/2E/next" in home
    assert "/items/2C/next" not in home
    page = browser.open("/items/2E/next").text
    assert "nothing says so for certain" in page
    assert "Test accuracy of model_e() in its best epoch" in page
