"""Check an assignment: it loads, its reference earns everything, and its template nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from grader.assignment.loading import home_of, load_assignment
from grader.assignment.records import Assignment, VersionsItem
from grader.errors import AssignmentError
from grader.grading.options import Options
from grader.grading.pipeline import Observer, grade_submission
from grader.results import ItemResult, Outcome, SubmissionResult

_CHECKOUT = Path(__file__).parents[2]
"""The grader's repository, where set4's reference and template lie at the top."""


@dataclass(frozen=True, kw_only=True)
class Fault:
    """Something about an assignment that its author must change.

    Attributes:
        where: an item, a file or a line.
    """

    where: str
    message: str
    next_step: str = ""


@dataclass(frozen=True, kw_only=True)
class Sides:
    """An author's own solution, and what students begin with; None if there is none."""

    reference: Path | None
    template: Path | None


def find_sides(name: str) -> Sides:
    """Return the reference and the template of an assignment, which lie beside its file."""
    places = {"reference": "reference", "template": "template"}
    home = home_of(name)
    if name == "set4":
        places, home = {"reference": "reference", "template": "student_template"}, _CHECKOUT
    found = {side: home / place for side, place in places.items()}
    return Sides(**{side: path if path.is_dir() else None for side, path in found.items()})


def check_assignment(
    name: str, sides: Sides, options: Options, observer: Observer
) -> Iterator[Fault]:
    """Yield every fault; those of the file first, since nothing can be graded with them.

    Args:
        name: of a bundled assignment, or the path of an author's.
        sides: the solution and the template to grade.
        options: the data, and whether to practise on the small set.
        observer: shows the progress.

    Raises:
        GraderError: this machine cannot grade.
    """
    try:
        assignment = load_assignment(name, needs_key=True)
        yield from _check_reference(assignment, sides.reference, options, observer)
        yield from _check_template(assignment, sides.template, options, observer)
    except AssignmentError as error:
        for mistake in error.mistakes:
            where, _, message = mistake.partition(": ")
            yield Fault(where=where, message=message or mistake)


def _check_reference(
    assignment: Assignment, directory: Path | None, options: Options, observer: Observer
) -> Iterator[Fault]:
    if directory is None:
        yield Fault(
            where="reference/",
            message="is missing, so nothing shows that the assignment can be solved",
            next_step="write your own solution there",
        )
        return
    result = _grade(directory, assignment, options, observer)
    for item in result.items():
        lost = item.score.lost + item.score.undecided
        if lost:
            yield _explain_loss(item, lost)


def _explain_loss(item: ItemResult, lost: float) -> Fault:
    deciding = next(check for check in item.checks if check.outcome is not Outcome.PASSED)
    next_step = deciding.next_step
    if deciding.id.startswith("accuracy"):
        next_step = "lower the threshold, or improve the reference; `grade assignment calibrate` "
        next_step += "proposes a threshold"
    observed = f"{deciding.title}: {deciding.observed}"
    if deciding.expected:
        observed += f" (expected: {deciding.expected})"
    return Fault(
        where=f"reference, {item.id}",
        message=f"loses {lost:g} of {item.score.possible:g} points. {observed}",
        next_step=next_step,
    )


def _check_template(
    assignment: Assignment, directory: Path | None, options: Options, observer: Observer
) -> Iterator[Fault]:
    if directory is None:
        yield Fault(
            where="template/",
            message="is missing, so students have nothing to begin with",
            next_step="write it with `grade assignment template`",
        )
        return
    records = dict(assignment.item_ids())
    for item in _grade(directory, assignment, options, observer).items():
        # The installed versions need no student's thought.
        if item.score.earned and not isinstance(records[item.id], VersionsItem):
            yield Fault(
                where=f"template, {item.id}",
                message=f"earns {item.score.earned:g} of {item.score.possible:g} points as it is, "
                "so it gives an answer away",
                next_step="take the answer out of the template, or ask for another one",
            )


def _grade(
    directory: Path, assignment: Assignment, options: Options, observer: Observer
) -> SubmissionResult:
    options = replace(options, shows_hidden=True, may_fall_back=False)
    return grade_submission(directory, assignment, options, observer).result
