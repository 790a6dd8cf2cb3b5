"""Over random terms no point is lost or moved without a word: the command line against a model.

A term is a sequence of commands and of changes to the students' work, the roster and the key.
`GRADER_RANDOM_TERMS=2000` sets the number of terms, which then differ from call to call.

Real are the command line, the store, the intake, grading, review, publishing and all pages. Three
things that decide no points are replaced, because each costs more than the rest together: the
sandbox is tested once and not for each command, the students' code is not compared, and one thread
extracts, so that a kill leaves the same students ungraded every time. The assignment has written
answers only, so no student code runs.
"""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    rule,
    run_state_machine_as_test,
)

from grader.cohort import class_page
from grader.cohort import run as run_module
from grader.cohort.similarity import Similarity
from grader.cohort.store import STORE_NAME, Store
from grader.errors import MachineError, UsageError
from tests.cli.test_class_settings import ASSIGNMENT, batch, run
from tests.support.term_model import (
    EXTRA,
    IN_TIME,
    KEYS,
    PARTS,
    POSSIBLE,
    TOTAL,
    Answers,
    Disk,
    Model,
    Run,
    Settings,
)

TERMS = int(os.environ.get("GRADER_RANDOM_TERMS", "0"))
STEPS = 20
STUDENTS = ("ada", "bob", "cyd", "eve")
STRANGER = "x7"
LABELS = ("ada", "bob", "cyd", STRANGER)
IN_TIME_AT, DAY_LATE, DAYS_LATE = "2030-01-01 10:00", "2030-01-02 10:00", "2030-01-03 10:00"
DUES, PENALTIES = ("2030-01-01 12:00", "2030-01-02 12:00"), (0.25, 0.5)

students = st.sampled_from((*STUDENTS, STRANGER))
labels = st.sampled_from(LABELS)
works = st.sampled_from((("So.", "Thus."), ("So.", ""), ("Why?", "Thus."), ("", "Never.")))
moments = st.sampled_from(("", IN_TIME_AT, DAY_LATE, DAYS_LATE))
nobody = st.just("")
adjustments = st.sampled_from(("", "-1", "1.5", "-0,25"))

Points = dict[str, float | None]


@dataclass
class Counts:
    """Terms and commands that were run."""

    terms: int = 0
    commands: int = 0


COUNTS = Counts()


@cache
def chosen_sandbox() -> Any:
    """Choose the sandbox once, and load what the extracting thread would load.

    Hypothesis sets the recursion limit, and CPython 3.11 cannot compile in a thread meanwhile.
    """
    for name in ("asking", "excerpts", "submission"):
        import_module(f"grader.grading.{name}")
    return run_module.choose_sandbox()


