"""`grade review reopen` and shares: a request to grade again moves no points by itself."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from grader.cohort.store import STORE_NAME, Store
from grader.review.queue import in_share, read_groups, share_of
from grader.review.store import ReviewStore
from tests.cli import test_class_settings
from tests.cli.test_class_settings import ASSIGNMENT, batch, judge_answer, refusal, run, score_of

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


def test_said_until_judged_again(course: Path) -> None:
    """The class page, the export and the history name the request; the points stay."""
    assert judge_answer(course, "ada", "1A").exit_code == 0
    assert run(course, "review", "reopen", "ada", "1A", *REASON).exit_code == 0
    page = course / "out" / "index.html"
    assert "Students asked to be graded again" in page.read_text()
    assert "1A: page 2 was not read" in page.read_text()
    warning = "1 student: asked to be graded again, which is still open"
    assert warning in run(course, "export", "csv").stderr
    assert batch(course, "--regrade", "ada").exit_code == 0
    assert requests(course) == {"1A": "page 2 was not read"}
    assert warning in run(course, "export", "csv").stderr
    assert score_of(course).earned == 6
    assert judge_answer(course, "ada", "1A", found="none", adjustment="2").exit_code == 0
    assert warning not in run(course, "export", "csv").stderr
    assert "Students asked" not in page.read_text()
    told = " ".join(run(course, "history", "ada").output.split())
    assert "asked to be graded again: 1A" in told


def test_merged(course: Path, tmp_path: Path) -> None:
    """What was asked, judged or withdrawn in a copy on top of what stands here is taken over."""
    copy = tmp_path / "laptop"
    there = copy / "out"

    def merge() -> str:
        result = run(course, "review", "merge", there)
        assert result.exit_code == 0, result.output
        return result.output

    assert judge_answer(course, "ada", "1A").exit_code == 0
    assert run(course, "backup", there / STORE_NAME).exit_code == 0
    assert run(copy, "review", "reopen", "ada", *REASON).exit_code == 0
    assert "1 judgements taken over" in merge()
    assert requests(course) == {"1A": "page 2 was not read"}
    assert run(course, "review", "reopen", "ada", "--forget").exit_code == 0
    assert "0 judgements taken over, 1 unchanged" in merge()
    assert requests(course) == {"1A": ""}
    assert judge_answer(copy, "ada", "1A", found="none", adjustment="2").exit_code == 0
    (there / STORE_NAME).unlink()
    assert run(course, "review", "reopen", "ada", *REASON).exit_code == 0
    assert run(course, "backup", there / STORE_NAME).exit_code == 0
    assert judge_answer(copy, "ada", "1A", found="none", adjustment="3").exit_code == 0
    assert score_of(course).earned == 6
    assert "judged in both" not in merge()
    assert requests(course) == {"1A": ""}
    assert score_of(course).earned == 3


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("ada", "1A", *REASON), "ada has no judged answer for 1A"),
        (("ada", "9Z", *REASON), "no part '9Z'"),
        (("ada",), "needs a reason"),
        (("ada", "--forget"), "ada has no request for 1A, 1B"),
        (("adb", *REASON), "no student 'adb'; did you mean 'ada'"),
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


def test_tables_of_sections(tmp_path: Path) -> None:
    """Sections, shares and parts hold every answer once; their tables come back one by one."""
    course = make_sections(tmp_path)
    rows = []
    for section in ("A", "B"):
        for share in ("1/2", "2/2"):
            for part in ("1A", "1B"):
                table = course / f"{section}{share[0]}{part}.csv"
                chosen = ("--section", section, "--share", share, "--part", part)
                assert run(course, "review", "export", table, *chosen).exit_code == 0
                rows += read_table(table)
    assert sorted((row["student"], row["item"]) for row in rows) == [
        (f"s{number}", part) for number in range(8) for part in ("1A", "1B")
    ]
    for table in course.glob("??1[AB].csv"):
        filled = [row | {"found": "all"} for row in read_table(table)]
        with table.open("w", encoding="utf-8-sig", newline="") as file:
            writer = csv.DictWriter(file, filled[0])
            writer.writeheader()
            writer.writerows(filled)
        assert run(course, "review", "import", table).exit_code == 0
    with Store(course / "out" / STORE_NAME) as store:
        assert {summary.score.earned for summary in store.summaries()} == {10}
    said = refusal(run(course, "review", "export", course / "x.csv", "--section", "C"))
    assert "no section 'C'" in said
    assert "A, B" in said
    assert "no part '1Z'" in refusal(run(course, "review", "export", course / "x", "--part", "1Z"))
    invited = run(course, "review", "invite", "Hal", "--section", "B", "--share", "2/2")
    assert invited.exit_code == 0
    with ReviewStore(course / "out" / STORE_NAME) as store:
        assert store.shares() == {"Hal": "2/2 B"}
        groups = read_groups(store, "1A")
        own = in_share(store, groups, share_of(store, "Hal"))
        assert {entry.student_id for group in own for entry in group.entries} < {
            "s4",
            "s5",
            "s6",
            "s7",
        }
        assert len(own) == 2


def make_sections(directory: Path) -> Path:
    """Eight students with answers of their own, in the sections A and B."""
    (directory / "mine.py").write_text(ASSIGNMENT)
    lines = ["id,name,section"]
    for number in range(8):
        written = directory / "class" / f"s{number}" / "written"
        written.mkdir(parents=True)
        (written / "1A.md").write_text(f"Because it is {number}.")
        (written / "1B.md").write_text(f"Because it is {number}, too.")
        lines.append(f"s{number},Name {number},{'AB'[number // 4]}")
    (directory / "roster.csv").write_text("\n".join(lines))
    graded = batch(
        directory, "--assignment", directory / "mine.py", "--roster", directory / "roster.csv"
    )
    assert graded.exit_code == 0, graded.output
    return directory


def read_table(table: Path) -> list[dict[str, str]]:
    with table.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))
