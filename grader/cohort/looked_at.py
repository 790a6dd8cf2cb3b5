"""Similar work at which a person has looked: kept with the reason, until the work changes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import msgspec

from grader.cohort.similarity import SimilarGroup, Similarity
from grader.cohort.store import Store
from grader.cohort.summary import now
from grader.errors import UsageError
from grader.text import clean_line

SETTING_NAME = "looked-at"
"""The setting with all of them, as JSON."""


@dataclass(frozen=True, kw_only=True)
class LookedAt:
    """A person's word on what some students share.

    Attributes:
        looked_at: ISO 8601, UTC.
        works: digests of the students' files, by id; "" for students of an earlier class.
    """

    reason: str
    by: str
    looked_at: str
    works: Mapping[str, str]


def read_looked_at(store: Store) -> list[LookedAt]:
    """Return all of them, the oldest first."""
    return msgspec.json.decode(store.setting(SETTING_NAME) or "[]", type=list[LookedAt])


def settled_groups(store: Store, similar: Similarity) -> dict[SimilarGroup, LookedAt]:
    """Return the groups at which a person has looked since the work of their members changed."""
    by_students = {frozenset(each.works): each for each in read_looked_at(store)}
    return {
        group: found
        for group in similar.groups
        if (found := by_students.get(frozenset(group.student_ids))) is not None
        and found.works == _works(store, group.student_ids)
    }


def keep_looked_at(
    store: Store, similar: Similarity, student_ids: Iterable[str], reason: str, *, by: str
) -> LookedAt | None:
    """Keep that a person looked at what the students share, or forget it with an empty reason.

    Returns:
        What was kept before.

    Raises:
        UsageError: no group on the class page has just these students.
    """
    ids = frozenset(student_ids)
    if ids not in {frozenset(group.student_ids) for group in similar.groups}:
        groups = [", ".join(group.student_ids) for group in similar.groups[:10]]
        raise UsageError(
            f"the class page has no group of {clean_line(', '.join(sorted(ids)))}",
            next_step=f"name all of one group: {clean_line('; '.join(groups)) or 'there is none'}",
        )
    kept = read_looked_at(store)
    before = next((each for each in kept if frozenset(each.works) == ids), None)
    others = [each for each in kept if each is not before]
    if reason:
        works = _works(store, ids)
        others.append(LookedAt(reason=reason, by=by, looked_at=now(), works=works))
    store.keep_setting(SETTING_NAME, msgspec.json.encode(others).decode())
    return before


def _works(store: Store, student_ids: Iterable[str]) -> dict[str, str]:
    results = {student_id: store.result(student_id) for student_id in student_ids}
    return {
        student_id: result.provenance.submission_sha256 if result else ""
        for student_id, result in results.items()
    }
