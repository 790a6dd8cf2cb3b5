"""All of `grade reference`, from a cold start to the report, and the same by the course's loop.

The course's loop trains the four models and the ten of the sweep one after the other. Both must
come to the same verdicts.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.course_data import course_data
from benchmarks.measuring import (
    GRADE,
    REFERENCE,
    Outcome,
    Settings,
    command_seconds,
    measure_in_turn,
    run_command,
    tabulate_seconds,
)
from grader.assignment.loading import load_assignment
from grader.assignment.records import Assignment, ModelItem, SweepItem
from grader.grading.items.chance import sweep_tolerance

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.measuring import Row

MINE, COURSE = "`grade reference --no-cache`", "course loop"


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Both verdicts on one item.

    Attributes:
        item_id: "2C".
        expected: in words.
        grader, course: what was measured, in words.
        grader_passed, course_passed: the verdicts.
    """

    item_id: str
    expected: str
    grader: str
    course: str
    grader_passed: bool
    course_passed: bool

    def row(self) -> Row:
        """For the table."""
        verdicts = [
            f"{measured}: {'passed' if passed else 'FAILED'}"
            for measured, passed in (
                (self.grader, self.grader_passed),
                (self.course, self.course_passed),
            )
        ]
        return (self.item_id, self.expected, *verdicts)


def measure_whole(settings: Settings) -> Outcome:
    """Both in turn, each a process of its own."""
    accuracies: dict[str, Any] = {}
    with course_data(settings) as data, tempfile.TemporaryDirectory() as reports:

        def grade_seconds() -> float:
            options = ["--no-cache", "--output", reports, *settings.data_options()]
            return command_seconds([GRADE, REFERENCE, *options])

        def course_seconds() -> float:
            started = time.perf_counter()
            threads = "1" if settings.one_thread else "0"
            accuracies.update(course_grading("--data", str(data), "--threads", threads))
            return time.perf_counter() - started

        seconds = measure_in_turn(
            {MINE: grade_seconds, COURSE: course_seconds}, settings.repetitions or 1
        )
        result = json.loads(Path(reports, REFERENCE.name, "result.json").read_text())
    assignment = load_assignment("set4", submission=REFERENCE)
    verdicts = compare_verdicts(
        assignment.for_practice() if settings.small else assignment, result, accuracies
    )
    heading = ("item", "expected", "grader", "course loop")
    return Outcome(
        table=tabulate_seconds(seconds),
        record={"seconds": seconds, "course_accuracies": accuracies},
        remarks=[
            Outcome(table=[heading, *(v.row() for v in verdicts)], record={}).as_markdown(),
            describe_agreement(verdicts),
        ],
    )


def course_grading(*options: str) -> dict[str, Any]:
    """The accuracies that `benchmarks.course_grading` comes to, in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.course_grading", "--submission", str(REFERENCE)]
    accuracies: dict[str, Any] = json.loads(run_command([*command, *options]))
    return accuracies


def graded_items(result: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The items of a result.json by id."""
    return {
        item["id"]: item
        for problem in result["problems"]
        for part in problem["parts"]
        for item in part["items"]
    }


def compare_verdicts(
    assignment: Assignment, result: dict[str, Any], course: dict[str, Any]
) -> list[Verdict]:
    """Return the grader's verdict on every trained item, and that of the course's accuracies."""
    graded = graded_items(result)
    verdicts = []
    for item_id, item in assignment.item_ids():
        if isinstance(item, ModelItem):
            counted = item.hardest.epoch
            expected = item.hardest.value
            runs = [
                [epoch["test_accuracy"] for epoch in run["epochs"]]
                for run in graded[item_id]["training"]["runs"]
            ]
            accuracy = max(_counted(run, counted) for run in runs)
            course_accuracy = _counted(course[item_id.partition(".")[0]][0], counted)
            verdicts.append(
                Verdict(
                    item_id=item_id,
                    expected=f"{counted} epoch at {expected:.4f}",
                    grader=f"{accuracy:.4f}",
                    course=f"{course_accuracy:.4f}",
                    grader_passed=graded[item_id]["outcome"] == "passed",
                    course_passed=course_accuracy >= expected,
                )
            )
        elif isinstance(item, SweepItem) and item.judged:
            points = graded[item_id]["sweep"]
            agreeing = sum(
                abs(accuracy - point["reported"]) <= sweep_tolerance(accuracy)
                for accuracy, point in zip(course["sweep"], points, strict=True)
            )
            verdicts.append(
                Verdict(
                    item_id=item_id,
                    expected=f"{item.minimum_agreeing} of {len(points)} agree",
                    grader=f"{sum(point['agrees'] for point in points)} agree",
                    course=f"{agreeing} agree",
                    grader_passed=graded[item_id]["outcome"] == "passed",
                    course_passed=agreeing >= item.minimum_agreeing,
                )
            )
    return verdicts


def _counted(accuracies: Sequence[float], epoch: str) -> float:
    return max(accuracies) if epoch == "best" else accuracies[-1]


def describe_agreement(verdicts: Sequence[Verdict]) -> str:
    """One sentence."""
    apart = [v.item_id for v in verdicts if v.grader_passed != v.course_passed]
    if apart:
        return f"The verdicts DIFFER for {', '.join(apart)}."
    return f"All {len(verdicts)} verdicts are the same."
