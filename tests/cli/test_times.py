"""When a student submitted: by the roster, by Git, by a person; and slip days."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from grader.cohort.store import STORE_NAME, Store
from grader.results import Lateness
from tests.cli.test_class_settings import ASSIGNMENT, batch, refusal, run
from tests.intake.test_commits import git

DUE = ("--due", "2026-03-09 23:59", "--timezone", "UTC", "--penalty-per-day", "0.25")


def make_course(tmp_path: Path, roster: str, *options: str, names: str = "a b") -> Path:
    """A class of directories, graded with this roster."""
    (tmp_path / "mine.py").write_text(ASSIGNMENT)
    (tmp_path / "roster.csv").write_text(roster)
    for name in names.split():
        (tmp_path / "class" / name / "written").mkdir(parents=True)
        (tmp_path / "class" / name / "written" / "1A.md").write_text(f"Because of {name}.")
    chosen = ("--assignment", tmp_path / "mine.py", "--roster", tmp_path / "roster.csv")
    result = batch(tmp_path, *chosen, *DUE, *options)
    assert result.exit_code == 0, result.output
    return tmp_path


def late(course: Path) -> dict[str, Lateness]:
    with Store(course / "out" / STORE_NAME) as store:
        return {each.student.id: each.late for each in store.summaries()}


def test_rosters_time(tmp_path: Path) -> None:
    """A column of times counts; 23:59 means the end of that minute."""
    course = make_course(
        tmp_path, "id,submitted_at\na,2026-03-09 23:59\nb,2026-03-10T00:00:30+00:00\n"
    )
    assert late(course)["a"].days_late == 0
    assert late(course)["b"].days_late == 1
    assert "the time is the roster's" in late(course)["b"].reason


def test_moodles_worksheet(tmp_path: Path) -> None:
    """The worksheet's own column is read; a dash means no submission."""
    roster = (
        "Identifier,Full name,Last modified (submission)\n"
        'Participant 1,a,"Tuesday, 10 March 2026, 11:59 PM"\n'
        'Participant 2,b,"Monday, 9 March 2026, 23:58"\n'
        "Participant 3,c,-\n"
    )
    course = make_course(tmp_path, roster)
    assert late(course)["Participant 1"].days_late == 1
    assert late(course)["Participant 2"].days_late == 0


def test_moodles_american_worksheet(tmp_path: Path) -> None:
    """American English has the month first, in letters, so it is clear."""
    roster = (
        "Identifier,Full name,Last modified (submission)\n"
        'Participant 1,a,"Tuesday, March 10, 2026, 11:59 PM"\n'
    )
    course = make_course(tmp_path, roster, names="a")
    assert late(course)["Participant 1"].submitted_at == "2026-03-10T23:59:00+00:00"


def test_days_without_times(tmp_path: Path) -> None:
    """A day counts where its hours do not matter; where they do, nobody guesses them."""
    course = make_course(tmp_path, "id,submitted_at\na,2026-03-09\nb,2026-03-07\n")
    assert late(course)["a"].days_late == 0
    (course / "roster.csv").write_text("id,submitted_at\na,\nb,2026-03-09\n")
    noon = ("--due", "2026-03-09 12:00", "--change-settings")
    said = refusal(batch(course, *noon))
    assert "the time of submission of b is a day without the time, and 0 or 1 days late" in said
    assert "a " not in said.partition("read:")[2].partition("of b")[0].replace("the time", "")
    (course / "roster.csv").write_text("id,submitted_at\na,2026-03-11\nb,2026-03-08\n")
    assert "of a is a day without the time, and 2 or 3" in refusal(batch(course, *noon))


GERMAN = """\
ID,Vollständiger Name,Bewertung,Bestwertung,Zuletzt geändert (Abgabe),Feedback als Kommentar
Teilnehmer/in1,a,,10,"Dienstag, 10. März 2026, 23:59",
Teilnehmer/in2,b,,10,"Montag, 9. März 2026, 09:05",
Teilnehmer/in3,c,,10,-,
"""


def test_moodles_german_worksheet(tmp_path: Path) -> None:
    """The times of a worksheet in German are read as those of an English one."""
    course = make_course(tmp_path, GERMAN)
    assert late(course)["Teilnehmer/in1"].days_late == 1
    assert late(course)["Teilnehmer/in2"].submitted_at == "2026-03-09T09:05:00+00:00"


def test_moodles_times_of_grades(tmp_path: Path) -> None:
    """A worksheet without times of submission has those of grades, which are none."""
    roster = (
        "Identifier,Full name,Last modified (grade)\n"
        'Participant 1,a,"Tuesday, 10 March 2026, 11:59 PM"\n'
    )
    course = make_course(tmp_path, roster, names="a")
    assert late(course)["Participant 1"].submitted_at == ""


