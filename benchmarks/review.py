"""The time until the next answer on the page of `grade review`.

A class of 500 students, each with eight written answers of the reference's length that nobody else
gives, is stored from one real grading. Then `grade review` serves it, reports are published in the
background as ever, and one grader judges answer after answer over loopback. A time runs from
sending a judgement until the whole page of the next answer is there.
"""

from __future__ import annotations

import re
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from statistics import median, quantiles

import httpx

from benchmarks.measuring import Outcome, Settings
from grader.cohort.store import STORE_NAME
from grader.intake.students import Student
from grader.results import SubmissionResult
from grader.review.answers import collect_answers
from grader.review.store import ReviewStore
from tests.support.review_class import WRITTEN, make_class
from tests.support.review_server import ReviewServer

FIRST = "student-0000"


def measure_review(settings: Settings) -> Outcome:
    """One grader, a whole class."""
    students = 20 if settings.small else 500
    answers_per_item = settings.repetitions or (5 if settings.small else 50)
    with tempfile.TemporaryDirectory() as directory:
        output = make_class(Path(directory), {FIRST: {}})
        fill_class(output, students)
        with ReviewServer(output) as server:
            seconds = judge_answers(server, answers_per_item)
    heading = ("students x parts", "n", "median", "95th percentile", "most")
    figures = (median(seconds), quantiles(seconds, n=20)[-1], max(seconds))
    milliseconds = [f"{1000 * value:.0f} ms" for value in figures]
    return Outcome(
        table=[heading, (f"{students} x {len(WRITTEN)}", str(len(seconds)), *milliseconds)],
        record={"seconds": seconds},
    )


def fill_class(output: Path, students: int) -> None:
    """Store the first student's result again for all others, with words of their own."""
    with ReviewStore(output / STORE_NAME) as store:
        (first,) = store.summaries()
        result = store.result(FIRST)
        assert result is not None
        for number in range(1, students):
            student_id = f"student-{number:04}"
            store.record(
                replace(first, student=Student(id=student_id), folder=student_id),
                inputs_sha256="",
                result=with_own_words(result, student_id),
            )
        collect_answers(store, output)


def with_own_words(result: SubmissionResult, student_id: str) -> SubmissionResult:
    """The result with a line added to every written answer."""
    problems = []
    for problem in result.problems:
        parts = [
            replace(
                part,
                items=tuple(
                    replace(item, written_text=f"{item.written_text}\n\nSigned {student_id}.")
                    if item.written_text
                    else item
                    for item in part.items
                ),
            )
            for part in problem.parts
        ]
        problems.append(replace(problem, parts=tuple(parts)))
    return replace(result, name=student_id, problems=tuple(problems))


def judge_answers(server: ReviewServer, answers_per_item: int) -> list[float]:
    """Judge that many answers to every item; the seconds of each."""
    seconds = []
    with httpx.Client(base_url=server.address, follow_redirects=True, timeout=60) as client:
        page = client.get(server.link)
        token = server.link.partition("token=")[2]
        client.post("/join", data={"csrf": field(page.text, "csrf"), "token": token})
        for item_id in WRITTEN:
            page = client.get(f"/items/{item_id}/next")
            for _ in range(answers_per_item):
                form = {name: field(page.text, name) for name in ("csrf", "seen", "found")}
                started = time.perf_counter()
                page = client.post(str(page.url), data=form | {"comment": "Well put."})
                seconds.append(time.perf_counter() - started)
                page.raise_for_status()
    return seconds


def field(text: str, name: str) -> str:
    """The value of the first field of that name."""
    found = re.search(rf'name="{name}" value="([^"]*)"', text)
    assert found, f"no field {name}"
    return found[1]
