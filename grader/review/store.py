"""The store of a class with the tables of the review; `grader.cohort.store` declares them.

Methods without a transaction of their own are called within the caller's, together with
`record_change`.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from grader.assignment.records import RubricItem
from grader.cohort.store import Store, StoredGrading
from grader.cohort.summary import now
from grader.errors import UsageError
from grader.review.decisions import KeptDecision
from grader.review.judgements import Judgement

FIRST, SECOND, COMPARED = 1, 2, 3
"""Readings. The first counts. COMPARED is the first as it stood when the second was written.

COMPARED stays, so that two people who settle a difference afterwards still count as differing.
"""


class ConflictError(UsageError):
    """Another grader changed the same thing in the meantime; nothing was overwritten."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """The answer of one student, or of several with the same words and pictures.

    Attributes:
        sha256: over the words, regardless of spaces and line breaks, and over the pictures.
        text: Markdown; empty if missing.
        pictures: file names.
        folder: of one student with this answer, below the output directory; holds the pictures.
        students: ids.
    """

    sha256: str
    text: str
    pictures: tuple[str, ...] = ()
    folder: str = ""
    students: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One student's answer to one item, with its judgement in one reading.

    Attributes:
        change: the number of the change that made the judgement, or 0.
        judgement: the latest, or None; of an earlier answer if `outdated`.
        answer_sha256: of the present answer; missing in old records of changes.
    """

    student_id: str
    item_id: str
    reading: int
    change: int
    judgement: Judgement | None
    answer_sha256: str = ""

    @property
    def outdated(self) -> bool:
        """True if the answer changed after the judgement."""
        return self.judgement is not None and self.judgement.answer_sha256 != self.answer_sha256

    @property
    def current(self) -> Judgement | None:
        """The judgement of the present answer, or None."""
        return None if self.outdated else self.judgement


@dataclass(frozen=True, kw_only=True)
class Change:
    """One line of the record of changes, which is append-only.

    Attributes:
        changed_at: ISO 8601, UTC.
        item_id: of the written item, or empty.
        before, after: the changed thing, as plain data.
        undoes: the number of the change that this one undid, or None.
    """

    number: int
    changed_at: str
    grader: str
    kind: str
    item_id: str
    before: Any
    after: Any
    undoes: int | None