def test_moodles_times_in_another_language(tmp_path: Path) -> None:
    """Nobody is in time because the worksheet's language is not read."""
    spanish = GERMAN.replace("Zuletzt geändert (Abgabe)", "Última modificación (entrega)")
    spanish = spanish.replace("Dienstag, 10. März 2026", "martes, 10 de marzo de 2026")
    (tmp_path / "class" / "a").mkdir(parents=True)
    (tmp_path / "class" / "a" / "1A.md").write_text("Because.")
    (tmp_path / "mine.py").write_text(ASSIGNMENT)
    roster = tmp_path / "roster.csv"
    options = ("--assignment", tmp_path / "mine.py", "--roster", roster, *DUE)
    roster.write_text(spanish)
    said = refusal(batch(tmp_path, *options))
    assert "martes, 10 de marzo de 2026, 23:59, under Última modificación (entrega)" in said
    assert "add a column submitted_at" in said
    header, first, *rest = spanish.splitlines()
    with_times = [f"{header},submitted_at", f"{first},2026-03-10 23:59", *(f"{x}," for x in rest)]
    roster.write_text("\n".join(with_times))
    assert batch(tmp_path, *options).exit_code == 0
    assert late(tmp_path)["Teilnehmer/in1"].days_late == 1


def test_unreadable_times_named(tmp_path: Path) -> None:
    """Nobody is graded by a time that could not be read."""
    make_course(tmp_path, "id,submitted_at\na,\nb,\n")
    (tmp_path / "roster.csv").write_text("id,submitted_at,slip_days_used\na,yesterday,\nb,,two\n")
    said = refusal(batch(tmp_path))
    assert "the time of submission of a cannot be read: yesterday" in said
    assert "the slip_days_used of b is not a number of days: two" in said


def test_gits_time(tmp_path: Path) -> None:
    """The time of a clone is its commit's, with the hash; never that of a file."""
    (tmp_path / "class" / "a").mkdir(parents=True)
    git(tmp_path / "class" / "a", "init", "-q")
    git(tmp_path / "class" / "a", "commit", "-q", "--allow-empty", "-m", "done")
    sha = git(tmp_path / "class" / "a", "rev-parse", "HEAD")
    course = make_course(tmp_path, "id\na\nb\n")
    assert late(course)["a"].days_late == 1
    assert f"commit {sha[:10]}" in late(course)["a"].reason
    assert late(course)["b"].submitted_at == ""


def test_commit_at_the_deadline(tmp_path: Path) -> None:
    """With --at-deadline the files of the last commit in time are graded, and the hash is shown."""
    clone = tmp_path / "class" / "a"
    (clone / "written").mkdir(parents=True)
    git(clone, "init", "-q")
    (clone / "written" / "1A.md").write_text("In time.")
    git(clone, "add", ".")
    git(clone, "commit", "-q", "-m", "in time", when="2026-03-09T12:00:00+00:00")
    early = git(clone, "rev-parse", "HEAD")[:10]
    (clone / "written" / "1A.md").write_text("Too late.")
    git(clone, "commit", "-q", "-a", "-m", "late")
    course = make_course(tmp_path, "id\na\nb\n", names="b")
    assert late(course)["a"].days_late == 1
    assert f"--at-deadline grades {early} instead" in late(course)["a"].reason
    assert "--at-deadline: no, now yes" in refusal(batch(course, "--at-deadline"))
    assert batch(course, "--at-deadline", "--change-settings").exit_code == 0
    assert late(course)["a"].days_late == 0
    report = (course / "out" / "a" / "report.html").read_text()
    assert f"Graded as of commit {early}, the last one before the deadline." in report
    assert "In time." in report
    assert "Too late." not in report
    again = (course / "out" / "a" / "report.html").stat().st_mtime_ns
    assert batch(course).exit_code == 0
    assert (course / "out" / "a" / "report.html").stat().st_mtime_ns == again
    assert run(course, "class", "time", "a", "--in-time").exit_code == 0
    assert batch(course).exit_code == 0
    assert "Too late." in (course / "out" / "a" / "report.html").read_text()


def test_git_of_the_class_is_nobodys(tmp_path: Path) -> None:
    """The commit of the instructor's own directory dates no student's files."""
    (tmp_path / "class").mkdir()
    (tmp_path / "class" / "leeann_7_1_1A.md").write_text("Because of a.")
    git(tmp_path / "class", "init", "-q")
    git(tmp_path / "class", "commit", "-q", "--allow-empty", "-m", "downloads")
    course = make_course(tmp_path, "id,name\na,Ann Lee\n", names="")
    assert late(course)["a"].submitted_at == ""
    assert late(course)["a"].days_late == 0


