"""Judgements in the store: read, written, taken back, published, and never overwritten."""

import sqlite3
from dataclasses import replace

import msgspec
import pytest

from grader.assignment.records import RubricItem
from grader.cohort.page import render_class_page, write_class_page
from grader.cohort.similarity import Likeness, Shared, Similarity
from grader.cohort.summary import now
from grader.errors import UsageError
from grader.report.files import CLASS_PAGE_NAME
from grader.results import Lateness
from grader.review import rubrics
from grader.review.agreement import cohens_kappa, measure_agreement
from grader.review.answers import collect_answers
from grader.review.judgements import Judgement
from grader.review.ledger import entries_version, judge, undo
from grader.review.publishing import publish
from grader.review.queue import Filter, measure_progress, neighbours, read_groups, select
from grader.review.store import SECOND, ConflictError
from tests.support.result_files import read_json
from tests.support.review_class import SET4, WRITTEN, all_positive, give, hand_in, make_class


@pytest.fixture(scope="module")
def graded(tmp_path_factory):
    """Four students; two give the same answer to 2B, one hands in nothing for 1A."""
    return make_class(
        tmp_path_factory.mktemp("class"),
        {
            "ada": {},
            "bob": {"2B": "A brightness."},
            "cyd": {"2B": "A   brightness.\n", "1A": "It stays at zero."},
            "dan": {"2B": "No idea", "1A": None},
        },
    )


def test_equal_answers(store, output):
    """Two answers that differ only in spaces are judged once."""
    groups = read_groups(store, "2B.text")
    assert sorted(len(group.entries) for group in groups) == [1, 1, 2]
    give(store, "2B.text", "bob", "brightness")
    publish(store, SET4, output)
    for student_id in ("bob", "cyd"):
        result = store.result(student_id)
        assert next(item for item in result.items() if item.id == "2B.text").score.earned == 1
    assert len(store.newest_changes(10)) == 1


def test_full_points(store, output):
    """All rubric items together give the 39 points, in the report and in the class's row."""
    for item_id in WRITTEN:
        give(store, item_id, "ada", *all_positive(SET4, item_id))
    publish(store, SET4, output)
    summary = next(row for row in store.summaries() if row.student.id == "ada")
    assert (summary.score.earned, summary.score.pending, summary.final_points) == (39, 0, 39)
    assert read_json(output / "ada" / "result.json").score == summary.score
    assert "39" in (output / "ada" / "report.html").read_text()


def test_class_page(store, output):
    """The page is written again with the new points and the earlier similarities."""
    page = output / CLASS_PAGE_NAME
    shared = Shared(kind=Likeness.MODEL, subject="2C", student_ids=frozenset({"ada", "bob"}))
    similar = Similarity(common=(shared,))
    store.keep_setting("similarity", msgspec.json.encode(similar).decode())
    write_class_page(list(store.summaries()), similar, page, title=SET4.title)
    assert "1A" in page.read_text()
    give(store, "1A", "ada", *all_positive(SET4, "1A"))
    before = page.read_text()
    publish(store, SET4, output)
    assert page.read_text() != before
    assert render_class_page(list(store.summaries()), similar, title=SET4.title) == page.read_text()


def test_late_penalty(store, output):
    """The late penalty applies to people's points as to all others."""
    (ada, *_) = store.summaries()
    late = Lateness(days_late=2, share_kept=0.8, reason="2 days late")
    result = replace(store.result("ada"), late=late)
    store.record(replace(ada, late=late), inputs_sha256="", result=result)
    collect_answers(store, output)
    give(store, "1A", "ada", *all_positive(SET4, "1A"))
    publish(store, SET4, output)
    (ada, *_) = store.summaries()
    assert (ada.score.earned, ada.final_points, ada.late.penalty_points) == (5, 4, 1)
    assert store.result("ada").late == ada.late


def test_report(store, output):
    """With one item judged, the report lists the other written items as pending."""
    give(store, "1A", "ada", "forward", comment="Only the beginning.")
    publish(store, SET4, output)
    page = (output / "ada" / "report.html").read_text()
    assert "Only the beginning." in page
    assert "A person grades" in page
    awaiting = page.partition("A person grades")[2].partition("</p>")[0]
    assert ">1B<" in awaiting
    assert ">1A<" not in awaiting


