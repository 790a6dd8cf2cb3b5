"""Similarities between students beyond chance and the starter code.

Similarity is a reason to look, never a verdict: short answers are similar by nature, and students
may be allowed to work together.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

import msgspec

from grader.assignment.records import record_of
from grader.cohort.statistics import graded
from grader.cohort.summary import ItemSummary, StudentSummary
from grader.results import Outcome

COMPARISON_SECONDS = 900.0
MAXIMUM_PAIRS = 300
"""With a page of their own."""
LEAST_COMMON, COMMON_SHARE = 5, 0.1
"""A thing is common if more students share it than this number and this share of the class."""


class Likeness(StrEnum):
    """The kinds of things that students share."""

    MODEL = "model"
    ANSWER = "answer"
    CODE = "code"
    ESSAY = "essay"


@dataclass(frozen=True, kw_only=True)
class Shared:
    """One thing that several students share: an item's id or a file's path.

    `share` is that of similar code or text, 0 to 1; 1 for models and answers.
    """

    kind: Likeness
    subject: str
    student_ids: frozenset[str]
    share: float = 1.0


Places = tuple[tuple[int, int], ...]
"""Starts and ends in a text, in characters."""


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two similar files or essays, to be read side by side.

    Attributes:
        student_ids: one of those who submitted each text.
        places: those in each file that the other has; not known of essays.
    """

    kind: Likeness
    subject: str
    student_ids: tuple[str, str]
    places: tuple[Places, Places] = ((), ())

    def belongs_to(self, group: SimilarGroup, shared: Shared) -> bool:
        """Return True if the pair shows what two members of a group share."""
        is_same = (self.kind, self.subject) == (shared.kind, shared.subject)
        return is_same and set(self.student_ids) <= set(group.student_ids)


