"""The answers that people grade: collected from the results once, then looked up by digest.

They are the written answers, and what the grader leaves to a person of other items.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from grader.assignment.records import record_of
from grader.intake.pictures import is_mentioned, list_pictures
from grader.report.wording import open_questions, percentage, source_sentence
from grader.results import ItemResult, SubmissionResult
from grader.review.judgements import can_be_judged
from grader.review.store import Answer, ReviewStore


def make_answer(text: str, pictures: tuple[str, ...], *, whose: str = "") -> Answer:
    """Return the answer with its digest; with `whose`, it is one student's alone."""
    content = "\x00".join((" ".join(text.split()), *pictures, *filter(None, [whose])))
    return Answer(
        sha256=hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest(),
        text=text,
        pictures=pictures,
    )


NO_ANSWER = make_answer("", ())


def collect_answers(store: ReviewStore, output: Path) -> None:
    """Look up the answers of every grading that is new since the last call.

    Answers of those who left the class are dropped; their judgements stay.
    """
    known = store.collected()
    gradings = list(store.automatic())
    if left := known.keys() - {grading.summary.student.id for grading in gradings}:
        store.drop_answers(left)
    for grading in gradings:
        summary = grading.summary
        if known.get(summary.student.id) != grading.number:
            pictures = list_pictures(output / summary.folder) if summary.folder else []
            result = store.automatic_result(grading.number)
            found = _answers_in(result, pictures, grading.summary.student.id)
            store.replace_answers(grading, found)


def _answers_in(
    result: SubmissionResult | None, pictures: list[str], student_id: str
) -> Iterator[tuple[str, Answer]]:
    items = [item for item in result.items() if can_be_judged(item)] if result else []
    written = [item for item in items if record_of(item.kind).graded_by_person]
    claims = {
        item.id: _pictures_for(item.id, item.written_text or "", pictures) for item in written
    }
    # A person must see those that no answer claims somewhere.
    others = frozenset(pictures).difference(*claims.values())
    for item in items:
        if record_of(item.kind).graded_by_person:
            shown = tuple(one for one in pictures if one in others or one in claims[item.id])
            yield item.id, make_answer(item.written_text or "", shown)
        else:
            # The same words may be about two programs, so they are never graded together.
            yield item.id, make_answer(_describe_open(item), (), whose=student_id)


def _describe_open(item: ItemResult) -> str:
    """Return what the grader leaves to a person, in Markdown."""
    lines = [item.title]
    for check in open_questions(item.checks):
        lines += [check.observed, *([f"Where: {check.location}"] if check.location else [])]
    if item.source is not None:
        lines.append(source_sentence(item.source))
    lines += [
        f"p = {point.probability:.2f}: reproduced {', '.join(map(percentage, point.reproduced))}"
        for point in item.sweep
    ]
    return "\n\n".join(lines)


def _pictures_for(item_id: str, text: str, pictures: list[str]) -> frozenset[str]:
    """Return the pictures that the text names or whose own name begins with the part's id."""
    part = item_id.partition(".")[0].lower()
    return frozenset(
        picture
        for picture in pictures
        if picture.lower().startswith(part) or is_mentioned(picture, text)
    )
