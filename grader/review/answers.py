"""The written answers of a class: collected from the results once, then looked up by digest."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from grader.assignment.records import Assignment, WrittenItem
from grader.intake.pictures import list_pictures
from grader.results import SubmissionResult
from grader.review.judgements import can_be_judged
from grader.review.store import Answer, ReviewStore

_PICTURE = re.compile(r"!\[[^\[\]]{0,300}\]\(([^)\s]{1,300})")
"""A picture in Markdown, with its target. Bounded, so that no text takes long to search."""


def make_answer(text: str, pictures: tuple[str, ...]) -> Answer:
    """Return the answer with its digest."""
    content = "\x00".join((" ".join(text.split()), *pictures))
    return Answer(
        sha256=hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest(),
        text=text,
        pictures=pictures,
    )


NO_ANSWER = make_answer("", ())


def written_items(assignment: Assignment) -> dict[str, WrittenItem]:
    """Return the items that people grade, by id, in order."""
    return {
        item_id: item for item_id, item in assignment.item_ids() if isinstance(item, WrittenItem)
    }


def collect_answers(store: ReviewStore, output: Path) -> None:
    """Look up the answers of every grading that is new since the last call."""
    known = store.collected()
    for grading in list(store.automatic()):
        summary = grading.summary
        if known.get(summary.student.id) != grading.number:
            pictures = list_pictures(output / summary.folder) if summary.folder else []
            result = store.automatic_result(grading.number)
            store.replace_answers(grading, _answers_in(result, pictures))


def _answers_in(
    result: SubmissionResult | None, pictures: list[str]
) -> Iterator[tuple[str, Answer]]:
    for item in result.items() if result else []:
        if can_be_judged(item):
            text = item.written_text or ""
            yield item.id, make_answer(text, _pictures_for(item.id, text, pictures))


def _pictures_for(item_id: str, text: str, pictures: list[str]) -> tuple[str, ...]:
    """Return the pictures that the text names or whose own name begins with the part's id."""
    part = item_id.partition(".")[0].lower()
    named = {PurePosixPath(target).stem.lower() for target in _PICTURE.findall(text)}
    return tuple(
        picture
        for picture in pictures
        if picture.lower().startswith(part) or picture.rpartition("-")[0].lower() in named
    )