def test_changed_rubric(store, output):
    """New points of a rubric item apply to every judgement with the item, and to no others."""
    give(store, "2B.text", "bob", "brightness", "no-range")
    give(store, "2B.text", "dan")
    rubric = rubrics.rubric_in_force(store, SET4, "2B.text")
    milder = RubricItem(id="no-range", text="No range", points=-0.25)
    items = [rubric.items[0], milder, *rubric.items[2:]]
    rubrics.change_rubric(
        store, SET4, "2B.text", items, grader="grace", seen=rubrics.rubric_version(rubric)
    )
    assert set(publish(store, SET4, output)) == {"bob", "cyd", "dan"}
    earned = {row.student.id: row.score.earned for row in store.summaries()}
    assert earned == {"ada": 0, "bob": 0.75, "cyd": 0.75, "dan": 0}
    assert publish(store, SET4, output) == []


def test_added_rubric_item(store, output):
    """Graders can add rubric items, which count too."""
    rubric = rubrics.rubric_in_force(store, SET4, "1A")
    seen = rubrics.rubric_version(rubric)
    added = [*rubric.items, RubricItem(id="", text="A fine figure", points=0.5)]
    rubrics.change_rubric(store, SET4, "1A", added, grader="grace", seen=seen)
    give(store, "1A", "cyd", "added-1")
    publish(store, SET4, output)
    assert store.result("cyd").score.earned == 0.5
    with pytest.raises(ConflictError, match="changed while you had it open"):
        rubrics.change_rubric(store, SET4, "1A", added, grader="hal", seen=seen)


def test_collision(store):
    """The later grader learns of the first, whose judgement stays."""
    seen = store.entries("1A")
    give(store, "1A", "ada", "forward", grader="grace")
    entry = next(entry for entry in seen if entry.student_id == "ada")
    late = Judgement(grader="hal", answer_sha256=entry.answer_sha256, judged_at=now())
    with pytest.raises(ConflictError, match="grace judged this answer while you had it open"):
        judge(store, "1A", late, seen=entries_version([entry]))
    now_there = next(entry for entry in store.entries("1A") if entry.student_id == "ada")
    assert now_there.current.grader == "grace"


def test_undo(store):
    """Each undo removes the grader's newest judgement; others' stay; the record keeps all."""
    give(store, "1A", "ada", "forward")
    give(store, "1A", "ada", "forward", "for-ever")
    give(store, "1B", "ada", grader="hal")
    found = [entry_of(store, "1A", "ada").current.rubric_items]
    for _ in range(2):
        assert undo(store, "grace").item_id == "1A"
        current = entry_of(store, "1A", "ada").current
        found.append(current.rubric_items if current else None)
    assert found == [("forward", "for-ever"), ("forward",), None]
    assert undo(store, "grace") is None
    assert entry_of(store, "1B", "ada").current.grader == "hal"
    kinds = [change.kind for change in store.newest_changes(10)]
    assert kinds == ["undo", "undo", "judgement", "judgement", "judgement"]


def test_undo_after_another(store):
    """After another grader's judgement of the same answer, undo changes nothing."""
    give(store, "1A", "ada", "forward")
    give(store, "1A", "ada", grader="hal")
    with pytest.raises(ConflictError, match="judged again by hal"):
        undo(store, "grace")
    assert entry_of(store, "1A", "ada").current.grader == "hal"


def test_changed_answer(store, output):
    """A judgement gives no points to a new answer, which is open and flagged."""
    give(store, "1A", "cyd", *all_positive(SET4, "1A"))
    hand_in(store, output, "cyd", {"1A": "Something else."})
    collect_answers(store, output)
    publish(store, SET4, output)
    assert store.result("cyd").score.earned == 0
    groups = read_groups(store, "1A")
    changed = next(group for group in groups if group.entries[0].student_id == "cyd")
    assert not changed.graded
    assert changed.flagged
    assert changed.outdated.grader == "grace"


def test_regraded(store, output):
    """A new grading of the same answer needs no new judgement."""
    give(store, "1A", "cyd", "forward")
    hand_in(store, output, "cyd", {"1A": "It stays at zero."})
    publish(store, SET4, output)
    assert store.result("cyd").score.earned == 1


def test_missing_answer(store, output):
    """The points of a missing answer are lost without a person, who can still give them."""
    groups = read_groups(store, "1A")
    progress = measure_progress(groups)
    assert (progress.answers, progress.graded) == (4, 1)
    assert [len(group.entries) for group in groups if group.missing] == [1]
    give(store, "1A", "dan", "forward", comment="Found in the margin of 1B.")
    publish(store, SET4, output)
    assert store.result("dan").score.earned == 1


