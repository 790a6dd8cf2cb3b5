"""A class to review: real gradings of variants of the reference, in a store as `grade batch`
leaves it.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from PIL import Image

from grader.assignment.loading import load_assignment
from grader.assignment.records import Assignment, WrittenItem
from grader.cohort.store import STORE_NAME
from grader.cohort.summary import Status, StudentSummary, now, summarize_items
from grader.grading.options import Options
from grader.grading.pipeline import grade_submission
from grader.intake.pictures import keep_pictures
from grader.intake.private_copy import collect
from grader.intake.students import Student
from grader.report.files import write_reports
from grader.results import SubmissionResult
from grader.review.answers import collect_answers
from grader.review.judgements import Judgement
from grader.review.ledger import entries_version, judge
from grader.review.store import ReviewStore
from tests.support.paths import REFERENCE

SET4 = load_assignment("set4")
WRITTEN = tuple(item_id for item_id, item in SET4.item_ids() if item.graded_by_person)

HOSTILE = (
    """\
<script>document.title = 'owned'</script><style>* { display: none }</style>
<iframe src="https://evil.example/"></iframe> [click](javascript:alert(1))
![remote](https://evil.example/pixel.png) <img src=x onerror="document.title='owned'">
$\\href{javascript:alert(1)}{x}$ $\\text{<script>document.title='owned'</script>}$

| a |
|---|
"""
    + "| long |\n" * 1500
)


class _Silent:
    """An observer that does nothing."""

    def __getattr__(self, _name: str) -> Callable[..., None]:
        return lambda *_arguments, **_named: None


def make_class(output: Path, answers: dict[str, dict[str, str | None]]) -> Path:
    """Grade one submission for each student, and keep the results in `output`.

    Args:
        output: of the class.
        answers: by student id, the differences from the reference: the written text by part, with
            None for a missing file.
    """
    with ReviewStore(output / STORE_NAME) as store:
        for student_id, changed in answers.items():
            hand_in(store, output, student_id, changed)
        collect_answers(store, output)
    return output


def hand_in(
    store: ReviewStore,
    output: Path,
    student_id: str,
    changed: dict[str, str | None],
    *,
    picture: str = "",
) -> None:
    """Grade the reference with some answers changed, as this student's newest submission.

    Args:
        store: of the class.
        output: of the class.
        student_id: of the submission.
        changed: the written text by part; None for a missing file.
        picture: the name of a drawing to submit with it, or empty.
    """
    directory = output / "submissions" / student_id
    shutil.rmtree(directory, ignore_errors=True)
    shutil.copytree(REFERENCE, directory)
    for part, text in changed.items():
        file = directory / "written" / f"{part}.md"
        if text is None:
            file.unlink()
        else:
            file.write_text(text, encoding="utf-8")
    if picture:
        Image.new("RGB", (300, 200), "orange").save(directory / "written" / picture)
    options = Options(only=WRITTEN, quick=True)
    result = grade_submission(directory, SET4, options, _Silent()).result
    with collect(directory, SET4.files()) as submission:
        keep_pictures(submission, output / student_id)
    keep_result(store, output, student_id, result)


def keep_result(
    store: ReviewStore, output: Path, student_id: str, result: SubmissionResult
) -> None:
    """Write the reports of a result, and keep it as this student's newest."""
    summary = StudentSummary(
        student=Student(id=student_id),
        status=Status.GRADED,
        score=result.score,
        folder=student_id,
        items=summarize_items(result),
    )
    write_reports(result, output / student_id)
    store.record(summary, inputs_sha256="", result=result)


def give(
    store: ReviewStore,
    item_id: str,
    student_id: str,
    *found: str,
    grader: str = "grace",
    reading: int = 1,
    **fields: object,
) -> None:
    """Judge a student's answer right after looking at it."""
    mine = next(
        entry for entry in store.entries(item_id, reading=reading) if entry.student_id == student_id
    )
    entries = store.entries(item_id, reading=reading, sha256=mine.answer_sha256)
    judgement = Judgement(
        grader=grader,
        rubric_items=found,
        answer_sha256=mine.answer_sha256,
        judged_at=now(),
        **fields,
    )
    judge(store, item_id, judgement, seen=entries_version(entries), reading=reading)


def all_positive(assignment: Assignment, item_id: str) -> list[str]:
    """Return the ids of the rubric items that give points."""
    item = dict(assignment.item_ids())[item_id]
    assert isinstance(item, WrittenItem)
    return [found.id for found in item.rubric.items if found.points > 0]
