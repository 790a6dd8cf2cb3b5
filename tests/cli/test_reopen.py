"""`grade review reopen` and shares: a request to grade again moves no points by itself."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from grader.cohort.store import STORE_NAME
from grader.review.store import ReviewStore
from tests.cli import test_class_settings
from tests.cli.test_class_settings import judge_answer, refusal, run, score_of

REASON = ("--reason", "page 2 was not read", "--as", "Ina")
course = test_class_settings.make_course


def requests(course: Path) -> dict[str, str]:
    with ReviewStore(course / "out" / STORE_NAME) as store:
        entries = (entry for item in ("1A", "1B") for entry in store.entries(item))
        return {entry.item_id: entry.current.request for entry in entries if entry.current}


def test_points_count_until_judged_again(course: Path) -> None:
    """The request is kept by a backup and a table that changes nothing, and answered by a judge."""
    assert judge_answer(course, "ada", "1A").exit_code == 0
    before = score_of(course)
    opened = run(course, "review", "reopen", "ada", *REASON)
    assert "ada, 1A: open to be graded again; the points count until then" in opened.output
    assert score_of(course) == before
    assert run(course, "export", "csv").exit_code == 0
    assert requests(course) == {"1A": "page 2 was not read"}
    assert judge_answer(course, "ada", "1A").exit_code == 0
    assert requests(course) == {"1A": "page 2 was not read"}
    assert judge_answer(course, "ada", "1A", found="none", adjustment="2").exit_code == 0
    assert requests(course) == {"1A": ""}
    assert score_of(course).earned == 2


def test_withdrawn(course: Path) -> None:
    assert judge_answer(course, "ada", "1A").exit_code == 0
    before = score_of(course)
    assert run(course, "review", "reopen", "ada", "1A", *REASON).exit_code == 0
    withdrawn = run(course, "review", "reopen", "ada", "--forget", "--as", "Ina")
    assert "ada, 1A: withdrawn" in withdrawn.output
    assert requests(course) == {"1A": ""}
    assert score_of(course) == before


def test_merged(course: Path, tmp_path: Path) -> None:
    """A request in a copy of the class is taken over with the rest."""
    assert judge_answer(course, "ada", "1A").exit_code == 0
    assert run(course, "backup", tmp_path / "copy.sqlite").exit_code == 0
    assert run(course, "review", "reopen", "ada", *REASON).exit_code == 0
    assert run(course, "backup", tmp_path / "later.sqlite").exit_code == 0
    assert run(course, "review", "reopen", "ada", "--forget").exit_code == 0
    assert run(course, "review", "merge", tmp_path / "copy.sqlite").exit_code == 0
    assert requests(course) == {"1A": ""}
    merged = run(course, "review", "merge", tmp_path / "later.sqlite")
    assert merged.exit_code == 0, merged.output
    assert requests(course) == {"1A": "page 2 was not read"}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("ada", "1A", *REASON), "ada has no judged answer for 1A"),
        (("ada", "9Z", *REASON), "no part '9Z'"),
        (("ada",), "needs a reason"),
        (("ada", "--forget"), "ada has no request for 1A, 1B"),
    ],
)
def test_refused(course: Path, arguments: tuple[str, ...], says: str) -> None:
    assert says in refusal(run(course, "review", "reopen", *arguments))


def test_table_of_a_share(course: Path) -> None:
    """The tables of all shares hold every answer once."""
    rows = []
    for share in ("1/2", "2/2"):
        table = course / "share.csv"
        assert run(course, "review", "export", table, "--share", share).exit_code == 0
        with table.open(encoding="utf-8-sig", newline="") as file:
            rows += [(row["student"], row["item"]) for row in csv.DictReader(file)]
    assert sorted(rows) == [("ada", "1A"), ("ada", "1B")]
    said = refusal(run(course, "review", "export", course / "x.csv", "--share", "3/2"))
    assert "'3/2' is not a share" in said
    assert run(course, "review", "invite", "Hal", "--share", "2/6").exit_code == 0
    with ReviewStore(course / "out" / STORE_NAME) as store:
        assert store.shares() == {"Hal": "2/6"}
    assert run(course, "review", "invite", "Hal", "--share", "1/1").exit_code == 0
    with ReviewStore(course / "out" / STORE_NAME) as store:
        assert store.shares() == {}
