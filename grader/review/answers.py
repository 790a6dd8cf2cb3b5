"""The written answers of a class: found in the results once, then looked up by what they say."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import msgspec

from grader.assignment.records import Assignment, WrittenItem
from grader.cohort.store import Store
from grader.intake.pictures import list_pictures
from grader.results import SubmissionResult
from grader.review.judgements import is_for_a_person

_PICTURE = re.compile(r"!\[[^\[\]]{0,300}\]\(([^)\s]{1,300})")
"""A picture in Markdown, and what it is called; bounded, so that no text takes long to search."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What one student, or several with the same words and pictures, answered.

    Attributes:
        sha256: over the words, without regard to spaces and line breaks, and over the pictures.
        text: Markdown; empty if none was handed in.
        pictures: names of files that were handed in for this part.
        folder: of one who answered so, where the pictures lie, below the output directory.
        students: who answered so, by id.
    """

    sha256: str
    text: str
    pictures: tuple[str, ...] = ()
    folder: str = ""
    students: tuple[str, ...] = ()


def make_answer(text: str, pictures: tuple[str, ...]) -> Answer:
    """The answer with its digest."""
    content = "\x00".join((" ".join(text.split()), *pictures))
    return Answer(
        sha256=hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest(),
        text=text,
        pictures=pictures,
    )


NO_ANSWER = make_answer("", ())


def written_items(assignment: Assignment) -> dict[str, WrittenItem]:
    """What people grade, by item id, in order."""
    return {
        item_id: item for item_id, item in assignment.item_ids() if isinstance(item, WrittenItem)
    }


def collect_answers(store: Store, output: Path) -> None:
    """Look up the answers of every grading that is new since the last time."""
    known = dict(
        store.connection.execute("SELECT DISTINCT student_id, grading_id FROM answers").fetchall()
    )
    for grading in list(store.automatic()):
        student_id = grading.summary.student.id
        if known.get(student_id) == grading.number:
            continue
        result = store.automatic_result(grading.number)
        pictures = list_pictures(output / grading.summary.folder) if grading.summary.folder else []
        with store.transaction():
            store.connection.execute("DELETE FROM answers WHERE student_id = ?", (student_id,))
            for item_id, answer in _answers_in(result, pictures):
                store.connection.execute(
                    "INSERT INTO answers VALUES (?, ?, ?, ?, ?, ?, ?)",
                    (
                        student_id,
                        item_id,
                        grading.number,
                        grading.summary.folder,
                        answer.sha256,
                        answer.text,
                        msgspec.json.encode(answer.pictures).decode(),
                    ),
                )


def _answers_in(
    result: SubmissionResult | None, pictures: list[str]
) -> Iterator[tuple[str, Answer]]:
    for item in result.items() if result else []:
        if is_for_a_person(item):
            text = item.written_text or ""
            yield item.id, make_answer(text, _pictures_for(item.id, text, pictures))


def _pictures_for(item_id: str, text: str, pictures: list[str]) -> tuple[str, ...]:
    """The pictures that the text names, and those whose own name begins with the part's id."""
    part = item_id.partition(".")[0].lower()
    named = {PurePosixPath(target).stem.lower() for target in _PICTURE.findall(text)}
    return tuple(
        picture
        for picture in pictures
        if picture.lower().startswith(part) or picture.rpartition("-")[0].lower() in named
    )


def read_answer(store: Store, item_id: str, sha256: str) -> Answer | None:
    """The answer with this digest, or None if nobody gives it any more."""
    rows = store.connection.execute(
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
