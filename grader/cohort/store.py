"""The results of a class, in one SQLite file beside the reports.

Every grading is a row that never changes. A student's newest grading counts; the others are the
history. Each row is one transaction, so a kill at any moment leaves a grading whole or absent. One
process writes while others read (WAL, https://sqlite.org/wal.html).

All tables are declared here. `grader.review.store` reads and writes those of the review; no other
module contains SQL.
"""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Self

import msgspec

from grader.cohort.summary import Status, StudentSummary, now
from grader.errors import MachineError, UsageError
from grader.results import SubmissionResult

STORE_NAME = "class.sqlite"
BUSY_SECONDS = 30.0

_MIGRATIONS = (
    """
    CREATE TABLE gradings (
        id INTEGER PRIMARY KEY,
        student_id TEXT NOT NULL,
        inputs_sha256 TEXT NOT NULL,
        summary BLOB NOT NULL,
        result BLOB
    ) STRICT;
    CREATE INDEX gradings_of_student ON gradings (student_id, id);
    """,
    """
    CREATE TABLE published (
        grading_id INTEGER PRIMARY KEY REFERENCES gradings (id),
        summary BLOB NOT NULL,
        result BLOB NOT NULL,
        judgements_sha256 TEXT NOT NULL
    ) STRICT;
    CREATE TABLE answers (
        student_id TEXT NOT NULL,
        item_id TEXT NOT NULL,
        grading_id INTEGER NOT NULL REFERENCES gradings (id),
        folder TEXT NOT NULL,
        sha256 TEXT NOT NULL,
        text TEXT NOT NULL,
        pictures TEXT NOT NULL,
        PRIMARY KEY (student_id, item_id)
    ) STRICT;
    CREATE INDEX answers_of_item ON answers (item_id, sha256, student_id);
    CREATE TABLE judgements (
        student_id TEXT NOT NULL,
        item_id TEXT NOT NULL,
        reading INTEGER NOT NULL,
        change_id INTEGER NOT NULL REFERENCES changes (id),
        judgement TEXT NOT NULL,
        PRIMARY KEY (student_id, item_id, reading)
    ) STRICT;
    CREATE TABLE rubric_items (
        item_id TEXT NOT NULL,
        id TEXT NOT NULL,
        text TEXT NOT NULL,
        points REAL NOT NULL,
        PRIMARY KEY (item_id, id)
    ) STRICT;
    CREATE TABLE snippets (
        item_id TEXT NOT NULL,
        text TEXT NOT NULL,
        PRIMARY KEY (item_id, text)
    ) STRICT;
    CREATE TABLE graders (
        name TEXT PRIMARY KEY,
        generation INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE review_settings (
        name TEXT PRIMARY KEY,
        value TEXT NOT NULL
    ) STRICT;
    CREATE TABLE changes (
        id INTEGER PRIMARY KEY,
        changed_at TEXT NOT NULL,
        grader TEXT NOT NULL,
        kind TEXT NOT NULL,
        item_id TEXT NOT NULL,
        before TEXT NOT NULL,
        after TEXT NOT NULL,
        undoes INTEGER REFERENCES changes (id)
    ) STRICT;
    CREATE INDEX changes_of_grader ON changes (grader, id);
    """,
    "ALTER TABLE review_settings RENAME TO settings",
    """
    CREATE TABLE runs (
        id INTEGER PRIMARY KEY,
        started_at TEXT NOT NULL,
        purpose TEXT NOT NULL,
        settings_before TEXT NOT NULL
    ) STRICT;
    ALTER TABLE gradings ADD COLUMN run_id INTEGER REFERENCES runs (id)
    """,
    """
    CREATE TABLE publications (
        id INTEGER PRIMARY KEY,
        grading_id INTEGER NOT NULL REFERENCES gradings (id),
        published_at TEXT NOT NULL,
        summary BLOB NOT NULL
    ) STRICT;
    CREATE INDEX publications_of_grading ON publications (grading_id, id);
    CREATE TABLE decisions (
        student_id TEXT NOT NULL,
        target TEXT NOT NULL,
        change_id INTEGER NOT NULL REFERENCES changes (id),
        decision TEXT NOT NULL,
        PRIMARY KEY (student_id, target)
    ) STRICT
    """,
)
"""Each script takes a store to the next version, which `PRAGMA user_version` holds. Append only."""

_BESIDE = ("journal", "wal", "shm")
"""Endings of the files that SQLite writes beside a store."""

