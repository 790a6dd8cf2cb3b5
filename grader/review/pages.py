"""The contents of each page of the review."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property, lru_cache
from pathlib import Path
from typing import Any

import msgspec
from jinja2 import ChoiceLoader, Environment, PackageLoader
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, RedirectResponse, Response

from grader.assignment.records import Assignment, Item, Part, Problem, WrittenItem, record_of
from grader.report.html import template_environment
from grader.report.markdown import render_markdown
from grader.results import PartResult, ProblemResult
from grader.review.agreement import measure_agreement
from grader.review.answers import collect_answers
from grader.review.holds import Holds, Place
from grader.review.judgements import Judgement, points_of
from grader.review.ledger import JUDGING, entries_version
from grader.review.queue import (
    Filter,
    Group,
    measure_progress,
    neighbours,
    read_groups,
    select,
    share_of,
)
from grader.review.rubrics import rubric_in_force, rubric_version
from grader.review.store import FIRST, SECOND, Change, Entry, ReviewStore
from grader.text import make_visible

CHANGES_SHOWN = 200
SNIPPETS_SHOWN = 9
"""Each comment has a key."""

_render_once = lru_cache(maxsize=64)(render_markdown)


@dataclass(kw_only=True)
class Review:
    """The class under review, whose reports are in `output`."""

    store: ReviewStore
    assignment: Assignment
    output: Path
    holds: Holds = field(default_factory=Holds)
    _collected: int = -1

    @cached_property
    def items(self) -> Mapping[str, Item]:
        """All items, by id; of most, people grade only what the grader leaves to them."""
        return dict(self.assignment.item_ids())

    def is_graded_here(self, item_id: str) -> bool:
        """Return True if people grade an item, always or for some students of this class."""
        item = self.items.get(item_id)
        return item is not None and (item.graded_by_person or bool(self.store.entries(item_id)))

    @cached_property
    def places(self) -> Mapping[str, tuple[Problem, Part]]:
        """The problem and the part of each item, by item id."""
        return {
            item_id: (problem, part)
            for problem in self.assignment.problems
            for part in problem.parts
            for item_id, _ in part.item_ids()
        }

    def catch_up(self) -> None:
        """Collect the answers of gradings that are newer than the last page."""
        newest = self.store.last_number()
        if newest != self._collected:
            collect_answers(self.store, self.output)
            self._collected = newest


@dataclass(frozen=True, kw_only=True)
class View:
    """One person's look at the class; `csrf` is the token of this person's forms."""

    review: Review
    grader: str
    csrf: str
    shown: Filter = Filter.UNGRADED
    query: Mapping[str, str]

    @property
    def reading(self) -> int:
        """The reading of the answers on the page."""
        return SECOND if self.shown is Filter.SECOND else FIRST

    def select(self, item_id: str, groups: Sequence[Group], shown: Filter) -> list[Group]:
        """Return the answers under a filter."""
        return select(self.review.store, item_id, groups, shown, self.grader)

    def to_do(self, item_id: str, groups: Sequence[Group]) -> list[Group]:
        """Return the answers under the view's filter that no other grader has open."""
        chosen = self.select(item_id, groups, self.shown)
        return self.review.holds.free(item_id, self.reading, chosen, self.grader)


def answer_address(item_id: str, sha256: str, shown: Filter) -> str:
    """Return the address of an answer's page under a filter."""
    return f"/items/{item_id}/answers/{sha256}?show={shown.value}"


def following_address(view: View, item_id: str, sha256: str) -> str:
    """Return the address of the next answer under the filter, or of the first; hold the next."""
    groups = read_groups(view.review.store, item_id)
    _, after = neighbours(groups, view.to_do(item_id, groups), sha256)
    if after is None:
        view.review.holds.release(view.grader)
        return f"/items/{item_id}/next?show={view.shown.value}"
    view.review.holds.hold(Place(item_id, view.reading, after.sha256), view.grader)
    return answer_address(item_id, after.sha256, view.shown)


