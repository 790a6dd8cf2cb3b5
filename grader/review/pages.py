"""What each page shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader
from markupsafe import Markup
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse

from grader.assignment.records import Assignment, Part, Problem, Rubric
from grader.cohort.store import Store
from grader.report.html import template_environment
from grader.report.markdown import render_markdown
from grader.results import PartResult, ProblemResult
from grader.review.agreement import measure_agreement
from grader.review.answers import collect_answers, read_answer, written_items
from grader.review.changes import newest_changes
from grader.review.judgements import Judgement, points_of
from grader.review.ledger import FIRST, SECOND, fingerprint
from grader.review.queue import (
    Filter,
    Group,
    measure_progress,
    neighbours,
    read_groups,
    select,
)
from grader.review.rubrics import fingerprint as rubric_fingerprint
from grader.review.rubrics import rubric_in_force
from grader.review.settings import double_share
from grader.review.snippets import snippets_for

CHANGES_SHOWN = 200


@dataclass(kw_only=True)
class Review:
    """The class that is reviewed.

    Attributes:
        output: where its reports lie.
    """

    store: Store
    assignment: Assignment
    output: Path
    _collected: int = field(default=-1, repr=False)

    def catch_up(self) -> None:
        """Take in the answers of gradings that came since the last page."""
        newest = self.store.last_number()
        if newest != self._collected:
            collect_answers(self.store, self.output)
            self._collected = newest


@dataclass(frozen=True, kw_only=True)
class View:
    """Who looks, and at which answers.

    Attributes:
        csrf: the token that this person's forms carry.
    """

    grader: str
    csrf: str
    shown: Filter

    @property
    def reading(self) -> int:
        """Which reading of the answers is shown."""
        return SECOND if self.shown is Filter.SECOND else FIRST


def answer_address(item_id: str, sha256: str, shown: Filter) -> str:
    """The address of an answer's page under a filter."""
    return f"/items/{item_id}/answers/{sha256}?show={shown.value}"


def chosen_groups(review: Review, view: View, item_id: str) -> list[Group]:
    """The answers under the view's filter."""
    groups = read_groups(review.store, item_id)
    return select(review.store, item_id, groups, view.shown, view.grader)


def following_address(review: Review, view: View, item_id: str, sha256: str) -> str:
    """Where to go from an answer once it is judged: the next under the filter, else the first."""
    groups = read_groups(review.store, item_id)
    chosen = select(review.store, item_id, groups, view.shown, view.grader)
    _, after = neighbours(groups, chosen, sha256)
    if after is None:
        return f"/items/{item_id}/next?show={view.shown.value}"
    return answer_address(item_id, after.sha256, view.shown)


def home(review: Review, view: View) -> HTMLResponse:
    """Every part, how far it is, and where to go on."""
    rows: list[dict[str, Any]] = []
    for item_id, item in written_items(review.assignment).items():
        groups = read_groups(review.store, item_id)
        second = select(review.store, item_id, groups, Filter.SECOND, view.grader)
        _, part = _find_part(review.assignment, item_id)
        rows.append(
            {
                "item_id": item_id,
                "title": part.title,
                "points": item.points,
                "progress": measure_progress(groups),
                "second": len(second),
            }
        )
    going_on = next((row["item_id"] for row in rows if row["progress"].left), None)
    return _page(
        "home.html",
        view,
        title=review.assignment.title,
        rows=rows,
        going_on=going_on,
        double=double_share(review.store),
    )


def answer(
    review: Review,
    view: View,
    item_id: str,
    sha256: str,
    *,
    mine: Judgement | None = None,
    conflict: str = "",
) -> HTMLResponse:
    """One answer, anonymous, with the rubric beside it.

    Args:
        review: the class.
        view: who looks.
        item_id: of the written item.
        sha256: of the answer.
        mine: what this person was about to save, where that was refused.
        conflict: why it was refused.

    Raises:
        HTTPException: nobody gives this answer.
    """
    given = read_answer(review.store, item_id, sha256)
    groups = read_groups(review.store, item_id, reading=view.reading)
    group = next((group for group in groups if group.sha256 == sha256), None)
    if given is None or group is None:
        raise HTTPException(404, "nobody gives this answer any more; go on with the next one")
    item = written_items(review.assignment)[item_id]
    _, part = _find_part(review.assignment, item_id)
    rubric = rubric_in_force(review.store, review.assignment, item_id)
    first = groups if view.reading == FIRST else read_groups(review.store, item_id)
    chosen = select(review.store, item_id, first, view.shown, view.grader)
    before, after = neighbours(first, chosen, sha256)
    standing = group.judgement
    return _page(
        "answer.html",
        view,
        status=409 if conflict else 200,
        item=item,
        item_id=item_id,
        part=part,
        answer=given,
        answer_html=render_markdown(given.text),
        group=group,
        total=len(groups),
        progress=measure_progress(groups),
        rubric=rubric,
        model_answer=_render_ours(rubric.model_answer),
        standing=standing,
        standing_points=_points(standing, rubric, item.points),
        outdated=group.outdated,
        filled=mine or standing or group.outdated,
        conflict=conflict,
        seen=fingerprint(group.entries),
        snippets=snippets_for(review.store, item_id),
        before=before,
        after=after,
        filters=_filters(review, view, item_id, first),
    )