_NEWEST = "id IN (SELECT max(id) FROM gradings GROUP BY student_id)"
_GRADINGS = "SELECT id, inputs_sha256, summary FROM gradings"
_PUBLISHED_GRADINGS = """
    SELECT gradings.id, gradings.inputs_sha256, coalesce(published.summary, gradings.summary)
    FROM gradings LEFT JOIN published ON published.grading_id = gradings.id
"""


@dataclass(frozen=True, kw_only=True)
class StoredGrading:
    """One grading of one student; `number` increases with every grading in the store.

    `inputs_sha256` is over everything that the grade depends on: files, assignment, options,
    versions.
    """

    number: int
    inputs_sha256: str
    summary: StudentSummary


@dataclass(frozen=True, kw_only=True)
class StoredState:
    """The row that counted for a student from a time on (ISO 8601, UTC; empty if unknown)."""

    at: str
    summary: StudentSummary


@dataclass(frozen=True, kw_only=True)
class StoredRun:
    """One run of a command that graded students, or undid such a run.

    Attributes:
        purpose: the command, for a person to read.
        settings_before: the value of the class's settings before the run; empty if there were none.
    """

    number: int
    started_at: str
    purpose: str
    settings_before: str


class Store:
    """The gradings of one class; a context manager."""

    def __init__(self, path: Path) -> None:
        """Open the store; create it or migrate it if necessary.

        Raises:
            UsageError: the file is not a store, or a newer grader wrote it.
            MachineError: the file cannot be opened.
        """
        self._run: int | None = None
        self._purpose: tuple[str, str] | None = None
        for name in (path.name, *(f"{path.name}-{ending}" for ending in _BESIDE)):
            if path.with_name(name).is_symlink():
                raise UsageError(
                    f"{path.with_name(name)} is a link, which may lead to another's file",
                    next_step="remove it, or choose another --output",
                )
        try:
            self._connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)
            self._prepare(path)
        except sqlite3.OperationalError as error:
            raise MachineError(
                f"the class's results in {path} cannot be opened: {error}",
                next_step="check the directory's permissions and free space, or choose another "
                "--output",
            ) from None
        except sqlite3.DatabaseError:
            raise UsageError(
                f"{path} is not a store of results",
                next_step="move it away, or choose another --output",
            ) from None

    @classmethod
    def open_existing(cls, output: Path) -> Self:
        """Open the store of a class that was graded into `output`.

        Raises:
            UsageError: there is no store.
        """
        path = output / STORE_NAME
        if not path.is_file():
            raise UsageError(
                f"there are no results of a class in {output}",
                next_step="run `grade batch SUBMISSIONS/` first, or name its --output",
            )
        return cls(path)

    @classmethod
    @contextmanager
    def opened_copy(cls, place: Path) -> Iterator[Self]:
        """Open a copy of a store, a file or in a directory: opening it would migrate an older one.

        Raises:
            UsageError: there is no store, or a newer grader wrote it.
            MachineError: the file cannot be read.
        """
        path = (place / STORE_NAME if place.is_dir() else place).resolve()
        if not path.is_file():
            raise UsageError(
                f"there are no results of a class in {place}", next_step="name its --output"
            )
        with TemporaryDirectory() as directory:
            copy = Path(directory) / STORE_NAME
            try:
                with (
                    closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as source,
                    closing(sqlite3.connect(copy)) as target,
                ):
                    source.backup(target)
            except sqlite3.Error as error:
                raise MachineError(
                    f"{path} cannot be read: {error}", next_step="check that it is a class's store"
                ) from error
            with cls(copy) as store:
                yield store

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Write everything in the block or nothing, as the only writer; on the disk on return."""
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")

    def backup(self, path: Path) -> None:
        """Write a consistent copy to a new file, while others read and write the store.

        Raises:
            UsageError: the file exists.
        """
        if path.exists():
            raise UsageError(f"{path} exists already", next_step="name a new file")
        path.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(path)) as copy:
            self._connection.backup(copy)

    def begin_run(self, purpose: str, settings_name: str) -> None:
        """Begin a run, to which everything recorded from now on belongs.

        Args:
            purpose: the command, for a person to read.
            settings_name: of the setting that the run may change.
        """
        self._run = None
        self._purpose = purpose, self.setting(settings_name) or ""

    def _run_id(self) -> int | None:
        """Return the current run's number; a run that records nothing leaves no trace."""
        if self._run is None and self._purpose is not None:
            purpose, settings = self._purpose
            found = self._connection.execute(
                "INSERT INTO runs (started_at, purpose, settings_before) VALUES (?, ?, ?)",
                (now(), purpose, settings),
            )
            self._run = found.lastrowid
        return self._run

    def runs(self) -> list[StoredRun]:
        """Return every run that graded students, the oldest first."""
        rows = self._connection.execute(
            "SELECT id, started_at, purpose, settings_before FROM runs ORDER BY id"
        )
        return [
            StoredRun(number=number, started_at=at, purpose=purpose, settings_before=settings)
            for number, at, purpose, settings in rows
        ]

    def gradings_of_run(self, run: int) -> Iterator[StoredGrading]:
        """Yield the gradings of a run, by student; the last of several for one student."""
        newest = "SELECT max(id) FROM gradings WHERE run_id = ? GROUP BY student_id"
        return self._select(f"{_GRADINGS} WHERE id IN ({newest}) ORDER BY student_id", run)

    def grading_before(self, student_id: str, run: int) -> StoredGrading | None:
        """Return a student's newest grading before a run, or None."""
        query = (
            f"{_GRADINGS} WHERE student_id = ? AND id < "
            "(SELECT min(id) FROM gradings WHERE run_id = ?) ORDER BY id DESC LIMIT 1"
        )
        return next(self._select(query, student_id, run), None)

    def record(
        self, summary: StudentSummary, *, inputs_sha256: str, result: SubmissionResult | None
    ) -> None:
        """Add a grading, which counts from now on; it is on the disk on return.

        The result is None if nothing could be graded.
        """
        self._connection.execute(
            "INSERT INTO gradings (student_id, inputs_sha256, summary, result, run_id) "
            "VALUES (?, ?, ?, ?, ?)",
            (
                summary.student.id,
                inputs_sha256,
                msgspec.json.encode(summary),
                _encode(result) if result is not None else None,
                self._run_id(),
            ),
        )

    def publish(
        self,
        number: int,
        summary: StudentSummary,
        result: SubmissionResult | None,
        *,
        judgements_sha256: str,
    ) -> None:
        """Put a result with people's judgements in front of the automatic one of a grading.

        `judgements_sha256` is over everything that went into the result beside the grading.
        """
        self._connection.execute(
            "REPLACE INTO published (grading_id, summary, result, judgements_sha256) "
            "VALUES (?, ?, ?, ?)",
            (
                number,
                msgspec.json.encode(summary),
                _encode(result) if result is not None else b"",
                judgements_sha256,
            ),
        )
        self._connection.execute(
            "INSERT INTO publications (grading_id, published_at, summary) VALUES (?, ?, ?)",
            (number, now(), msgspec.json.encode(summary)),
        )

    def published(self) -> dict[int, str]:
        """Return the digest of the judgements in each published result, by grading number."""
        rows = self._connection.execute("SELECT grading_id, judgements_sha256 FROM published")
        return dict(rows.fetchall())

    def setting(self, name: str) -> str | None:
        """Return a value that belongs to the class, or None if it was never kept."""
        row = self._connection.execute(
            "SELECT value FROM settings WHERE name = ?", (name,)
        ).fetchone()
        return row[0] if row else None

    def keep_setting(self, name: str, value: str) -> None:
        """Keep a value that belongs to the class in place of an earlier one."""
        self._connection.execute("REPLACE INTO settings (name, value) VALUES (?, ?)", (name, value))

    def summaries(self) -> Iterator[StudentSummary]:
        """Yield every student's current summary, by id."""
        for grading in self.current():
            yield grading.summary

    def current(self) -> Iterator[StoredGrading]:
        """Yield every student's current grading, by id; the published one if there is one."""
        query = f"{_PUBLISHED_GRADINGS} WHERE gradings.{_NEWEST} ORDER BY student_id"
        return _in_class(self._select(query))

    def automatic(self) -> Iterator[StoredGrading]:
        """Yield every student's current grading before people's judgements, by id."""
        return _in_class(self._select(f"{_GRADINGS} WHERE {_NEWEST} ORDER BY student_id"))

    def removed(self) -> list[StudentSummary]:
        """Return the rows of those who were taken out of the class, by id."""
        newest = self._select(f"{_GRADINGS} WHERE {_NEWEST} ORDER BY student_id")
        return [each.summary for each in newest if each.summary.status is Status.REMOVED]

    def history(self, student_id: str) -> list[StoredGrading]:
        """Return every automatic grading of a student, the oldest first."""
        return list(self._select(f"{_GRADINGS} WHERE student_id = ? ORDER BY id", student_id))

    def states(self, student_id: str) -> list[list[StoredState]]:
        """Return what counted for a student, the oldest first: by grading, the states of each.

        Each begins with the automatic state; others follow whenever people's judgements or
        decisions were published.
        """
        return [
            [
                StoredState(at=each.summary.graded_at, summary=each.summary),
                *self._publications_of(each.number),
            ]
            for each in self.history(student_id)
        ]

    def _publications_of(self, number: int) -> list[StoredState]:
        rows = self._connection.execute(
            "SELECT published_at, summary FROM publications WHERE grading_id = ? ORDER BY id",
            (number,),
        ).fetchall()
        if not rows:  # earlier versions kept the last one only
            rows = self._connection.execute(
                "SELECT '', summary FROM published WHERE grading_id = ?", (number,)
            ).fetchall()
        return [
            StoredState(at=at, summary=msgspec.json.decode(summary, type=StudentSummary))
            for at, summary in rows
        ]

    def holders(self, label: str) -> list[str]:
        """Return the ids under which the submission of a label was ever graded."""
        rows = self._connection.execute(
            "SELECT DISTINCT student_id FROM gradings "
            "WHERE json_extract(CAST(summary AS TEXT), '$.source') = ? ORDER BY student_id",
            (label,),
        )
        return [student_id for (student_id,) in rows]

    def last_number(self) -> int:
        """Return the number of the newest grading, or 0."""
        (number,) = self._connection.execute("SELECT coalesce(max(id), 0) FROM gradings").fetchone()
        return int(number)

    def result(self, student_id: str) -> SubmissionResult | None:
        """Return a student's current result, or None if nothing could be graded."""
        return self._decode_result(
            "SELECT coalesce(published.result, gradings.result) FROM gradings "
            "LEFT JOIN published ON published.grading_id = gradings.id "
            "WHERE gradings.student_id = ? ORDER BY gradings.id DESC LIMIT 1",
            student_id,
        )

    def automatic_result(self, number: int) -> SubmissionResult | None:
        """Return the result of a grading before people's judgements, or None if it has none."""
        return self._decode_result("SELECT result FROM gradings WHERE id = ?", number)

    def _decode_result(self, query: str, value: object) -> SubmissionResult | None:
        row = self._connection.execute(query, (value,)).fetchone()
        if row is None or not row[0]:
            return None
        return msgspec.json.decode(zlib.decompress(row[0]), type=SubmissionResult)

    def _select(self, query: str, *values: object) -> Iterator[StoredGrading]:
        with closing(self._connection.execute(query, values)) as rows:
            for number, inputs_sha256, summary in rows:
                yield StoredGrading(
                    number=number,
                    inputs_sha256=inputs_sha256,
                    summary=msgspec.json.decode(summary, type=StudentSummary),
                )

    def _prepare(self, path: Path) -> None:
        try:
            self._connection.execute("PRAGMA journal_mode = WAL")
            # FULL: a grading that was reported as stored survives even a power cut.
            self._connection.execute("PRAGMA synchronous = FULL")
            self._connection.execute("PRAGMA foreign_keys = ON")
            if self._version() == len(_MIGRATIONS):
                return  # without waiting for whoever writes
            # The lock comes first, because two programs may open a new store at the same moment.
            with self.transaction():
                self._migrate(path)
        except BaseException:
            self.close()
            raise

    def _version(self) -> int:
        (version,) = self._connection.execute("PRAGMA user_version").fetchone()
        return int(version)

    def _migrate(self, path: Path) -> None:
        version = self._version()
        if version > len(_MIGRATIONS):
            raise UsageError(
                f"{path} was written by a newer version of the grader",
                next_step="install that version, or choose another --output",
            )
        for script in _MIGRATIONS[version:]:
            for statement in script.split(";"):
                self._connection.execute(statement)
        self._connection.execute(f"PRAGMA user_version = {len(_MIGRATIONS)}")


def _encode(result: SubmissionResult) -> bytes:
    return zlib.compress(msgspec.json.encode(result))


def _in_class(gradings: Iterator[StoredGrading]) -> Iterator[StoredGrading]:
    return (each for each in gradings if each.summary.status is not Status.REMOVED)