@dataclass(frozen=True, kw_only=True)
class ComparisonRequest:
    """Work for `grader.cohort.code_comparison`.

    Attributes:
        sources: directories of code by student id.
        template: the directory of the starter code.
        essays: written answers by item and student.
        questions: the questions by item, which answers may quote.
    """

    sources: Mapping[str, str]
    template: str | None = None
    essays: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    questions: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Similar files and answers, and the students whose files are all unchanged starter code."""

    similar: tuple[Shared, ...] = ()
    pairs: tuple[Pair, ...] = ()
    untouched: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True)
class SimilarGroup:
    """Students with something in common, and everything that they share."""

    student_ids: tuple[str, ...]
    shared: tuple[Shared, ...]


@dataclass(frozen=True, kw_only=True)
class Similarity:
    """The similarities in a class.

    Attributes:
        groups: the groups that share most come first.
        common: things that many students share, such as given code or an obvious answer.
        not_compared: the reason if the code was not compared, or empty.
        pairs: a page shows each of them, by its number here.
        remarks: sentences on earlier classes that could not be read.
    """

    groups: tuple[SimilarGroup, ...] = ()
    common: tuple[Shared, ...] = ()
    not_compared: str = ""
    pairs: tuple[Pair, ...] = ()
    remarks: tuple[str, ...] = ()


def find_similar(
    summaries: Sequence[StudentSummary],
    sources: Mapping[str, Path],
    template: Path | None = None,
    *,
    essays: Mapping[str, Mapping[str, str]] | None = None,
    questions: Mapping[str, str] | None = None,
    earlier: Collection[str] = (),
) -> Similarity:
    """Find equal models with equal recipes, equal wrong answers, and similar code and essays.

    `sources` are the directories of the students' Python files, which are read as text only;
    `essays` are written answers by item and student, and `questions` what they may quote.
    `earlier` are those of them who are of another class: only what they share with this one counts.
    Starter code, in the directory `template`, does not count. Nor do models and answers of students
    who submitted the starter code unchanged.
    """
    not_compared = ""
    code = Comparison()
    try:
        if len(sources) > 1:
            request = ComparisonRequest(
                sources={student_id: str(path) for student_id, path in sources.items()},
                template=str(template) if template else None,
                essays=essays or {},
                questions=questions or {},
            )
            code = _compare(request)
    except (OSError, subprocess.SubprocessError, msgspec.DecodeError) as error:
        not_compared = _explain(error)
    likely_common = max(LEAST_COMMON, COMMON_SHARE * len(graded(summaries)))
    shared = (*_shared_items(summaries, untouched=code.untouched), *code.similar)
    found = [one for one in shared if one.student_ids.difference(earlier)]

    def is_common(one: Shared) -> bool:
        return len(one.student_ids.difference(earlier)) > likely_common

    return Similarity(
        groups=_merge([one for one in found if not is_common(one)]),
        common=tuple(filter(is_common, found)),
        not_compared=not_compared,
        pairs=tuple(pair for pair in code.pairs if set(pair.student_ids).difference(earlier))[
            :MAXIMUM_PAIRS
        ],
    )


def _shared_items(
    summaries: Sequence[StudentSummary], *, untouched: frozenset[str]
) -> list[Shared]:
    holders: dict[tuple[str, str], set[str]] = defaultdict(set)
    kinds: dict[str, Likeness] = {}
    for summary in summaries:
        for item in summary.items:
            kind = _kind(item)
            if kind is not None and item.likeness:
                kinds[item.id] = kind
                holders[item.id, item.likeness].add(summary.student.id)
    return [
        Shared(kind=kinds[item_id], subject=item_id, student_ids=frozenset(student_ids))
        for (item_id, _), student_ids in holders.items()
        if len(student_ids) > 1 and student_ids.isdisjoint(untouched)
    ]


def _kind(item: ItemSummary) -> Likeness | None:
    """Return the kind of agreement in this item, or None if agreement means nothing."""
    if item.accuracy is not None:
        return Likeness.MODEL
    if record_of(item.kind).answers_compared and item.outcome is Outcome.FAILED:
        return Likeness.ANSWER
    return None


def _merge(found: Sequence[Shared]) -> tuple[SimilarGroup, ...]:
    """Return one group for each set of students, with everything that the set shares."""
    of_student: dict[str, list[Shared]] = defaultdict(list)
    for one in found:
        for student_id in one.student_ids:
            of_student[student_id].append(one)
    groups = [
        SimilarGroup(
            student_ids=tuple(sorted(student_ids)),
            shared=tuple(
                one for one in of_student[min(student_ids)] if student_ids <= one.student_ids
            ),
        )
        for student_ids in {one.student_ids for one in found}
    ]
    return tuple(sorted(groups, key=lambda group: (-len(group.shared), group.student_ids)))


def _compare(request: ComparisonRequest) -> Comparison:
    """Compare in a separate process with a time limit, since a file may be hostile.

    Raises:
        OSError: the process could not be started.
        SubprocessError: the process failed or took too long.
        DecodeError: the answer is cut off.
    """
    finished = subprocess.run(  # noqa: S603 - our own interpreter and module
        [sys.executable, "-P", "-m", "grader.cohort.code_comparison", str(os.getpid())],
        input=msgspec.json.encode(request),
        capture_output=True,
        timeout=COMPARISON_SECONDS,
        check=True,
        # The fingerprints are built from Python's own hashes.
        env=os.environ | {"PYTHONHASHSEED": "0", "MPLBACKEND": "agg"},
    )
    return msgspec.json.decode(finished.stdout, type=Comparison)


def _explain(error: Exception) -> str:
    if isinstance(error, subprocess.TimeoutExpired):
        return f"it took longer than {COMPARISON_SECONDS:.0f} seconds"
    if isinstance(error, subprocess.CalledProcessError):
        lines = error.stderr.decode("utf-8", "replace").strip().splitlines()
        return f"the comparison ended with code {error.returncode}: {''.join(lines[-1:])}"
    return str(error)