def test_class_of_an_earlier_version(tmp_path: Path) -> None:
    """An option that did not exist then cannot be given later without a word."""
    course = make_course(tmp_path, "id,submitted_at\na,2026-03-11 12:00\nb,\n")
    with Store(course / "out" / STORE_NAME) as store:
        kept = msgspec.json.decode(store.setting("class") or "")
        del kept["slip_days"]
        store.keep_setting("class", msgspec.json.encode(kept).decode())
    assert "--slip-days: 0, now 4" in refusal(batch(course, "--slip-days", "4"))
    assert late(course)["a"].share_kept == 0.5
    assert batch(course, "--slip-days", "4", "--change-settings").exit_code == 0
    assert late(course)["a"].share_kept == 1.0


def test_slip_days(tmp_path: Path) -> None:
    """Free days are used first; the export says how many are gone for the next assignment."""
    roster = "id,submitted_at,slip_days_used\na,2026-03-11 12:00,1\nb,2026-03-12 12:00,2\n"
    course = make_course(tmp_path, roster, "--slip-days", "4")
    first, second = late(course)["a"], late(course)["b"]
    assert (first.days_late, first.slip_days, first.share_kept) == (2, 2, 1.0)
    assert "2 slip days used, 1 left" in first.reason
    assert (second.days_late, second.slip_days, second.share_kept) == (3, 2, 0.75)
    assert "2 slip days used, 0 left; 1 day late, at 25% of the points a day" in second.reason
    exported = run(course, "export", "csv").stdout
    assert ",2,3," in exported
    assert ",3,4," in exported


def test_slip_days_that_save_nothing(tmp_path: Path) -> None:
    """Free days are kept where a floor or the maximum makes them useless."""
    roster = "id,submitted_at\na,2026-03-29 12:00\nb,2026-03-12 12:00\n"
    floor = ("--slip-days", "2", "--penalty-floor", "0.5")
    course = make_course(tmp_path, roster, *floor)
    first, second = late(course)["a"], late(course)["b"]
    assert (first.days_late, first.slip_days, first.share_kept) == (20, 0, 0.5)
    assert "a slip day would save no points" in first.reason
    assert (second.days_late, second.slip_days, second.share_kept) == (3, 2, 0.75)
    maximum = ("--penalty-floor", "0", "--maximum-days-late", "1", "--change-settings")
    assert batch(course, *maximum).exit_code == 0
    assert (late(course)["a"].slip_days, late(course)["a"].share_kept) == (0, 0.0)
    assert (late(course)["b"].slip_days, late(course)["b"].share_kept) == (2, 0.75)


def test_new_penalty_of_unchanged_work(tmp_path: Path) -> None:
    """Whose points move because of a time that was read is named, and stands in the diff."""
    course = make_course(tmp_path, "id,submitted_at\na,\nb,\n")
    judged = run(course, "override", "a", "1A", "4", "--reason", "right", "--as", "Ina")
    assert judged.exit_code == 0, judged.output
    (course / "roster.csv").write_text("id,submitted_at\na,2026-03-11 12:00\nb,\n")
    said = " ".join(batch(course).stderr.split())
    assert "kept for unchanged work: a 100% → 50% (2 days late" in said
    assert "late penalty 0 → 2" in run(course, "diff").output


def test_a_persons_time(tmp_path: Path) -> None:
    """A person's word counts instead, and can be taken back."""
    course = make_course(tmp_path, "id,submitted_at\na,2026-03-12 12:00\nb,\n")
    assert late(course)["a"].days_late == 3
    for said, days in ((("2026-03-10 09:30",), 1), (("--in-time",), 0)):
        assert run(course, "class", "time", "a", *said).exit_code == 0
        assert batch(course).exit_code == 0
        assert late(course)["a"].days_late == days
    assert late(course)["a"].reason == "in time, as a person decided"
    assert run(course, "class", "time", "a", "--forget").exit_code == 0
    assert batch(course).exit_code == 0
    assert late(course)["a"].days_late == 3
    assert "no student 'z'" in refusal(run(course, "class", "time", "z", "--in-time"))
    assert "not a date or time" in refusal(run(course, "class", "time", "a", "soon"))


@pytest.mark.parametrize("option", [("--slip-days", "2"), ("--at-deadline",)])
def test_needs_a_deadline(tmp_path: Path, option: tuple[str, ...]) -> None:
    """A rule without a deadline is refused."""
    (tmp_path / "class").mkdir()
    assert "needs a deadline" in refusal(batch(tmp_path, *option))
