"""Put judgements into results: the report, result.json and the class's row follow."""

from __future__ import annotations

import os
import signal
import time
from collections import defaultdict
from dataclasses import replace
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory

from grader.assignment.records import Assignment
from grader.cohort.class_page import refresh_class_page
from grader.cohort.people import read_matches
from grader.cohort.summary import summarize_items
from grader.models.digest import digest_of
from grader.report.files import write_reports
from grader.results import SubmissionResult
from grader.review.answers import collect_answers
from grader.review.decisions import apply_decisions, decide_summary, split_by_work
from grader.review.judgements import Judgement, apply_judgements
from grader.review.rubrics import rubric_versions, rubrics_in_force
from grader.review.store import ReviewStore

POLL_SECONDS = 0.3


def publish(store: ReviewStore, assignment: Assignment, output: Path) -> list[str]:
    """Bring every result up to date with the judgements; return the ids of changed students.

    Results that are up to date are not touched, so `publish` can be killed and repeated.
    """
    collect_answers(store, output)
    rubrics = rubrics_in_force(store, assignment)
    versions = rubric_versions(store)
    judgements: dict[str, dict[str, Judgement]] = defaultdict(dict)
    for item_id in dict.fromkeys(chain(rubrics, *versions.values())):
        for entry in store.entries(item_id):
            if entry.current is not None:
                judgements[entry.student_id][item_id] = entry.current
    published = store.published()
    decisions = store.decisions()
    changed = []
    for grading in list(store.automatic()):
        student_id = grading.summary.student.id
        judged = judgements[student_id]
        decided = decisions.get(student_id, {})
        digest = digest_of(judged, {item_id: rubrics.get(item_id) for item_id in judged})
        if judged and len(versions) > 1:
            digest = digest_of(digest, versions)
        if decided:
            digest = digest_of(digest, decided)
        known = published.get(grading.number)
        if known == digest or (not judged and not decided and known is None):
            continue
        automatic = store.automatic_result(grading.number)
        current, outdated = split_by_work(decided, automatic)
        summary = replace(
            decide_summary(grading.summary, current, outdated),
            requests=tuple(f"{name}: {one.request}" for name, one in judged.items() if one.request),
        )
        result = None
        if automatic is not None:
            used = versions.get(automatic.provenance.assignment_sha256, rubrics)
            result = apply_decisions(apply_judgements(automatic, judged, used), current)
            summary = replace(summary, items=summarize_items(result))
            # The files first: after a kill in between, the next run repeats this student.
            _replace_reports(result, output / summary.folder)
        score = result.score if result is not None else summary.score
        summary = summary.with_score(score, grading.summary.late)
        store.publish(grading.number, summary, result, judgements_sha256=digest)
        changed.append(student_id)
    if changed:
        refresh_class_page(store, output, title=assignment.title)
    return changed


def hand_on_judgements(store: ReviewStore, output: Path) -> None:
    """Give the judgements of a submission to the students whose it is, as a person said."""
    matches = read_matches(store)
    if not matches:
        return
    collect_answers(store, output)
    with store.transaction():
        for label, student_ids in matches.items():
            for holder in store.holders(label):
                for student_id in student_ids:
                    store.copy_judgements(holder, student_id)


def _replace_reports(result: SubmissionResult, folder: Path) -> None:
    """Replace the reports file by file, so that readers see whole files at every moment."""
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=".review-", dir=folder) as unfinished:
        write_reports(result, Path(unfinished))
        for file in Path(unfinished).iterdir():
            file.replace(folder / file.name)


def publish_while_parent_lives(output: Path, assignment: Assignment) -> None:
    """Publish after every change, until the parent process has exited.

    Run in a separate process, so that five hundred reports do not delay the graders.
    """
    parent = os.getppid()
    os.nice(10)
    # Ctrl-C goes to the whole process group; the parent terminates this process when it is done.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with ReviewStore.open_existing(output) as store:
        seen: tuple[int, int] | None = None
        while os.getppid() == parent:
            newest = store.last_change(), store.last_number()
            if newest != seen:
                publish(store, assignment, output)
                seen = newest
            time.sleep(POLL_SECONDS)
