"""Match submissions to the roster."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from grader.errors import UnusableSubmissionError, UsageError
from grader.intake.archives import is_archive, unpack_class
from grader.intake.layouts import FoundSubmission, IntakeProblem, Layout, read_list, recognise
from grader.intake.private_directory import private_directory
from grader.intake.roster import Roster
from grader.intake.students import Student
from grader.intake.submitted import SubmittedWork
from grader.text import clean_line, display_name

_Assigned = tuple[FoundSubmission, Student]


@dataclass(frozen=True, kw_only=True)
class Intake:
    """A class's submissions, matched to its roster.

    Attributes:
        submitted: one for each student, in the roster's order, those not on the roster last.
        missing: students on the roster without a submission.
        problems: submissions of unknown or ambiguous students, then entries that are not
            submissions, or were understood only in part.
        recognised: sentences about the layout.
    """

    submitted: tuple[SubmittedWork, ...]
    missing: tuple[Student, ...] = ()
    problems: tuple[IntakeProblem, ...] = ()
    recognised: tuple[str, ...] = ()


@contextmanager
def find_submissions(directory: Path, roster: Roster | None = None) -> Iterator[Intake]:
    """Find a class's submissions; those from an archive of the class are deleted at the end.

    Args:
        directory: a directory with the submissions in one of the layouts that
            `grader.intake.layouts` names, an archive of such a directory, or a list of
            paths.
        roster: the students of the course; without a roster, everyone found is a student.

    Raises:
        UsageError: there is no submission.
        MachineError: the disk is too full to unpack an archive.
    """
    with _read_layout(directory) as layout:
        if not layout.found:
            raise UsageError(
                f"no submissions found in {display_name(str(directory))}",
                next_step="name a directory that has a directory or an archive for each student, "
                "or a download from Canvas, Moodle or Gradescope",
            )
        yield _match(layout, roster)


@contextmanager
def _read_layout(directory: Path) -> Iterator[Layout]:
    if directory.is_file() and is_archive(directory.name):
        with private_directory() as private:
            try:
                unpacked = unpack_class(directory, private / "class")
            except UnusableSubmissionError as error:
                raise UsageError(str(error), next_step="download it again") from None
            yield recognise(unpacked.root, unpacked.refusals)
    elif directory.is_dir():
        yield recognise(directory, {})
    elif directory.exists():
        yield read_list(directory)
    else:
        raise UsageError(
            f"there is no directory {display_name(str(directory))}",
            next_step="name the directory, or the archive, that holds the submissions",
        )


def _match(layout: Layout, roster: Roster | None) -> Intake:
    """Match every submission to its student."""
    if roster is None:
        students = [(found, found.identity.to_student(on_roster=True)) for found in layout.found]
        return _require_one_each(layout, students)
    roster_ids = {student.id.casefold() for student in roster.students}
    assigned = []
    extra = []
    ambiguous = []
    for found in layout.found:
        candidates = roster.match(found.identity)
        if len(candidates) == 1:
            assigned.append((found, candidates[0]))
            continue
        outsider = found.identity.to_student(on_roster=False)
        if outsider.id.casefold() in roster_ids:
            # The id is another student's, who must not get this grade.
            outsider = replace(outsider, id=f"{outsider.id} (not on the roster)")
        assigned.append((found, outsider))
        shown = clean_line(outsider.name or outsider.id)
        if candidates:
            names = " or ".join(_describe(student) for student in candidates[:5])
            message = f"{shown} may be {names}: name it by an id of the roster"
            ambiguous.append(IntakeProblem(source=_place(found), message=message))
        else:
            message = f"{shown} is not on the roster"
            extra.append(IntakeProblem(source=_place(found), message=message))
    order = {student.id: position for position, student in enumerate(roster.students)}
    assigned.sort(key=lambda pair: order.get(pair[1].id, len(order)))
    matched = {student.id for _, student in assigned if student.on_roster}
    intake = _require_one_each(layout, assigned)
    return replace(
        intake,
        missing=tuple(student for student in roster.students if student.id not in matched),
        problems=(*extra, *ambiguous, *intake.problems),
    )


def _require_one_each(layout: Layout, assigned: list[_Assigned]) -> Intake:
    """Refuse all submissions of a student who has several: choosing one would be a guess."""
    by_student: dict[str, list[_Assigned]] = {}
    for found, student in assigned:
        by_student.setdefault(student.id.casefold(), []).append((found, student))
    submitted = []
    ambiguous = []
    for pairs in by_student.values():
        found, student = pairs[0]
        work = SubmittedWork(student=student, **vars(found))
        if len(pairs) > 1:
            places = " and ".join(display_name(_place(other).name) for other, _ in pairs[:5])
            message = f"{len(pairs)} submissions are {_describe(student)}'s: {places}"
            ambiguous.append(IntakeProblem(source=_place(found), message=message))
            work = replace(work, refusal=message, refusal_needs_person=True)
        submitted.append(work)
    return Intake(
        submitted=tuple(submitted),
        problems=(*ambiguous, *layout.ignored),
        recognised=tuple(_recognised(layout)),
    )


def _recognised(layout: Layout) -> Iterator[str]:
    for kind, count in Counter(found.layout for found in layout.found).items():
        submissions = "1 submission" if count == 1 else f"{count:,} submissions"
        yield f"{submissions}: {kind}"
    late = sum(1 for found in layout.found if found.late)
    if late:
        yield f"{late:,} marked late"


def _place(found: FoundSubmission) -> Path:
    return found.loose[0].path if found.loose else found.source


def _describe(student: Student) -> str:
    name = f"{clean_line(student.name)} " if student.name else ""
    return f"{name}({student.id})"
