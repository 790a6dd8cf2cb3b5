"""The results of a class, in one SQLite file beside the reports.

Every grading is a row that is never changed: the newest of a student is the one that counts, the
others are the history. A row is written in one transaction, so a grading is either whole or not
there, whenever the program is killed. One process writes; others can read meanwhile (WAL,
https://sqlite.org/wal.html).
"""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import msgspec

from grader.errors import MachineError, UsageError
from grader.results import SubmissionResult
from grader.summary import StudentSummary

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
)
"""Each brings a store one version further; `PRAGMA user_version` counts them. Only append."""

_NEWEST = "id IN (SELECT max(id) FROM gradings GROUP BY student_id)"


@dataclass(frozen=True, kw_only=True)
class StoredGrading:
    """One grading of one student.

    Attributes:
        number: increases with every grading in the store.
        inputs_sha256: over all that the grade depends on: files, assignment, options, versions.
    """

    number: int
    inputs_sha256: str
    summary: StudentSummary


class Store:
    """The gradings of one class; a context manager."""

    def __init__(self, path: Path) -> None:
        """Open the store, and make it or bring it up to date where that is needed.

        Raises:
            UsageError: the file is not a store, or a newer grader wrote it.
            MachineError: it cannot be opened.
        """
        self._path = path
        try:
            self._connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)
            self._connection.execute("PRAGMA journal_mode = WAL")
            # FULL: a grading that was reported as stored survives even a power cut.
            self._connection.execute("PRAGMA synchronous = FULL")
            self._connection.execute("PRAGMA foreign_keys = ON")
            self._migrate()
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
            UsageError: no class was graded there.
        """
        path = output / STORE_NAME
        if not path.is_file():
            raise UsageError(
                f"there are no results of a class in {output}",
                next_step="run `grade batch SUBMISSIONS/` first, or name its --output",
            )
        return cls(path)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def record(
        self, summary: StudentSummary, *, inputs_sha256: str, result: SubmissionResult | None
    ) -> None:
        """Add one grading, which is from now on the one that counts; it is on the disk on return.

        Args:
            summary: of the result.
            inputs_sha256: over all that the grade depends on.
            result: the whole result, or None where nothing could be graded.
        """
        encoded = zlib.compress(msgspec.json.encode(result)) if result is not None else None
        self._connection.execute(
            "INSERT INTO gradings (student_id, inputs_sha256, summary, result) VALUES (?, ?, ?, ?)",
            (summary.student.id, inputs_sha256, msgspec.json.encode(summary), encoded),
        )

    def summaries(self) -> Iterator[StudentSummary]:
        """The current summary of every student, by id."""
        for grading in self.current():
            yield grading.summary

    def current(self) -> Iterator[StoredGrading]:
        """The current grading of every student, by id."""
        return self._select(f"WHERE {_NEWEST} ORDER BY student_id")

    def history(self, student_id: str) -> list[StoredGrading]:
        """Every grading of a student, the oldest first."""
        return list(self._select("WHERE student_id = ? ORDER BY id", student_id))

    def result(self, student_id: str) -> SubmissionResult | None:
        """The current whole result of a student, or None where nothing could be graded."""
        row = self._connection.execute(
            "SELECT result FROM gradings WHERE student_id = ? ORDER BY id DESC LIMIT 1",
            (student_id,),
        ).fetchone()
        if row is None or row[0] is None:
            return None
        return msgspec.json.decode(zlib.decompress(row[0]), type=SubmissionResult)

    def _select(self, condition: str, *values: object) -> Iterator[StoredGrading]:
        query = f"SELECT id, inputs_sha256, summary FROM gradings {condition}"  # noqa: S608  # ours
        with closing(self._connection.execute(query, values)) as rows:
            for number, inputs_sha256, summary in rows:
                yield StoredGrading(
                    number=number,
                    inputs_sha256=inputs_sha256,
                    summary=msgspec.json.decode(summary, type=StudentSummary),
                )

    def _migrate(self) -> None:
        # The lock first: two programs may open a new store at the same moment.
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            self._run_migrations()
        except BaseException:
            self._connection.execute("ROLLBACK")
            self._connection.close()
            raise
        self._connection.execute("COMMIT")

    def _run_migrations(self) -> None:
        (version,) = self._connection.execute("PRAGMA user_version").fetchone()
        if version > len(_MIGRATIONS):
            raise UsageError(
                f"{self._path} was written by a newer version of the grader",
                next_step="install that version, or choose another --output",
            )
        for script in _MIGRATIONS[version:]:
            for statement in script.split(";"):
                self._connection.execute(statement)
        self._connection.execute(f"PRAGMA user_version = {len(_MIGRATIONS)}")
