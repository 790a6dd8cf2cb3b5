"""Take a class in: who handed in what, who did not, and what nobody can be made out for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from grader.errors import UnusableSubmissionError, UsageError
from grader.intake.archives import UnpackedClass, is_archive, unpack_class
from grader.intake.handed import Handed, fingerprint, open_submission
from grader.intake.layouts import read_list, recognise
from grader.intake.private_directory import PrivateDirectory, make_private_directory
from grader.intake.records import Found, IntakeProblem, Layout
from grader.intake.roster import Roster
from grader.intake.students import Student
from grader.text import clean_line, display_name

__all__ = [
    "Handed",
    "Intake",
    "IntakeProblem",
    "find_submissions",
    "fingerprint",
    "open_submission",
]


@dataclass(frozen=True, kw_only=True)
class Intake:
    """A class's submissions, joined to its roster; open as long as they are read.

    Attributes:
        handed: in the order of the roster, those on no roster last; one for each student.
        missing: those on the roster of whom nothing was found.
        extra: submissions of nobody on the roster; they are in `handed`, too.
        ambiguous: submissions that may be several students', or several of one student.
        ignored: what is no submission, or has a part that could not be understood.
        recognised: sentences on how the submissions are laid out.
        private: where a whole class's archive was unpacked, or None.
    """

    handed: tuple[Handed, ...]
    missing: tuple[Student, ...] = ()
    extra: tuple[IntakeProblem, ...] = ()
    ambiguous: tuple[IntakeProblem, ...] = ()
    ignored: tuple[IntakeProblem, ...] = ()
    recognised: tuple[str, ...] = ()
    private: PrivateDirectory | None = None

    @property
    def problems(self) -> tuple[IntakeProblem, ...]:
        """All that the instructor should know, but for who is missing."""
        return (*self.ambiguous, *self.extra, *self.ignored)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def close(self) -> None:
        """Delete what was unpacked."""
        if self.private is not None:
            self.private.delete()


def find_submissions(directory: Path, roster: Roster | None = None) -> Intake:
    """Find what a class handed in.

    Args:
        directory: a directory with the submissions in one of the layouts that
            `grader.intake.layouts` names, an archive of such a directory, or a list of
            paths.
        roster: who takes the course; without one everybody found does.

    Raises:
        UsageError: there is no submission to be found.
        MachineError: an archive could not be unpacked for want of room.
    """
    private = make_private_directory() if _is_class_archive(directory) else None
    try:
        layout = _read_layout(directory, private)
        return replace(_join(layout, roster), private=private)
    except BaseException:
        if private is not None:
            private.delete()
        raise


def _is_class_archive(path: Path) -> bool:
    return path.is_file() and is_archive(path.name)


def _read_layout(directory: Path, private: PrivateDirectory | None) -> Layout:
    if private is not None:
        unpacked = _unpack_class(directory, private.path / "class")
        layout = recognise(unpacked.root, unpacked.refusals)
    elif directory.is_dir():
        layout = recognise(directory, {})
    elif directory.exists():
        layout = read_list(directory)
    else:
        raise UsageError(
            f"there is no directory {display_name(str(directory))}",
            next_step="name the directory, or the archive, that holds the submissions",
        )
    if not layout.found:
        raise UsageError(
            f"no submissions found in {display_name(str(directory))}",
            next_step="name a directory that has a directory or an archive for each student, "
            "or what Canvas, Moodle or Gradescope let you download",
        )
    return layout


def _unpack_class(archive: Path, target: Path) -> UnpackedClass:
    try:
        return unpack_class(archive, target)
    except UnusableSubmissionError as error:
        raise UsageError(str(error), next_step="download it once more") from None


def _join(layout: Layout, roster: Roster | None) -> Intake:
    """Give every submission its student."""
    if roster is None:
        students = [(found, found.identity.to_student(on_roster=True)) for found in layout.found]
        return _one_for_each(layout, students, missing=())
    roster_ids = {student.id.casefold() for student in roster.students}
    assigned = []
    extra = []
    ambiguous = []
    for found in layout.found:
        candidates = roster.match(found.identity)
        if len(candidates) == 1:
            assigned.append((found, candidates[0]))
            continue
        stranger = found.identity.to_student(on_roster=False)
        if stranger.id.casefold() in roster_ids:  # somebody else's, whose grade it must not become
            stranger = replace(stranger, id=f"{stranger.id} (not on the roster)")
        assigned.append((found, stranger))
        if candidates:
            names = " or ".join(_described(student) for student in candidates[:5])
            message = f"{_named(stranger)} may be {names}: name it by an id of the roster"
            ambiguous.append(IntakeProblem(source=_place(found), message=message))
        else:
            message = f"{_named(stranger)} is not on the roster"
            extra.append(IntakeProblem(source=_place(found), message=message))
    order = {student.id: position for position, student in enumerate(roster.students)}
    assigned.sort(
        key=lambda pair: order.get(pair[1].id, len(order)) if pair[1].on_roster else len(order)
    )
    there = {student.id for _, student in assigned if student.on_roster}
    intake = _one_for_each(
        layout,
        assigned,
        missing=tuple(student for student in roster.students if student.id not in there),
    )
    return replace(intake, extra=tuple(extra), ambiguous=(*ambiguous, *intake.ambiguous))


def _one_for_each(
    layout: Layout, assigned: list[tuple[Found, Student]], missing: tuple[Student, ...]
) -> Intake:
    """One submission for each student; of several none is chosen, for that would be a guess."""
    by_student: dict[str, list[tuple[Found, Student]]] = {}
    for found, student in assigned:
        by_student.setdefault(student.id.casefold(), []).append((found, student))
    handed = []
    ambiguous = []
    for pairs in by_student.values():
        found, student = pairs[0]
        if len(pairs) == 1:
            handed.append(_to_handed(found, student))
            continue
        places = " and ".join(display_name(_place(other).name) for other, _ in pairs[:5])
        message = f"{len(pairs)} submissions are {_described(student)}'s: {places}"
        ambiguous.append(IntakeProblem(source=_place(found), message=message))
        handed.append(
            replace(_to_handed(found, student), refusal=message, refusal_needs_person=True)
        )
    return Intake(
        handed=tuple(handed),
        missing=missing,
        ambiguous=tuple(ambiguous),
        ignored=tuple(layout.ignored),
        recognised=tuple(_recognised(layout)),
    )


def _to_handed(found: Found, student: Student) -> Handed:
    return Handed(
        student=student,
        source=found.source,
        late=found.late,
        submitted_at=found.submitted_at,
        resubmission=found.resubmission,
        loose=found.loose,
        refusal=found.refusal,
    )


def _recognised(layout: Layout) -> Iterator[str]:
    for kind, count in Counter(found.layout for found in layout.found).items():
        submissions = "1 submission" if count == 1 else f"{count:,} submissions"
        yield f"{submissions}: {kind}"
    late = sum(1 for found in layout.found if found.late)
    if late:
        yield f"{late:,} marked late"


def _place(found: Found) -> Path:
    return found.loose[0].path if found.loose else found.source


def _named(student: Student) -> str:
    return clean_line(student.name or student.id)


def _described(student: Student) -> str:
    name = f"{clean_line(student.name)} " if student.name else ""
    return f"{name}({student.id})"
