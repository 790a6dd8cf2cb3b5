"""Judgements go into results: report, result.json and the row of the class follow."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from grader.assignment.records import Assignment, Rubric
from grader.cohort.page import refresh_class_page
from grader.cohort.store import Store, StoredGrading
from grader.cohort.summary import summarize_items
from grader.digest import digest_of
from grader.report.files import write_reports
from grader.results import SubmissionResult
from grader.review.answers import collect_answers, written_items
from grader.review.changes import last_change
from grader.review.judgements import Judgement, apply_judgements
from grader.review.ledger import judgements_of
from grader.review.rubrics import rubric_in_force

POLL_SECONDS = 0.3


def publish(store: Store, assignment: Assignment, output: Path) -> list[str]:
    """Bring every result up to date with the judgements; returns the students that changed.

    What is up to date is not touched, so this can be ended at any moment and begun again.
    """
    collect_answers(store, output)
    rubrics = {item_id: rubric_in_force(store, assignment, item_id) for item_id in _ids(assignment)}
    judgements = judgements_of(store)
    published = dict(
        store.connection.execute("SELECT grading_id, judgements_sha256 FROM published").fetchall()
    )
    changed = []
    for grading in list(store.automatic()):
        student_id = grading.summary.student.id
        judged = judgements.get(student_id, {})
        digest = digest_of(judged, {item_id: rubrics[item_id] for item_id in judged})
        known = published.get(grading.number)
        if (known is None and judged) or (known is not None and known != digest):
            _publish_one(store, output, grading, judged, rubrics, digest)
            changed.append(student_id)
    if changed:
        refresh_class_page(store, output, title=assignment.title)
    return changed


def _publish_one(
    store: Store,
    output: Path,
    grading: StoredGrading,
    judged: Mapping[str, Judgement],
    rubrics: Mapping[str, Rubric],
    digest: str,
) -> None:
    automatic = store.automatic_result(grading.number)
    if automatic is None:
        return
    result = apply_judgements(automatic, judged, rubrics)
    final_points, late = grading.summary.late.applied_to(result.score.earned)
    if result.late is not None:
        result = replace(result, late=late)
    summary = replace(
        grading.summary,
        score=result.score,
        items=summarize_items(result),
        final_points=final_points,
        late=late,
    )
    # The files first: if this is cut short, the next run finds the student undone and repeats.
    _replace_reports(result, output / summary.folder)
    store.publish(grading.number, summary, result, judgements_sha256=digest)


def _replace_reports(result: SubmissionResult, folder: Path) -> None:
    """Write the reports anew, so that whoever reads them meanwhile has the old or the new ones."""
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=".review-", dir=folder) as unfinished:
        write_reports(result, Path(unfinished))
        for file in Path(unfinished).iterdir():
            file.replace(folder / file.name)


def publish_while_parent_lives(output: Path, assignment: Assignment) -> None:
    """Publish whenever something changed, until the process that started this one has ended.

    In a process of its own, so that writing five hundred reports delays nobody who grades.
    """
    parent = os.getppid()
    os.nice(10)
    # Ctrl-C goes to the whole process group; the parent ends this one when it is done.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with Store.open_existing(output) as store:
        seen: tuple[int, int] | None = None
        while os.getppid() == parent:
            newest = last_change(store), store.last_number()
            if newest != seen:
                publish(store, assignment, output)
                seen = newest
            time.sleep(POLL_SECONDS)


def _ids(assignment: Assignment) -> list[str]:
    return list(written_items(assignment))
