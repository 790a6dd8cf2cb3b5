"""Judgements made in two copies of a class come together, and none is lost unseen."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from grader.assignment.records import RubricItem
from grader.cli import cli
from grader.cohort.store import STORE_NAME
from grader.errors import UsageError
from grader.review.answers import collect_answers
from grader.review.rubrics import change_rubric, rubric_in_force, rubric_version
from grader.review.store import ReviewStore
from tests.support.review_class import SET4, give, hand_in, make_class


@pytest.fixture(name="graded", scope="module")
def make_graded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two students with different answers to 1A."""
    return make_class(
        tmp_path_factory.mktemp("class"), {"ada": {}, "bob": {"1A": "Another answer to it."}}
    )


def run(output: Path, *arguments: object) -> Result:
    return CliRunner().invoke(cli, [*map(str, arguments), "--output", str(output)])


def add_rubric_item(store: ReviewStore, text: str, points: float) -> str:
    """Add an item to the rubric of 1A, and return its id."""
    rubric = rubric_in_force(store, SET4, "1A")
    added = RubricItem(id="", text=text, points=points)
    change_rubric(
        store, SET4, "1A", [*rubric.items, added], grader="x", seen=rubric_version(rubric)
    )
    return rubric_in_force(store, SET4, "1A").items[-1].id


def judged(store: ReviewStore, student_id: str, item_id: str = "1A") -> tuple[str, ...] | None:
    entry = next(one for one in store.entries(item_id) if one.student_id == student_id)
    return entry.current.rubric_items if entry.current else None


def test_merge(output: Path, store: ReviewStore, tmp_path: Path) -> None:
    """Each copy's judgements count; rubric items that both added stay apart."""
    copy_path = tmp_path / "copy.sqlite"
    assert run(output, "backup", copy_path).exit_code == 0
    with ReviewStore(copy_path) as copy:
        give(copy, "1A", "bob", add_rubric_item(copy, "found there", 1), grader="hal")
        give(copy, "1B", "ada", grader="hal")
    here = add_rubric_item(store, "found here", 2)
    give(store, "1A", "ada", here, grader="grace")
    give(store, "1B", "ada", comment="Mine.", grader="grace")
    merged = run(output, "review", "merge", copy_path, "--as", "ina")
    assert merged.exit_code == 0, merged.output
    assert "1 judgements taken over" in merged.output
    assert "ada, 1B: judged by grace here, hal there" in merged.output
    assert judged(store, "ada") == (here,)
    texts = {item.id: item.text for item in rubric_in_force(store, SET4, "1A").items}
    (there,) = judged(store, "bob") or ()
    assert (texts[here], texts[there]) == ("found here", "found there")
    again = run(output, "review", "merge", copy_path, "--as", "ina")
    assert "0 judgements taken over, 1 unchanged" in again.output
    run(output, "review", "merge", copy_path, "--theirs", "--as", "ina")
    entry = next(one for one in store.entries("1B") if one.student_id == "ada")
    assert entry.current is not None
    assert (entry.current.grader, entry.current.comment) == ("hal", "")
    kinds = [change.kind for change in store.newest_changes(3)]
    assert "merge" in kinds


def test_other_answer_left_out(output: Path, store: ReviewStore, tmp_path: Path) -> None:
    """A judgement of an earlier answer does not become one of a later."""
    copy_path = tmp_path / "copy.sqlite"
    assert run(output, "backup", copy_path).exit_code == 0
    with ReviewStore(copy_path) as copy:
        give(copy, "1A", "bob", "forward", grader="hal")
    hand_in(store, output, "bob", {"1A": "A third answer."})
    collect_answers(store, output)
    assert (
        "0 judgements taken over, 0 unchanged, 1 of other answers"
        in run(output, "review", "merge", copy_path).output
    )
    assert judged(store, "bob") is None


def test_backup_refused(output: Path, tmp_path: Path) -> None:
    """A backup never replaces a file."""
    (tmp_path / "copy.sqlite").write_text("precious")
    result = run(output, "backup", tmp_path / "copy.sqlite")
    assert isinstance(result.exception, UsageError)
    assert (tmp_path / "copy.sqlite").read_text() == "precious"


def test_backup_while_written(output: Path, store: ReviewStore, tmp_path: Path) -> None:
    """A backup in the middle of another's transaction has the state before it."""
    with store.transaction():
        store.keep_setting("in the middle", "yes")
        assert run(output, "backup", tmp_path / "copy.sqlite").exit_code == 0
    with ReviewStore(tmp_path / "copy.sqlite") as copy:
        assert copy.setting("in the middle") is None
        assert {each.student.id for each in copy.summaries()} == {"ada", "bob"}
    assert (output / STORE_NAME).is_file()


def test_unreachable_rubric_refused(store: ReviewStore) -> None:
    """A rubric by which nobody could earn all points is refused."""
    rubric = rubric_in_force(store, SET4, "1A")
    less = [RubricItem(id=item.id, text=item.text, points=0.5) for item in rubric.items]
    with pytest.raises(UsageError, match="nobody could earn all 5 points"):
        change_rubric(store, SET4, "1A", less, grader="x", seen=rubric_version(rubric))
    assert rubric_in_force(store, SET4, "1A") == rubric
