"""Match submissions to the roster."""

from __future__ import annotations

import os
import shlex
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

from grader.errors import UnusableSubmissionError, UsageError
from grader.intake.archives import is_archive, unpack_class
from grader.intake.layouts import FoundSubmission, IntakeProblem, Layout, read_list, recognise
from grader.intake.matching import Match, Matcher, similar_names
from grader.intake.private_directory import private_directory
from grader.intake.roster import Roster
from grader.intake.students import Identity, Platform, Student
from grader.intake.submitted import SubmittedWork
from grader.text import clean_line, display_name

NOT_ON_ROSTER = " (not on the roster)"
"""Behind the id of a submission of nobody known, if a student on the roster has that id."""

Settled = Mapping[str, Sequence[str]]
"""Students' ids by the label of a submission, as a person said; none if it is nobody's."""

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
        settled: the labels of submissions whose students a person named.
    """

    submitted: tuple[SubmittedWork, ...]
    missing: tuple[Student, ...] = ()
    problems: tuple[IntakeProblem, ...] = ()
    recognised: tuple[str, ...] = ()
    settled: tuple[str, ...] = ()


@contextmanager
def find_submissions(
    directory: Path, roster: Roster | None = None, settled: Settled = MappingProxyType({})
) -> Iterator[Intake]:
    """Find a class's submissions; those from an archive of the class are deleted at the end.

    Args:
        directory: a directory with the submissions in one of the layouts that
            `grader.intake.layouts` names, an archive of such a directory, or a list of
            paths.
        roster: the students of the course; without a roster, everyone found is a student.
        settled: what a person said of submissions.

    Raises:
        UsageError: there is no submission.
        MachineError: the disk is too full to unpack an archive.
    """
    names = [student.name for student in roster.students] if roster is not None else []
    with _read_layout(directory, names) as layout:
        if not layout.found:
            raise UsageError(
                f"no submissions found in {display_name(str(directory))}",
                next_step="name a directory that has a directory or an archive for each student, "
                "or a download from Canvas, Moodle or Gradescope",
            )
        yield _match(layout, roster, settled)


@contextmanager
def _read_layout(directory: Path, known_names: Sequence[str]) -> Iterator[Layout]:
    if directory.is_file() and is_archive(directory.name):
        with private_directory() as private:
            try:
                unpacked = unpack_class(directory, private / "class", known_names)
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


def _match(layout: Layout, roster: Roster | None, settled: Settled) -> Intake:
    """Match every submission to its student, or to every member of its group."""
    if roster is None:
        students = []
        for found in layout.found:
            ids = settled.get(found.identity.label)
            own = found.identity.to_student(on_roster=True)
            students += [(found, replace(own, id=one)) for one in ids or ()]
            students += [(found, own)] if ids is None else []
        return _require_one_each(layout, students, {})
    matcher = Matcher(roster)
    prefixes = _shared_prefixes(layout)
    assigned: list[_Assigned] = []
    uncertain: list[tuple[FoundSubmission, Student, Match]] = []
    used = []
    for found in layout.found:
        label = found.identity.label
        if label in settled:
            used.append(label)
            named = [matcher.with_id(student_id) for student_id in settled[label]]
            assigned += [(found, student) for student in named if student is not None]
            continue
        match = _match_one(matcher, found.identity, prefixes)
        if match.certain:
            assigned += [(found, student) for student in match.students]
            continue
        outsider = found.identity.to_student(on_roster=False)
        if matcher.with_id(outsider.id) is not None:
            # The id is another student's, who must not get this grade.
            outsider = replace(outsider, id=f"{outsider.id}{NOT_ON_ROSTER}")
        uncertain.append((found, outsider, match))
    order = {student.id: position for position, student in enumerate(roster.students)}
    assigned.sort(key=lambda pair: order[pair[1].id])
    matched = {student.id for _, student in assigned}
    missing = tuple(student for student in roster.students if student.id not in matched)
    doubts = {
        outsider.id: _describe_doubt(outsider, match, missing) for _, outsider, match in uncertain
    }
    outsiders = [(found, outsider) for found, outsider, _ in uncertain]
    intake = _require_one_each(layout, [*assigned, *outsiders], doubts)
    problems = (
        IntakeProblem(source=_place(found), message=doubts[outsider.id])
        for found, outsider, _ in sorted(uncertain, key=lambda each: bool(each[2].students))
    )
    return replace(
        intake, missing=missing, problems=(*problems, *intake.problems), settled=tuple(used)
    )


def _match_one(matcher: Matcher, identity: Identity, prefixes: Collection[str]) -> Match:
    match = matcher.match(identity)
    if match.students or identity.platform is not Platform.NONE:
        return match
    for prefix in prefixes:
        rest = identity.label.removeprefix(prefix)
        if rest != identity.label and matcher.knows(rest):
            return matcher.match(Identity(label=rest, ids=(rest,), name=rest))
    return match


def _shared_prefixes(layout: Layout) -> list[str]:
    """Return what stands before logins, such as "set4-" in GitHub Classroom's clones.

    A prefix counts if several directories have it, or if the directory around them is named after
    it, as Classroom does.
    """
    labels = [found.identity.label for found in layout.found]
    around = {found.source.parent.name for found in layout.found}
    prefixes = Counter(
        label[: at + 1] for label in labels for at, sign in enumerate(label) if sign in "-_"
    )
    return [
        prefix
        for prefix, count in prefixes.most_common()
        if count > 1 or f"{prefix}submissions" in around
    ]


def _describe_doubt(outsider: Student, match: Match, missing: Sequence[Student]) -> str:
    """Return one sentence on a submission that is nobody's for certain."""
    shown = clean_line(outsider.name or outsider.id)
    if match.students:
        names = " or ".join(_describe(student) for student in match.students[:5])
        doubt = f" ({match.doubt})" if match.doubt else ""
        message = f"{shown} may be {names}{doubt}"
    else:
        message = f"{shown} is not on the roster"
        if similar := similar_names(outsider.name or outsider.id, missing):
            names = " and ".join(map(_describe, similar))
            message += f"; {names} handed in nothing"
    label = outsider.id.removesuffix(NOT_ON_ROSTER)
    return f"{message}: say who it is by `grade class match {shlex.quote(label)} ID`"


def _require_one_each(
    layout: Layout, assigned: Sequence[_Assigned], doubts: Mapping[str, str]
) -> Intake:
    """Refuse all submissions of a student who has several: choosing one would be a guess."""
    by_student: dict[str, list[_Assigned]] = {}
    for found, student in assigned:
        by_student.setdefault(student.id.casefold(), []).append((found, student))
    sharing = Counter(id(found) for found, _ in assigned)
    submitted = []
    ambiguous = []
    for pairs in by_student.values():
        found, student = pairs[0]
        work = SubmittedWork(
            student=student,
            whose=doubts.get(student.id, ""),
            **vars(found),
        )
        if sharing[id(found)] > 1:
            work = replace(work, shared_as=_place(found).name)
        if len(pairs) > 1:
            places = " and ".join(display_name(_place(other).name) for other, _ in pairs[:5])
            message = f"{len(pairs)} submissions are {_describe(student)}'s: {places}"
            ambiguous.append(IntakeProblem(source=_place(found), message=message))
            work = replace(work, refusal=message, refusal_needs_person=True)
        elif not work.loose and work.source.exists() and not os.access(work.source, os.R_OK):
            message = "cannot be read: its permissions forbid it"
            ambiguous.append(IntakeProblem(source=work.source, message=message))
            refusal = f"{display_name(work.source.name)} {message}"
            work = replace(work, refusal=refusal, refusal_needs_person=True)
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