class Term(RuleBasedStateMachine):
    """A class on the disk and in the model, with a command line between them."""

    def __init__(self) -> None:
        super().__init__()
        COUNTS.terms += 1
        self.course = Path(tempfile.mkdtemp(prefix="term-"))
        self.killed_at = self.failing = ""
        self.was_killed = False
        self.released = 0
        self.saved: dict[tuple[str, str], tuple[str, int]] | None = None
        self.patches = pytest.MonkeyPatch()
        sandbox, begin = chosen_sandbox(), run_module.begin

        def begin_or_fail(setting: Any, submission: Any, *arguments: Any) -> Any:
            if submission.name == self.killed_at:
                raise KeyboardInterrupt
            if submission.name == self.failing:
                raise MachineError("no memory")
            return begin(setting, submission, *arguments)

        self.patches.setenv("COLUMNS", "500")
        self.patches.setattr(run_module, "choose_sandbox", lambda **_: sandbox)
        self.patches.setattr(run_module, "count_cores", lambda: 1)
        self.patches.setattr(run_module, "begin", begin_or_fail)
        self.patches.setattr(class_page, "find_similar", lambda *_, **__: Similarity())

    def teardown(self) -> None:
        self.patches.undo()
        shutil.rmtree(self.course)

    # What happens outside the class's store

    @initialize(first=st.sampled_from((("So.", "Thus."), ("So.", "Never."))))
    def begin_term(self, first: Answers) -> None:
        self.disk = Disk(work={}, roster={})
        self.model = Model(settings=Settings(key=0, due=DUES[0], penalty=PENALTIES[0]))
        self.write_key(0)
        self.write_roster({"ada": "", "bob": DAY_LATE, "eve": ""})
        self.hand_in("ada", first)
        self.hand_in("bob", ("So.", "Thus."))
        self.hand_in(STRANGER, ("Why?", "Thus."))
        files = ("--assignment", self.course / "mine.py", "--roster", self.course / "roster.csv")
        policy = ("--due", DUES[0], "--timezone", "UTC", "--penalty-per-day", PENALTIES[0])
        result = batch(self.course, *files, *policy)
        assert result.exit_code == 0, result.output
        before = Run(rows={}, settings=None)
        self.model.batch(self.disk)
        self.model.runs.append(before)

    def write_key(self, key: int) -> None:
        text = ASSIGNMENT
        for part, old, new in zip(PARTS, KEYS[0], KEYS[key], strict=True):
            text = text.replace(f'"{part}", {old:g}', f'"{part}", {new:g}')
        (self.course / "mine.py").write_text(text)
        self.disk = replace(self.disk, key=key)

    def write_roster(self, roster: dict[str, str]) -> None:
        lines = [f"{name},{moment}" for name, moment in roster.items()]
        (self.course / "roster.csv").write_text("\n".join(("id,submitted_at", *lines, "")))
        self.disk = replace(self.disk, roster=roster)

    @rule(label=labels, work=works, graded=st.booleans())
    def hand_in(self, label: str, work: Answers, *, graded: bool = False) -> None:
        folder = self.course / "class" / label / "written"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for part, answer in zip(PARTS, work, strict=True):
            if answer:
                (folder / f"{part}.md").write_text(answer)
        self.disk.work[label] = work
        self.grade_if(graded=graded)

    @rule(label=labels, graded=st.booleans())
    def take_work_away(self, label: str, *, graded: bool) -> None:
        shutil.rmtree(self.course / "class" / label, ignore_errors=True)
        self.disk.work.pop(label, None)
        self.grade_if(graded=graded)

    @rule(name=st.sampled_from(STUDENTS), moment=moments, graded=st.booleans())
    def put_on_roster(self, name: str, moment: str, *, graded: bool) -> None:
        self.write_roster({**self.disk.roster, name: moment})
        self.grade_if(graded=graded)

    @rule(name=st.sampled_from(STUDENTS), graded=st.booleans())
    def take_off_roster(self, name: str, *, graded: bool) -> None:
        if rest := {one: at for one, at in self.disk.roster.items() if one != name}:
            self.write_roster(rest)
        self.grade_if(graded=graded)

    @rule(key=st.sampled_from((0, 1)))
    def correct_key(self, key: int) -> None:
        self.write_key(key)

    # Commands

    def grade_if(self, *, graded: bool) -> None:
        """Grade the class at once, as is usual after a change, or leave that for later."""
        if graded:
            how = {"only": (), "regrade": (), "killed_at": "", "failing": ""}
            self.grade(how, change=False, due=None, penalty=None)

    @rule(
        only=st.sampled_from(((), (), ("1A",), ("1B",))),
        regrade=st.sampled_from(((), (), (), ("all",), ("ada",), ("eve",))),
        killed_at=nobody | nobody | students,
        failing=nobody | nobody | students,
    )
    def grade_class(self, **how: Any) -> None:
        self.grade(how, change=False, due=None, penalty=None)

    @rule(
        only=st.sampled_from(((), (), ("1A",))),
        regrade=st.sampled_from(((), (), ("all",), ("eve",))),
        killed_at=nobody | students,
        failing=nobody | students,
        change=st.sampled_from((True, True, False)),
        due=st.sampled_from((None, *DUES)),
        penalty=st.sampled_from((None, *PENALTIES)),
    )
    def change_settings(
        self, *, change: bool, due: str | None, penalty: float | None, **how: Any
    ) -> None:
        self.grade(how, change=change, due=due, penalty=penalty)

    def grade(
        self, how: dict[str, Any], *, change: bool, due: str | None, penalty: float | None
    ) -> None:
        """Grade the class, in the model and on the command line."""
        kept = self.model.settings
        wanted = Settings(key=self.disk.key, due=due or kept.due, penalty=penalty or kept.penalty)
        arguments: list[object] = ["--change-settings"] if change else []
        arguments += ["--due", due] if due else []
        arguments += ["--penalty-per-day", penalty] if penalty else []
        arguments += ["--only", ",".join(how["only"])] if how["only"] else []
        arguments += ["--regrade", ",".join(how["regrade"])] if how["regrade"] else []
        known = {*self.model.owners(self.disk), "all"}
        allowed = (
            bool(self.disk.work) and known.issuperset(how["regrade"]) and (change or wanted == kept)
        )
        self.killed_at, self.failing = how["killed_at"], how["failing"]
        result = self.command(
            *("batch", self.course / "class", "--quiet", *arguments),
            allowed=allowed,
            then=lambda: self.graded(wanted, **how),
            exits={0, 1, 3, 130},
        )
        self.killed_at = self.failing = ""
        assert not allowed or self.was_killed == (result.exit_code == 130)

    def graded(self, wanted: Settings, **how: Any) -> None:
        self.model.settings = wanted
        self.was_killed = self.model.batch(self.disk, **how)

    @rule(
        which=st.integers(0, 9),
        found=st.booleans(),
        adjustment=adjustments,
        is_stale=st.booleans(),
    )
    def judge(self, which: int, *, found: bool, adjustment: str, is_stale: bool) -> None:
        """Judge an answer in a spreadsheet, which may have been exported earlier."""
        table = self.course / "answers.csv"
        is_of_this_key = self.disk.key == self.model.settings.key
        answers = self.model.answers()
        seen = {each: (answers[each], self.model.changes.get(each, 0)) for each in answers}
        if not is_stale or self.saved is None:
            self.command("review", "export", table, allowed=is_of_this_key)
            self.saved = seen if is_of_this_key else self.saved
        if not self.saved:
            return
        entry = sorted(self.saved)[which % len(self.saved)]
        rows = read_table(table.read_text("utf-8-sig"))
        assert {(row["student"], row["item"]) for row in rows} == self.saved.keys()
        (row,) = (row for row in rows if (row["student"], row["item"]) == entry)
        # Without the judgements of others, which may be outdated.
        row |= {"found": "all" if found else "none", "adjustment": adjustment, "comment": ""}
        filled = self.course / "filled.csv"
        with filled.open("w", encoding="utf-8-sig", newline="") as file:
            writer = csv.DictWriter(file, row)
            writer.writeheader()
            writer.writerow(row)
        points = float(adjustment.replace(",", ".") or 0)
        self.command(
            *("review", "import", filled, "--as", "Ina"),
            allowed=is_of_this_key and seen.get(entry) == self.saved[entry],
            then=lambda: self.model.judge(entry, found=found, adjustment=points),
        )

    @rule(
        name=students,
        about=st.sampled_from((*PARTS, TOTAL, EXTRA)),
        points=st.sampled_from((-1.0, 2.5, 3.0, 6.5, 11.0)),
    )
    def override(self, name: str, about: str, points: float) -> None:
        row = self.model.rows.get(name)
        allowed = row is not None and row.in_class
        if about in PARTS:
            key = KEYS[row.key] if row is not None and row.work is not None else (-1, -1)
            allowed &= 0 <= points <= key[PARTS.index(about)]
        elif about == TOTAL:
            allowed &= 0 <= points <= POSSIBLE
        elif about == EXTRA:
            allowed &= self.model.points().get(name) is not None
        self.command(
            *("override", name, about, points, "--reason", "read on paper"),
            allowed=allowed,
            then=lambda: self.model.decide(name, about, points),
        )

    @rule(name=students, about=st.sampled_from((*PARTS, TOTAL, EXTRA)))
    def forget_override(self, name: str, about: str) -> None:
        self.command(
            *("override", name, about, "--forget"),
            allowed=self.is_in_class(name) and (name, about) in self.model.decided,
            then=lambda: self.model.decided.pop((name, about)),
        )

    @rule(name=students)
    def remove(self, name: str) -> None:
        self.command(
            *("class", "remove", name),
            allowed=self.is_in_class(name),
            then=lambda: self.model.remove(name),
        )

    @rule(name=students)
    def restore(self, name: str) -> None:
        row = self.model.rows.get(name)
        self.command(
            *("class", "restore", name),
            allowed=row is not None and not row.in_class,
            then=lambda: self.model.restore(name),
        )

    @rule(name=students, said=st.sampled_from(("", IN_TIME, IN_TIME_AT, DAY_LATE, DAYS_LATE)))
    def say_time(self, name: str, said: str) -> None:
        options = {"": "--forget", IN_TIME: "--in-time"}
        self.command(
            *("class", "time", name, options.get(said, said)),
            allowed=self.is_in_class(name),
            then=lambda: self.model.times.update({name: said}),
        )

    @rule(
        ids=st.sampled_from((None, (), ("eve",), ("eve",), ("ada",), ("eve", "cyd"))),
        graded=st.booleans(),
    )
    def match(self, ids: tuple[str, ...] | None, *, graded: bool) -> None:
        """Say whose the stranger's submission is."""
        rows = [row for name, row in self.model.rows.items() if row.in_class]
        allowed = (
            self.is_in_class(STRANGER)
            or STRANGER in self.model.matches
            or STRANGER in {row.label for row in rows}
        ) and self.disk.roster.keys() >= set(ids or ())
        said = {None: "--forget", (): "--nobody"}.get(ids) or ",".join(ids or ())
        self.command(
            *("class", "match", STRANGER, said),
            allowed=allowed,
            then=lambda: self.matched(ids),
        )
        self.grade_if(graded=graded)

    def matched(self, ids: tuple[str, ...] | None) -> None:
        self.model.matches.pop(STRANGER, None)
        if ids is not None:
            self.model.matches[STRANGER] = ids

    @rule()
    def undo(self) -> None:
        self.command("undo", "--yes", allowed=bool(self.model.runs), then=self.model.undo)

    @rule()
    def export(self) -> None:
        self.command("export", "csv", allowed=self.is_of_one_version())

    @rule()
    def release(self) -> None:
        target = self.course / f"released-{self.released}"
        self.released += 1
        allowed = (
            self.is_of_one_version()
            and self.model.versions() <= {self.disk.key}
            and self.disk.key == self.model.settings.key
        )
        self.command("release", "-o", target, allowed=allowed)
        if allowed:
            assert points_in((target / "grades.csv").read_text()) == self.expected()

    # Agreement

    def command(
        self,
        *arguments: object,
        allowed: bool,
        then: Callable[[], object] = lambda: None,
        exits: Iterable[int] = (0,),
    ) -> Result:
        """Run a command, do `then` to the model, and require that they agree."""
        COUNTS.commands += 1
        standing = Run(rows=dict(self.model.rows), settings=self.model.settings)
        before, runs = self.expected(), self.count_runs()
        result = run(self.course, *arguments)
        if allowed:
            assert result.exit_code in exits, (arguments, result.output, result.exception)
            then()
        else:
            assert isinstance(result.exception, UsageError), (arguments, result.output)
            assert result.exception.next_step, arguments
            assert self.count_runs() == runs
        if self.count_runs() > runs and arguments[0] != "undo":
            self.model.runs.append(standing)
        after = self.expected()
        assert not after or self.exported() == after, (arguments, result.output)
        for name in before:
            if before[name] != after.get(name):
                moved = name, before[name], after.get(name)
                self.require_told(*moved, result.output, str(arguments[0]))
        return result

    def require_told(
        self, name: str, before: float | None, after: float | None, told: str, command: str
    ) -> None:
        """Require that a changed grade was told by the command itself.

        `grade diff` may tell of a batch, and `grade history` of judgements.
        """
        if not self.is_in_class(name):
            assert name in told
            return
        digits = 2 if command == "undo" else 4
        was, now_is = (
            "no grade" if one is None else f"{round(one, digits):g}" for one in (before, after)
        )
        listed = {
            each["student"]["id"]: tuple(
                None if each[moment] is None else round(each[moment], 4)
                for moment in ("before", "after")
            )
            for each in json.loads(run(self.course, "diff", "--json").stdout)
        }
        history = run(self.course, "history", name).output
        heading, *lines = history.splitlines()
        column = slice(heading.index("points"), heading.index("state"))
        points = [line[column] for line in lines if line.strip()][-2:]
        shown = [float(one) if one.strip() else None for one in points]
        assert shown[-1] == (None if after is None else round(after, 2)), history
        assert (
            f"{name}: {was} → {now_is}" in told
            or (command != "undo" and listed.get(name) == (before, after))
            or (command == "review" and shown[0] == round(before or 0, 2))
        ), (name, before, after, told, listed, history)

    def expected(self) -> Points:
        return {
            name: None if points is None else round(points, 4)
            for name, points in self.model.points().items()
        }

    def exported(self) -> Points:
        result = run(self.course, "export", "csv", "--mixed")
        assert result.exit_code == 0, result.exception
        return points_in(result.stdout)

    def count_runs(self) -> int:
        with Store(self.course / "out" / STORE_NAME) as store:
            return len(store.runs())

    def is_in_class(self, name: str) -> bool:
        row = self.model.rows.get(name)
        return row is not None and row.in_class

    def is_of_one_version(self) -> bool:
        return len(self.model.versions()) <= 1 and bool(self.model.points())


def read_table(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text.lstrip("\ufeff"))))


def points_in(table: str) -> Points:
    """Return the points of an exported table by student; None without a grade."""
    return {row["id"]: float(row["points"]) if row["points"] else None for row in read_table(table)}


@pytest.mark.timeout(0)
def test_random_terms() -> None:
    """Every student has the points that work, key and people's word say; each move is told."""
    started = time.monotonic()
    try:
        run_state_machine_as_test(
            Term,
            settings=settings(
                max_examples=TERMS or 10,
                stateful_step_count=STEPS,
                derandomize=not TERMS,
                database=None,
                phases=[Phase.generate],
                deadline=None,
                suppress_health_check=list(HealthCheck),
            ),
        )
    finally:
        seconds = time.monotonic() - started
        sys.stdout.write(f"{COUNTS.terms} terms, {COUNTS.commands} commands, {seconds:.0f} s\n")