class ReviewStore(Store):
    """The gradings of a class with answers, judgements, rubrics, graders and changes."""

    _sections: tuple[int, dict[str, str]] = (0, {})
    """By student, as of the grading of a number: reading them takes long."""

    def secret_key(self) -> bytes:
        """Return the key that signs invitations and sessions; make it on first use."""
        if self.setting("key") is None:
            # OR IGNORE: another process may make the key at the same moment.
            self._connection.execute(
                "INSERT OR IGNORE INTO settings (name, value) VALUES ('key', ?)",
                (secrets.token_hex(32),),
            )
        return bytes.fromhex(self.setting("key") or "")

    def double_share(self) -> float:
        """Return the share of answers that two people grade independently, 0 to 1."""
        return float(self.setting("double-share") or 0.0)

    def set_double_share(self, share: float, *, by: str) -> None:
        """Set the share of answers that two people grade independently, 0 to 1."""
        with self.transaction():
            before = self.double_share()
            self.record_change(grader=by, kind="double grading", before=before, after=share)
            self.keep_setting("double-share", repr(share))

    def shares(self) -> dict[str, str]:
        """Return the share of the answers of each grader who has one, such as "2/6"."""
        return msgspec.json.decode(self.setting("shares") or "{}", type=dict[str, str])

    def set_share(self, grader: str, share: str, *, by: str) -> None:
        """Give a grader a share of the answers, or all of them with ""."""
        with self.transaction():
            shares = self.shares()
            before = shares.pop(grader, "")
            if before == share:
                return
            shares |= {grader: share} if share else {}
            self.record_change(grader=by, kind=f"share of {grader}", before=before, after=share)
            self.keep_setting("shares", _encode(shares))

    def sections(self) -> dict[str, str]:
        """Return the section of each student whose roster has that column."""
        newest = self.last_number()
        if self._sections[0] != newest:
            students = (grading.summary.student for grading in self.automatic())
            found = {student.id: student.cell("section", "sections") for student in students}
            self._sections = newest, {name: section for name, section in found.items() if section}
        return self._sections[1]

    def collected(self) -> dict[str, int]:
        """Return the number of the grading from which each student's answers were collected."""
        rows = self._connection.execute("SELECT DISTINCT student_id, grading_id FROM answers")
        return dict(rows.fetchall())

    def replace_answers(
        self, grading: StoredGrading, answers: Iterable[tuple[str, Answer]]
    ) -> None:
        """Replace a student's answers by those of a grading, given by item id."""
        student_id = grading.summary.student.id
        common = grading.number, grading.summary.folder
        with self.transaction():
            self._connection.execute("DELETE FROM answers WHERE student_id = ?", (student_id,))
            self._connection.executemany(
                "INSERT INTO answers "
                "(student_id, item_id, grading_id, folder, sha256, text, pictures) "
                "VALUES (?, ?, ?, ?, ?, ?, ?)",
                (
                    (student_id, item_id, *common, each.sha256, each.text, _encode(each.pictures))
                    for item_id, each in answers
                ),
            )

    def drop_answers(self, student_ids: Iterable[str]) -> None:
        """Delete all answers of students."""
        with self.transaction():
            self._connection.executemany(
                "DELETE FROM answers WHERE student_id = ?", [(one,) for one in student_ids]
            )

    def answer(self, item_id: str, sha256: str) -> Answer | None:
        """Return the answer with this digest, or None if no student gives it any more."""
        rows = self._connection.execute(
            "SELECT text, pictures, folder, student_id FROM answers "
            "WHERE item_id = ? AND sha256 = ? ORDER BY student_id",
            (item_id, sha256),
        ).fetchall()
        if not rows:
            return None
        text, pictures, folder, _ = rows[0]
        return Answer(
            sha256=sha256,
            text=text,
            pictures=msgspec.json.decode(pictures, type=tuple[str, ...]),
            folder=folder,
            students=tuple(row[3] for row in rows),
        )

    def entries(
        self, item_id: str, *, reading: int = FIRST, sha256: str | None = None
    ) -> list[Entry]:
        """Return every student's entry for an item, by student; with `sha256` only its givers'."""
        rows = self._connection.execute(
            "SELECT answers.student_id, answers.sha256, judgement, change_id FROM answers "
            "LEFT JOIN judgements ON judgements.student_id = answers.student_id "
            "AND judgements.item_id = answers.item_id AND reading = ? "
            "WHERE answers.item_id = ? AND (? IS NULL OR answers.sha256 = ?) "
            "ORDER BY answers.student_id",
            (reading, item_id, sha256, sha256),
        )
        return [
            Entry(
                student_id=student_id,
                item_id=item_id,
                reading=reading,
                change=change or 0,
                judgement=_decode_judgement(judgement) if judgement is not None else None,
                answer_sha256=answer,
            )
            for student_id, answer, judgement, change in rows
        ]

    def standing(self, entry: Entry) -> tuple[int, Judgement] | None:
        """Return the judgement in an entry's place after the number of its change, or None."""
        row = self._connection.execute(
            "SELECT change_id, judgement FROM judgements "
            "WHERE student_id = ? AND item_id = ? AND reading = ?",
            (entry.student_id, entry.item_id, entry.reading),
        ).fetchone()
        return (row[0], _decode_judgement(row[1])) if row else None

    def put_judgement(self, entry: Entry, change: int) -> None:
        """Write an entry's judgement, or delete the judgement in its place if None."""
        place = entry.student_id, entry.item_id, entry.reading
        if entry.judgement is None:
            self._connection.execute(
                "DELETE FROM judgements WHERE student_id = ? AND item_id = ? AND reading = ?", place
            )
            return
        self._connection.execute(
            "REPLACE INTO judgements (student_id, item_id, reading, change_id, judgement) "
            "VALUES (?, ?, ?, ?, ?)",
            (*place, change, _encode(entry.judgement)),
        )

    def copy_judgements(self, student_id: str, to: str) -> None:
        """Copy a student's judgements of the answers that another one gives now.

        A judgement that the other one has of the same answer stays.
        """
        self._connection.execute(
            "REPLACE INTO judgements (student_id, item_id, reading, change_id, judgement) "
            "SELECT answers.student_id, item_id, reading, change_id, judgement "
            "FROM judgements AS theirs JOIN answers USING (item_id) "
            "WHERE theirs.student_id = ? AND answers.student_id = ? "
            "AND sha256 = json_extract(judgement, '$.answer_sha256') "
            "AND NOT EXISTS (SELECT 1 FROM judgements AS own "
            "WHERE own.student_id = answers.student_id AND own.item_id = theirs.item_id "
            "AND own.reading = theirs.reading "
            "AND json_extract(own.judgement, '$.answer_sha256') = sha256)",
            (student_id, to),
        )

    def keep_compared(self, item_id: str, sha256: str) -> None:
        """Copy the first reading of an answer to COMPARED."""
        self._connection.execute(
            "REPLACE INTO judgements (student_id, item_id, reading, change_id, judgement) "
            "SELECT student_id, item_id, ?, change_id, judgement FROM judgements "
            "JOIN answers USING (student_id, item_id) "
            "WHERE reading = ? AND item_id = ? AND sha256 = ?",
            (COMPARED, FIRST, item_id, sha256),
        )

    def decisions(self) -> dict[str, dict[str, KeptDecision]]:
        """Return every decision of a person in place of the grader, by student and target."""
        found: dict[str, dict[str, KeptDecision]] = {}
        rows = self._connection.execute(
            "SELECT student_id, target, decision FROM decisions ORDER BY student_id, target"
        )
        for student_id, target, decision in rows:
            kept = msgspec.json.decode(decision, type=KeptDecision)
            found.setdefault(student_id, {})[target] = kept
        return found

    def keep_decision(self, student_id: str, target: str, decision: KeptDecision | None) -> None:
        """Keep a decision in place of an earlier one, or take it back with None."""
        before = self.decisions().get(student_id, {}).get(target)
        by = decision.by if decision else before.by if before else ""
        with self.transaction():
            change = self.record_change(
                grader=by,
                kind=f"decision about {student_id}: {target}",
                before=before,
                after=decision,
            )
            if decision is None:
                self._connection.execute(
                    "DELETE FROM decisions WHERE student_id = ? AND target = ?",
                    (student_id, target),
                )
                return
            self._connection.execute(
                "REPLACE INTO decisions (student_id, target, change_id, decision) "
                "VALUES (?, ?, ?, ?)",
                (student_id, target, change, _encode(decision)),
            )

    def rubric_items(self, item_id: str) -> dict[str, RubricItem]:
        """Return the changed and added items of a rubric, by id."""
        rows = self._connection.execute(
            "SELECT id, text, points FROM rubric_items WHERE item_id = ? ORDER BY rowid", (item_id,)
        )
        return {row[0]: RubricItem(id=row[0], text=row[1], points=row[2]) for row in rows}

    def keep_rubric_item(self, item_id: str, item: RubricItem) -> None:
        """Change a rubric item or add one."""
        # Not REPLACE, which would move a changed item to the end.
        self._connection.execute(
            "INSERT INTO rubric_items (item_id, id, text, points) VALUES (?, ?, ?, ?) "
            "ON CONFLICT DO UPDATE SET text = excluded.text, points = excluded.points",
            (item_id, item.id, item.text, item.points),
        )

    def snippets(self, item_id: str, limit: int) -> list[str]:
        """Return the newest kept comments on an item, the oldest first, to keep their keys."""
        rows = self._connection.execute(
            "SELECT text FROM snippets WHERE item_id = ? ORDER BY rowid DESC LIMIT ?",
            (item_id, limit),
        ).fetchall()
        return [text for (text,) in reversed(rows)]

    def keep_snippet(self, item_id: str, text: str, *, grader: str) -> None:
        """Keep a comment for everyone who grades this item."""
        with self.transaction():
            added = self._connection.execute(
                "INSERT OR IGNORE INTO snippets (item_id, text) VALUES (?, ?)", (item_id, text)
            )
            if added.rowcount:
                self.record_change(grader=grader, kind="snippet", item_id=item_id, after=text)

    def generation(self, name: str) -> int | None:
        """Return how often a grader's invitations were revoked, or None if never invited."""
        row = self._connection.execute(
            "SELECT generation FROM graders WHERE name = ?", (name,)
        ).fetchone()
        return row[0] if row else None

    def set_generation(self, name: str, generation: int) -> None:
        """Add a grader, or count a revocation."""
        self._connection.execute(
            "REPLACE INTO graders (name, generation) VALUES (?, ?)", (name, generation)
        )

    def record_change(
        self,
        *,
        grader: str,
        kind: str,
        item_id: str = "",
        before: Any = None,
        after: Any = None,
        undoes: int | None = None,
    ) -> int:
        """Add a change and return its number."""
        cursor = self._connection.execute(
            "INSERT INTO changes (changed_at, grader, kind, item_id, before, after, undoes) "
            "VALUES (?, ?, ?, ?, ?, ?, ?)",
            (now(), grader, kind, item_id, _encode(before), _encode(after), undoes),
        )
        assert cursor.lastrowid is not None  # noqa: S101  # an INSERT has one
        return cursor.lastrowid

    def last_change(self) -> int:
        """Return the number of the newest change, or 0."""
        (number,) = self._connection.execute("SELECT coalesce(max(id), 0) FROM changes").fetchone()
        return int(number)

    def newest_changes(self, limit: int) -> list[Change]:
        """Return the newest changes, the newest first."""
        return list(self._changes("ORDER BY id DESC LIMIT ?", limit))

    def change(self, number: int) -> Change | None:
        """Return the change of this number, or None."""
        return next(self._changes("WHERE id = ?", number), None)

    def last_to_undo(self, grader: str) -> Change | None:
        """Return a grader's newest judgement that was not undone, or None."""
        found = self._changes(
            "WHERE grader = ? AND kind = 'judgement' AND id NOT IN "
            "(SELECT undoes FROM changes WHERE undoes IS NOT NULL) ORDER BY id DESC LIMIT 1",
            grader,
        )
        return next(found, None)

    def _changes(self, condition: str, *values: object) -> Iterator[Change]:
        columns = "id, changed_at, grader, kind, item_id, before, after, undoes"
        query = f"SELECT {columns} FROM changes {condition}"
        for row in self._connection.execute(query, values):
            before, after = map(msgspec.json.decode, row[5:7])
            yield Change(
                number=row[0],
                changed_at=row[1],
                grader=row[2],
                kind=row[3],
                item_id=row[4],
                before=before,
                after=after,
                undoes=row[7],
            )


def _encode(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _decode_judgement(encoded: str) -> Judgement:
    return msgspec.json.decode(encoded, type=Judgement)