def nothing_left(review: Review, view: View, item_id: str) -> HTMLResponse:
    """That an item is done under this filter, and which part is next."""
    order = list(written_items(review.assignment))
    start = order.index(item_id)
    following = next(
        (
            other
            for other in (*order[start + 1 :], *order[:start])
            if measure_progress(read_groups(review.store, other)).left
        ),
        None,
    )
    _, part = _find_part(review.assignment, item_id)
    return _page("nothing_left.html", view, item_id=item_id, part=part, following=following)


def rubric(review: Review, view: View, item_id: str, *, saved: bool) -> HTMLResponse:
    """The rubric as a form, and whether it was just saved."""
    in_force = rubric_in_force(review.store, review.assignment, item_id)
    used = [
        group.judgement.rubric_items
        for group in read_groups(review.store, item_id)
        for _ in group.entries
        if group.judgement is not None
    ]
    _, part = _find_part(review.assignment, item_id)
    return _page(
        "rubric.html",
        view,
        item_id=item_id,
        item=written_items(review.assignment)[item_id],
        part=part,
        rubric=in_force,
        seen=rubric_fingerprint(in_force),
        saved=saved,
        uses={found.id: sum(found.id in items for items in used) for found in in_force.items},
    )


def related(review: Review, view: View, item_id: str, sha256: str, *, member: int) -> HTMLResponse:
    """The automatic results of the same problem, of one of those who gave the answer.

    Raises:
        HTTPException: there is none.
    """
    given = read_answer(review.store, item_id, sha256)
    if given is None or member >= len(given.students):
        raise HTTPException(404, "nobody gives this answer any more")
    problem, part = _find_part(review.assignment, item_id)
    result = review.store.result(given.students[member])
    assert result is not None  # noqa: S101  # an answer comes from a result
    graded = next(graded for graded in result.problems if graded.id == problem.id)
    return _page(
        "related.html",
        view,
        item_id=item_id,
        sha256=sha256,
        part=part,
        parts=_automatic_parts(graded, part.id),
        member=member,
        members=len(given.students),
    )


def history(review: Review, view: View) -> HTMLResponse:
    """Who changed what, and when."""
    changes = newest_changes(review.store, CHANGES_SHOWN)
    return _page("history.html", view, changes=changes, most=CHANGES_SHOWN)


def agreement(review: Review, view: View) -> HTMLResponse:
    """How far two readings agree, for every item."""
    rows = [
        measure_agreement(review.store, review.assignment, item_id)
        for item_id in written_items(review.assignment)
    ]
    return _page("agreement.html", view, rows=rows, double=double_share(review.store))


def join(name: str, *, token: str, csrf: str) -> HTMLResponse:
    """The page of an invitation."""
    view = View(grader="", csrf=csrf, shown=Filter.UNGRADED)
    return _page("join.html", view, name=name, token=token)


def message(text: str, *, next_step: str = "", status: int = 200) -> HTMLResponse:
    """A sentence, and what to do about it."""
    view = View(grader="", csrf="", shown=Filter.UNGRADED)
    return _page("message.html", view, status=status, text=text, next_step=next_step)


def _page(template: str, view: View, *, status: int = 200, **values: Any) -> HTMLResponse:
    rendered = _environment().get_template(template).render(view=view, Filter=Filter, **values)
    return HTMLResponse(rendered, status_code=status)


@cache
def _environment() -> Environment:
    """The report's own, with the review's templates before the report's."""
    loaders = [PackageLoader("grader.review"), PackageLoader("grader.report")]
    environment = template_environment().overlay(loader=ChoiceLoader(loaders))
    environment.filters = {**environment.filters, "moment": _moment}
    return environment


def _moment(text: str) -> str:
    """A time in ISO 8601 as "25 Nov 2026, 12:03 UTC"."""
    return f"{datetime.fromisoformat(text).astimezone(UTC):%d %b %Y, %H:%M} UTC"


@lru_cache(maxsize=64)
def _render_ours(text: str) -> Markup:
    return render_markdown(text)


def _find_part(assignment: Assignment, item_id: str) -> tuple[Problem, Part]:
    return next(
        (problem, part)
        for problem in assignment.problems
        for part in problem.parts
        if item_id in dict(part.item_ids())
    )


def _points(judgement: Judgement | None, rubric: Rubric, possible: float) -> float | None:
    return None if judgement is None else points_of(judgement, rubric, possible)


def _filters(
    review: Review, view: View, item_id: str, groups: Sequence[Group]
) -> list[tuple[Filter, int]]:
    """The filters that have something to show, and the chosen one, with their counts."""
    counted = [
        (shown, len(select(review.store, item_id, groups, shown, view.grader))) for shown in Filter
    ]
    return [(shown, count) for shown, count in counted if count or shown is view.shown]


def _automatic_parts(problem: ProblemResult, part_id: str) -> list[PartResult]:
    """The parts of a problem without their written items, the part itself first."""
    automatic = [
        replace(part, items=tuple(item for item in part.items if item.kind != "written"))
        for part in problem.parts
    ]
    return sorted((part for part in automatic if part.items), key=lambda part: part.id != part_id)