def home(view: View) -> Response:
    """Show every part with its progress, and the part to go on with."""
    review = view.review
    rows: list[dict[str, Any]] = []
    for item_id, item in review.items.items():
        if not review.is_graded_here(item_id):
            continue
        groups = read_groups(review.store, item_id)
        rows.append(
            {
                "item_id": item_id,
                "title": review.places[item_id][1].title,
                "points": item.points,
                "progress": measure_progress(groups),
                "second": len(view.select(item_id, groups, Filter.SECOND)),
                "own": sum(len(group.entries) for group in view.to_do(item_id, groups)),
                "requests": sum(len(group.requests) for group in groups),
            }
        )
    return _page(
        "home.html",
        view,
        title=review.assignment.title,
        rows=rows,
        going_on=next((row["item_id"] for row in rows if row["own"]), None),
        share=share_of(review.store, view.grader),
        sections=sorted(set(review.store.sections().values())),
        double=review.store.double_share(),
    )


def next_answer(view: View, item_id: str) -> Response:
    """Lead to the first answer under the filter, or say that none is left."""
    review = view.review
    groups = read_groups(review.store, item_id)
    free = view.to_do(item_id, groups)
    if free:
        chosen = min(free, key=lambda group: not group.requests)  # students who wait come first
        # Held at once, so that the next person who asks gets another one.
        review.holds.hold(Place(item_id, view.reading, chosen.sha256), view.grader)
        return RedirectResponse(answer_address(item_id, chosen.sha256, view.shown), 303)
    held = len(view.select(item_id, groups, view.shown))
    order = list(review.items)
    start = order.index(item_id)
    following = next(
        (
            other
            for other in (*order[start + 1 :], *order[:start])
            if view.to_do(other, read_groups(review.store, other))
        ),
        None,
    )
    others = measure_progress(groups).left
    return _page(
        "nothing_left.html", view, item_id=item_id, following=following, held=held, others=others
    )


def answer(
    view: View,
    item_id: str,
    sha256: str,
    *,
    mine: Judgement | None = None,
    conflict: str = "",
) -> Response:
    """Show one answer, anonymous, beside the rubric; with a refused judgement and its conflict."""
    review = view.review
    given = review.store.answer(item_id, sha256)
    groups = read_groups(review.store, item_id, reading=view.reading)
    group = next((group for group in groups if group.sha256 == sha256), None)
    if given is None or group is None:
        raise HTTPException(404, "no student gives this answer any more; go on with the next one")
    item = review.items[item_id]
    rubric = rubric_in_force(review.store, review.assignment, item_id)
    first = groups if view.reading == FIRST else read_groups(review.store, item_id)
    place = Place(item_id, view.reading, sha256)
    review.holds.hold(place, view.grader)
    before, after = neighbours(first, view.to_do(item_id, first), sha256)
    standing = group.judgement
    counts = [(shown, len(view.select(item_id, first, shown))) for shown in Filter]
    return _page(
        "answer.html",
        view,
        status=409 if conflict else 200,
        item=item,
        item_id=item_id,
        question=item.question if isinstance(item, WrittenItem) else item.title,
        answer=given,
        answer_html=render_markdown(given.text),
        group=group,
        total=len(groups),
        progress=measure_progress(groups),
        rubric=rubric,
        model_answer=_render_once(rubric.model_answer),
        standing=standing,
        standing_points=points_of(standing, rubric, item.points) if standing else None,
        outdated=group.outdated,
        filled=mine or standing or group.outdated,
        conflict=conflict,
        open_with=review.holds.holder(place, view.grader),
        seen=entries_version(group.entries),
        snippets=review.store.snippets(item_id, SNIPPETS_SHOWN),
        before=before,
        after=after,
        filters=[(shown, count) for shown, count in counts if count or shown is view.shown],
    )


