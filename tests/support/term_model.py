"""A model of a class's grades, written from docs/teaching.md and decisions 031, 035 and 036.

It knows no digests, no SQL and no reports: only whose work was graded by which key, and people's
word on it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import count

Answers = tuple[str, str]
"""The answers to 1A and 1B; empty if not handed in."""

PARTS = ("1A", "1B")
KEYS = ((6.0, 4.0), (3.0, 7.0))
"""The points of 1A and 1B by two versions of the assignment."""
POSSIBLE = 10.0
TOTAL, EXTRA = "total", "extra"
IN_TIME = "in time"


class Status(StrEnum):
    """The state of a row."""

    GRADED = "graded"
    NONE = "no grade"
    FAILED = "no grade, because the grader failed"
    REMOVED = "removed by a person"
    GONE = "another student's submission"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One student's row.

    Attributes:
        parts: that were graded.
        key: index of the assignment's version.
        share: of the points, after the late policy.
        up_to_date_for: the work, key and parts that need no grading again; None if all do.
        label: of the submission, or "".
    """

    status: Status
    work: Answers | None = None
    parts: tuple[str, ...] = ()
    key: int = 0
    share: float = 1.0
    up_to_date_for: tuple[Answers, int, tuple[str, ...]] | None = None
    label: str = ""
    on_roster: bool = True

    @property
    def in_class(self) -> bool:
        """True if the row is in page, exports and releases."""
        return self.status not in {Status.REMOVED, Status.GONE}

    def emptied(self, status: Status) -> Row:
        """Return the row of the same student without a grade."""
        return Row(status=status, on_roster=self.on_roster)


@dataclass(frozen=True, kw_only=True)
class Judged:
    """A person's judgement of an answer: all points of the rubric or none, and an adjustment."""

    answer: str
    found: bool
    adjustment: float

    def points(self, possible: float) -> float:
        return min(max(possible * self.found + self.adjustment, 0.0), possible)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What decides about points, beside the work: the key's version and the late policy."""

    key: int
    due: str
    penalty: float


@dataclass(frozen=True, kw_only=True)
class Disk:
    """What lies outside the class's store.

    Attributes:
        work: answers by label.
        roster: times of submission by student; "" if the roster has none.
    """

    work: dict[str, Answers]
    roster: dict[str, str]
    key: int = 0


@dataclass(frozen=True, kw_only=True)
class Run:
    """What stood before a run; no settings before the term's first."""

    rows: dict[str, Row]
    settings: Settings | None