def test_pictures(store, output):
    """A drawing for 1E belongs to that answer only, and is kept as PNG."""
    hand_in(store, output, "ada", {}, picture="1E drawing.jpg")
    collect_answers(store, output)
    entry = entry_of(store, "1E.text", "ada")
    (picture,) = store.answer("1E.text", entry.answer_sha256).pictures
    assert picture.startswith("1E-drawing-")
    assert (output / "ada" / "pictures" / picture).read_bytes().startswith(b"\x89PNG")
    assert store.answer("1A", entry_of(store, "1A", "ada").answer_sha256).pictures == ()


def test_filters(store):
    """Ungraded answers come up until they are judged, flagged answers under their filter."""
    groups = read_groups(store, "1A")
    assert [group.number for group in groups] == [1, 2, 3]
    open_ones = select(store, "1A", groups, Filter.UNGRADED, "grace")
    assert len(open_ones) == 2
    before, after = neighbours(groups, open_ones, open_ones[0].sha256)
    assert (before, after) == (None, open_ones[1])
    give(store, "1A", open_ones[0].entries[0].student_id, flagged=True)
    groups = read_groups(store, "1A")
    assert len(select(store, "1A", groups, Filter.UNGRADED, "grace")) == 1
    (flagged,) = select(store, "1A", groups, Filter.FLAGGED, "grace")
    assert flagged.sha256 == open_ones[0].sha256


def test_second_reading(store, output):
    """A second reading changes no points, and settling a difference changes no agreement."""
    store.set_double_share(1.0, by="grace")
    for student_id in ("ada", "cyd", "dan"):
        give(store, "1A", student_id, "forward")
    groups = read_groups(store, "1A")
    assert select(store, "1A", groups, Filter.SECOND, "grace") == []
    assert len(select(store, "1A", groups, Filter.SECOND, "hal")) == 3
    give(store, "1A", "ada", "forward", grader="hal", reading=SECOND)
    give(store, "1A", "cyd", grader="hal", reading=SECOND)
    assert len(select(store, "1A", groups, Filter.SECOND, "hal")) == 1
    publish(store, SET4, output)
    assert store.result("cyd").score.earned == 1
    give(store, "1A", "cyd")
    agreement = measure_agreement(store, SET4, "1A")
    assert (agreement.answers, agreement.same) == (2, 1)
    assert [points for _, *points in agreement.differing] == [[1, 0]]


def test_cohens_kappa():
    """The worked example: 20 and 15 agree out of 50, so p_o is 0.7, p_e 0.5 and kappa 0.4."""
    pairs = [(1, 1)] * 20 + [(1, 0)] * 5 + [(0, 1)] * 10 + [(0, 0)] * 15
    assert cohens_kappa(pairs) == pytest.approx(0.4)
    assert cohens_kappa([(1, 1)] * 5) is None
    assert cohens_kappa([]) is None
    assert cohens_kappa([(1, 0), (0, 1)]) == pytest.approx(-1)


def test_wrong_rubric_change(store):
    """Unknown items and empty texts are refused, and nothing is written."""
    rubric = rubrics.rubric_in_force(store, SET4, "1A")
    seen = rubrics.rubric_version(rubric)
    for item in (RubricItem(id="nope", text="x", points=1), RubricItem(id="", text="", points=1)):
        with pytest.raises(UsageError):
            rubrics.change_rubric(store, SET4, "1A", [item], grader="grace", seen=seen)
    assert rubrics.rubric_in_force(store, SET4, "1A") == rubric
    assert store.newest_changes(1) == []


def test_atomic_judgement(store, output):
    """A failure in the middle leaves neither a judgement nor a change."""
    store._connection.execute(
        "CREATE TEMP TRIGGER stop BEFORE INSERT ON judgements WHEN NEW.student_id = 'cyd' "
        "BEGIN SELECT RAISE(ABORT, 'no'); END"
    )
    with pytest.raises(sqlite3.IntegrityError):
        give(store, "2B.text", "bob", "brightness")
    assert entry_of(store, "2B.text", "bob").judgement is None
    assert store.newest_changes(1) == []


def entry_of(store, item_id, student_id):
    """Return a student's entry."""
    return next(entry for entry in store.entries(item_id) if entry.student_id == student_id)