def rubric(view: View, item_id: str) -> Response:
    """Show the rubric as a form, with the number of students for each rubric item."""
    review = view.review
    in_force = rubric_in_force(review.store, review.assignment, item_id)
    used = Counter(
        rubric_id
        for entry in review.store.entries(item_id)
        if entry.current is not None
        for rubric_id in entry.current.rubric_items
    )
    return _page(
        "rubric.html",
        view,
        item_id=item_id,
        item=review.items[item_id],
        rubric=in_force,
        seen=rubric_version(in_force),
        saved="saved" in view.query,
        uses=used,
    )


def related(view: View, item_id: str, sha256: str) -> Response:
    """Show the automatic results of the same problem, of one student with this answer."""
    given = view.review.store.answer(item_id, sha256)
    member = view.query.get("member", "0")
    number = int(member) if member.isdecimal() and len(member) < 6 else 0
    if given is None or number >= len(given.students):
        raise HTTPException(404, "no student gives this answer any more")
    problem, part = view.review.places[item_id]
    result = view.review.store.result(given.students[number])
    assert result is not None  # noqa: S101  # an answer comes from a result
    graded = next(graded for graded in result.problems if graded.id == problem.id)
    return _page(
        "related.html",
        view,
        item_id=item_id,
        sha256=sha256,
        parts=_automatic_parts(graded, part.id),
        member=number,
        members=len(given.students),
    )


def history(view: View) -> Response:
    """List the newest changes."""
    newest = view.review.store.newest_changes(CHANGES_SHOWN)
    changes = [(change, _describe_request(view.review, change)) for change in newest]
    return _page("history.html", view, changes=changes, most=CHANGES_SHOWN, kinds=JUDGING)


def _describe_request(review: Review, change: Change) -> str:
    """Return the reasons of requests that a change made or answered, with the points."""
    if change.kind not in JUDGING:
        return ""
    before, after = (msgspec.convert(one, list[Entry]) for one in (change.before, change.after))
    told = []
    for old, new in zip(before, after, strict=True):
        request = (new.judgement and new.judgement.request) or (
            old.judgement and old.judgement.request
        )
        if request and new.item_id in review.items:
            rubric = rubric_in_force(review.store, review.assignment, new.item_id)
            possible = review.items[new.item_id].points
            points = (
                f"{points_of(each.judgement, rubric, possible):g}" if each.judgement else "none"
                for each in (old, new)
            )
            told.append(f"{' → '.join(dict.fromkeys(points))} points, asked for: “{request}”")
    return "; ".join(dict.fromkeys(told))


def agreement(view: View) -> Response:
    """Show the agreement of two readings for every item."""
    review = view.review
    rows = [
        measure_agreement(review.store, review.assignment, item_id)
        for item_id in review.items
        if review.is_graded_here(item_id)
    ]
    return _page("agreement.html", view, rows=rows, double=review.store.double_share())


def join(name: str, *, token: str, csrf: str) -> Response:
    """Show an invitation."""
    return _page("join.html", None, name=name, token=token, csrf=csrf)


def message(text: str, *, next_step: str = "", status: int = 200, typed: str = "") -> Response:
    """Show an error and its remedy, with what was typed."""
    return _page("message.html", None, status=status, text=text, next_step=next_step, typed=typed)


def _page(template: str, view: View | None, *, status: int = 200, **values: Any) -> Response:
    if view is not None and "item_id" in values:
        values["part"] = view.review.places[values["item_id"]][1]
    rendered = _environment().get_template(template).render(view=view, Filter=Filter, **values)
    return HTMLResponse(make_visible(rendered), status_code=status)


@cache
def _environment() -> Environment:
    """Return the report's environment, with the review's templates before the report's."""
    loaders = [PackageLoader("grader.review"), PackageLoader("grader.report")]
    return template_environment().overlay(loader=ChoiceLoader(loaders))


def _automatic_parts(problem: ProblemResult, part_id: str) -> list[PartResult]:
    """Return a problem's parts without their written items, the part with this id first."""
    automatic = [
        replace(
            part,
            items=tuple(item for item in part.items if not record_of(item.kind).graded_by_person),
        )
        for part in problem.parts
    ]
    return sorted((part for part in automatic if part.items), key=lambda part: part.id != part_id)