@dataclass(kw_only=True)
class Model:
    """A class as it must be.

    Attributes:
        judged: judgements by student and part.
        changes: the number of the change that made each judgement.
        decided: points and the work that they are about, by student and target.
        held: the students who ever had the submission of a label.
    """

    settings: Settings
    rows: dict[str, Row] = field(default_factory=dict)
    judged: dict[tuple[str, str], Judged] = field(default_factory=dict)
    changes: dict[tuple[str, str], int] = field(default_factory=dict)
    numbers: Iterator[int] = field(default_factory=lambda: count(1))
    decided: dict[tuple[str, str], tuple[float, Answers | None]] = field(default_factory=dict)
    times: dict[str, str] = field(default_factory=dict)
    held: dict[str, set[str]] = field(default_factory=dict)
    matches: dict[str, tuple[str, ...]] = field(default_factory=dict)
    runs: list[Run] = field(default_factory=list)

    # Points

    def points(self) -> dict[str, float | None]:
        """Return the final points of everybody in the class; None without a grade."""
        return {name: self._final(name, row) for name, row in self.rows.items() if row.in_class}

    def _final(self, name: str, row: Row) -> float | None:
        decided = {
            target: points
            for (student, target), (points, work) in self.decided.items()
            if student == name and work == row.work
        }
        if TOTAL in decided:
            return decided[TOTAL]
        if row.status is not Status.GRADED:
            return None
        earned = sum(
            decided[part] if part in decided else self._earned(name, row, index)
            for index, part in enumerate(PARTS)
        )
        return max(0.0, earned * row.share + decided.get(EXTRA, 0.0))

    def _earned(self, name: str, row: Row, index: int) -> float:
        part, judged = PARTS[index], self.judged.get((name, PARTS[index]))
        if part not in row.parts or row.work is None or judged is None:
            return 0.0
        return judged.points(KEYS[row.key][index]) if judged.answer == row.work[index] else 0.0

    def versions(self) -> set[int]:
        """Return the versions of the key by which students are graded."""
        return {row.key for row in self.rows.values() if row.in_class and row.work is not None}

    # Grading

    def owners(self, disk: Disk) -> dict[str, list[str]]:
        """Return the labels of each student's submissions, in the order of grading."""
        pairs = [
            (student, label)
            for label in sorted(disk.work)
            for student in self.matches.get(label, (label,))
            if label not in self.matches or student in disk.roster
        ]
        on_roster = [name for name in disk.roster if name in dict(pairs)]
        strangers = [name for name, _ in pairs if name not in disk.roster]
        return {
            name: [label for student, label in pairs if student == name]
            for name in (*on_roster, *strangers)
        }

    def batch(
        self,
        disk: Disk,
        *,
        only: tuple[str, ...] = (),
        regrade: Iterable[str] = (),
        killed_at: str = "",
        failing: str = "",
    ) -> bool:
        """Grade what is new or has changed, up to a kill; return True if it was killed."""
        try:
            return self._grade_class(disk, only, regrade, killed_at, failing)
        finally:
            self._hand_on_judgements()

    def _grade_class(
        self,
        disk: Disk,
        only: tuple[str, ...],
        regrade: Iterable[str],
        killed_at: str,
        failing: str,
    ) -> bool:
        owners = self.owners(disk)
        again = set(owners) if "all" in regrade else set(regrade)
        to_grade = [
            name
            for name in owners
            if self.rows.get(name, Row(status=Status.NONE)).status is not Status.REMOVED
        ]
        for name, row in sorted(self.rows.items()):
            if not row.in_class:
                continue
            if name not in owners:
                self._settle(name, row, owners)
            elif row.status is Status.GRADED and name not in again:
                wanted = disk.work[owners[name][0]], disk.key, only
                if len(owners[name]) == 1 and row.up_to_date_for == wanted:
                    to_grade.remove(name)
                    self._put(name, self._placed(row, name, owners[name][0], disk))
        for name in disk.roster:
            if name not in owners and name not in self.rows:
                self._put(name, Row(status=Status.NONE))
        for name in to_grade:
            if len(owners[name]) == 1 and name == killed_at:
                return True
            self._grade(name, owners[name], disk, only, fails=name == failing)
        return False

    def _settle(self, name: str, row: Row, owners: Mapping[str, list[str]]) -> None:
        """Take a grade from whose submission turned out to be another's."""
        label = row.label or ("" if row.on_roster else name)
        said = self.matches.get(label)
        others = said if said is not None else [one for one in owners if label in owners[one]]
        if not label or name in others or (said is None and not others):
            return
        self._put(name, row.emptied(Status.NONE if row.on_roster else Status.GONE))

    def _placed(self, row: Row, name: str, label: str, disk: Disk) -> Row:
        """Return a row under the late policy, the roster and the label of today."""
        share = self._share(name, disk)
        return replace(row, share=share, label=label, on_roster=name in disk.roster)

    def _share(self, name: str, disk: Disk) -> float:
        moment = self.times.get(name) or disk.roster.get(name, "")
        if moment in {"", IN_TIME}:
            return 1.0
        late = datetime.fromisoformat(moment) - datetime.fromisoformat(self.settings.due)
        days = -(-late // timedelta(days=1))
        return max(0.0, 1 - self.settings.penalty * max(0, days))

    def _grade(
        self, name: str, labels: list[str], disk: Disk, only: tuple[str, ...], *, fails: bool
    ) -> None:
        row = self.rows.get(name)
        earlier = row if row is not None and row.status is Status.GRADED else None
        if fails or len(labels) > 1:
            failed = Row(status=Status.FAILED, label=labels[0], on_roster=name in disk.roster)
            self._put(name, replace(earlier, up_to_date_for=None) if earlier else failed)
            return
        (label,) = labels
        work = disk.work[label]
        new = Row(
            status=Status.GRADED,
            work=work,
            parts=only or PARTS,
            key=disk.key,
            up_to_date_for=(work, disk.key, only),
        )
        if only and earlier is not None and earlier.parts == PARTS:
            if (earlier.work, earlier.key) != (work, disk.key):
                self._put(name, replace(earlier, up_to_date_for=None))
                return
            new = earlier
        self._put(name, self._placed(new, name, label, disk))

    def _hand_on_judgements(self) -> None:
        """Give the judgements of a submission to those whose it is, as a person said."""
        for (name, part), answer in self.answers().items():
            for label in self.matches:
                holders = self.held.get(label, set()) if name in self.matches[label] else set()
                for holder in sorted(holders):
                    own, found = self.judged.get((name, part)), self.judged.get((holder, part))
                    if found and found.answer == answer and not (own and own.answer == answer):
                        self.judged[name, part] = found
                        self.changes[name, part] = self.changes.get((holder, part), 0)

    def _put(self, name: str, row: Row) -> None:
        self.rows[name] = row
        self.held.setdefault(row.label, set()).add(name)

    # People

    def answers(self) -> dict[tuple[str, str], str]:
        """Return the answers that a person can judge, by student and part."""
        return {
            (name, part): answer
            for name, row in self.rows.items()
            if row.in_class
            for part, answer in zip(PARTS, row.work or ("", ""), strict=True)
            if part in row.parts
        }

    def judge(self, entry: tuple[str, str], *, found: bool, adjustment: float) -> None:
        """Judge an answer, and the equal answers that nobody has judged."""
        answers = self.answers()
        judged = Judged(answer=answers[entry], found=found, adjustment=adjustment)
        for other, answer in answers.items():
            own = self.judged.get(other)
            is_open = own is None or own.answer != answer
            equal = other[1] == entry[1] and answer == judged.answer
            if other == entry or (equal and is_open):
                self._judge(other, judged)

    def _judge(self, entry: tuple[str, str], judged: Judged) -> None:
        if self.judged.get(entry) != judged:
            self.judged[entry] = judged
            self.changes[entry] = next(self.numbers)

    def decide(self, name: str, target: str, points: float) -> None:
        self.decided[name, target] = points, self.rows[name].work

    def remove(self, name: str) -> None:
        self._put(name, self.rows[name].emptied(Status.REMOVED))

    def restore(self, name: str) -> None:
        self._put(name, self.rows[name].emptied(Status.NONE))

    def undo(self) -> None:
        """Put the rows and the settings back as they were before the last run.

        Before the first run there were no settings, and those that were said since hold.
        """
        run = self.runs.pop()
        self.settings = run.settings or self.settings
        self.rows = {
            name: run.rows.get(name, row.emptied(Status.NONE)) for name, row in self.rows.items()
        }
