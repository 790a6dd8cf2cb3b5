"""The web application: which page belongs to which address, and who may see it."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from functools import wraps
from importlib.resources import files
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, RedirectResponse, Response
from starlette.routing import Route

from grader.assignment.records import Assignment, RubricItem
from grader.cohort.store import Store
from grader.errors import UsageError
from grader.intake.pictures import PICTURES_NAME
from grader.review import pages
from grader.review.accounts import Account, accept, is_valid
from grader.review.answers import read_answer, written_items
from grader.review.changes import ConflictError, now
from grader.review.forms import Form, read_form, read_number
from grader.review.judgements import LONGEST_COMMENT, Judgement
from grader.review.ledger import FIRST, SECOND, judge, undo
from grader.review.pages import Review, View
from grader.review.queue import Filter
from grader.review.rubrics import change_rubric
from grader.review.security import LOCAL_HOSTS, make_middleware
from grader.review.settings import secret_key
from grader.review.snippets import keep_snippet

_STATIC = {
    "review.css": ("grader.review", "static/review.css", "text/css"),
    "review.js": ("grader.review", "static/review.js", "text/javascript"),
    "report.css": ("grader.report", "templates/style.css", "text/css"),
}
"""All that is served as a file; nothing of a request becomes a path."""

Handler = Callable[[Request], Awaitable[Response]]
Page = Callable[[Request, Review, Account], Awaitable[Response]]


def make_app(store: Store, assignment: Assignment, output: Path, public_url: str) -> Starlette:
    """The application over one class.

    Args:
        store: of the class, opened in the thread that will serve.
        assignment: that the class was graded by.
        output: where the class's reports lie.
        public_url: of a reverse proxy, or empty.
    """
    key = secret_key(store)
    public_host = urlsplit(public_url).hostname
    hosts = (*LOCAL_HOSTS, public_host) if public_host else LOCAL_HOSTS
    app = Starlette(
        routes=[
            Route("/", _signed_in(_home)),
            Route("/join", _show_invitation),
            Route("/join", _join, methods=["POST"]),
            Route("/items/{item_id}/next", _signed_in(_next)),
            Route("/items/{item_id}/answers/{sha256}", _signed_in(_answer)),
            Route("/items/{item_id}/answers/{sha256}", _signed_in(_judge), methods=["POST"]),
            Route("/items/{item_id}/answers/{sha256}/related", _signed_in(_related)),
            Route("/items/{item_id}/answers/{sha256}/pictures/{number:int}", _signed_in(_picture)),
            Route("/items/{item_id}/rubric", _signed_in(_rubric)),
            Route("/items/{item_id}/rubric", _signed_in(_change_rubric), methods=["POST"]),
            Route("/undo", _signed_in(_undo), methods=["POST"]),
            Route("/history", _signed_in(_history)),
            Route("/agreement", _signed_in(_agreement)),
            Route("/static/{name}", _static),
        ],
        middleware=make_middleware(key, hosts, public_url),
        exception_handlers={
            HTTPException: cast("Any", _explain_http_error),
            UsageError: cast("Any", _explain_usage_error),
        },
    )
    app.state.review = Review(store=store, assignment=assignment, output=output)
    return app


def _signed_in(page: Page) -> Handler:
    """Only for those who accepted an invitation that still holds."""

    @wraps(page)
    async def handler(request: Request) -> Response:
        review: Review = request.app.state.review
        account = _account(request)
        if account is None or not is_valid(review.store, account):
            raise HTTPException(401, "you need an invitation; open the link that you were sent")
        review.catch_up()
        return await page(request, review, account)

    return handler


def _account(request: Request) -> Account | None:
    session = request.session
    if "grader" not in session:
        return None
    return Account(name=session["grader"], generation=session["generation"])


def _view(request: Request, account: Account) -> View:
    return View(
        grader=account.name,
        csrf=request.session["csrf"],
        shown=_filter(request.query_params.get("show", "")),
    )


def _filter(name: str) -> Filter:
    return Filter(name) if name in set(Filter) else Filter.UNGRADED


def _item_id(request: Request, review: Review) -> str:
    item_id = str(request.path_params["item_id"])
    if item_id not in written_items(review.assignment):
        raise HTTPException(404, "there is no such part")
    return item_id


async def _show_invitation(request: Request) -> Response:
    """Opening a link changes nothing yet: mail programs open links too."""
    review: Review = request.app.state.review
    token = request.query_params.get("token", "")
    account = accept(review.store, token)
    csrf = request.session.setdefault("csrf", secrets.token_urlsafe())
    return pages.join(account.name, token=token, csrf=csrf)


async def _join(request: Request) -> Response:
    review: Review = request.app.state.review
    form = await read_form(request)
    account = accept(review.store, form.text("token", longest=2000))
    request.session.clear()
    request.session.update(
        grader=account.name, generation=account.generation, csrf=secrets.token_urlsafe()
    )
    return RedirectResponse("/", 303)


async def _home(request: Request, review: Review, account: Account) -> Response:
    return pages.home(review, _view(request, account))


async def _next(request: Request, review: Review, account: Account) -> Response:
    """The first answer under the filter, or that none is left."""
    view = _view(request, account)
    item_id = _item_id(request, review)
    chosen = pages.chosen_groups(review, view, item_id)
    if not chosen:
        return pages.nothing_left(review, view, item_id)
    return RedirectResponse(pages.answer_address(item_id, chosen[0].sha256, view.shown), 303)


async def _answer(request: Request, review: Review, account: Account) -> Response:
    return pages.answer(
        review, _view(request, account), _item_id(request, review), request.path_params["sha256"]
    )


async def _judge(request: Request, review: Review, account: Account) -> Response:
    view = _view(request, account)
    item_id = _item_id(request, review)
    sha256 = request.path_params["sha256"]
    form = await read_form(request)
    judgement = Judgement(
        grader=account.name,
        rubric_items=form.chosen("found"),
        adjustment=form.number("adjustment"),
        comment=form.text("comment", longest=LONGEST_COMMENT),
        flagged=bool(form.text("flagged")),
        answer_sha256=sha256,
        judged_at=now(),
    )
    reading = SECOND if view.shown is Filter.SECOND else FIRST
    following = pages.following_address(review, view, item_id, sha256)
    try:
        judge(review.store, item_id, judgement, seen=form.text("seen"), reading=reading)
    except ConflictError as conflict:
        return pages.answer(review, view, item_id, sha256, mine=judgement, conflict=str(conflict))
    if form.text("keep"):
        keep_snippet(review.store, item_id, judgement.comment, grader=account.name)
    return RedirectResponse(following, 303)


async def _undo(request: Request, review: Review, account: Account) -> Response:
    view = _view(request, account)
    await read_form(request)
    change = undo(review.store, account.name)
    if change is None:
        raise UsageError("you have judged nothing that could be taken back")
    sha256 = change.after[0]["judgement"]["answer_sha256"]
    shown = Filter.SECOND if change.after[0]["reading"] == SECOND else view.shown
    if not change.item_id or read_answer(review.store, change.item_id, sha256) is None:
        return RedirectResponse("/", 303)
    return RedirectResponse(pages.answer_address(change.item_id, sha256, shown), 303)


async def _related(request: Request, review: Review, account: Account) -> Response:
    member = request.query_params.get("member", "0")
    return pages.related(
        review,
        _view(request, account),
        _item_id(request, review),
        request.path_params["sha256"],
        member=int(member) if member.isdecimal() and len(member) < 6 else 0,
    )


async def _picture(request: Request, review: Review, _account: Account) -> Response:
    answer = read_answer(review.store, _item_id(request, review), request.path_params["sha256"])
    number = request.path_params["number"]
    if answer is None or number >= len(answer.pictures):
        raise HTTPException(404, "there is no such picture")
    path = review.output / answer.folder / PICTURES_NAME / answer.pictures[number]
    if not path.is_file():
        raise HTTPException(404, "the picture was removed meanwhile")
    return FileResponse(path, media_type="image/png")


async def _rubric(request: Request, review: Review, account: Account) -> Response:
    saved = "saved" in request.query_params
    return pages.rubric(review, _view(request, account), _item_id(request, review), saved=saved)


async def _change_rubric(request: Request, review: Review, account: Account) -> Response:
    item_id = _item_id(request, review)
    form = await read_form(request)
    change_rubric(
        review.store,
        review.assignment,
        item_id,
        _rubric_items(form),
        grader=account.name,
        seen=form.text("seen"),
    )
    return RedirectResponse(f"/items/{item_id}/rubric?saved=1", 303)


def _rubric_items(form: Form) -> list[RubricItem]:
    columns = (form.chosen("id"), form.chosen("text"), form.chosen("points"))
    if len({len(column) for column in columns}) != 1:
        raise HTTPException(400, "the form is incomplete")
    return [
        RubricItem(id=rubric_id, text=text.strip(), points=read_number(points, "points"))
        for rubric_id, text, points in zip(*columns, strict=True)
        if rubric_id or text.strip()
    ]


async def _history(request: Request, review: Review, account: Account) -> Response:
    return pages.history(review, _view(request, account))


async def _agreement(request: Request, review: Review, account: Account) -> Response:
    return pages.agreement(review, _view(request, account))


async def _static(request: Request) -> Response:
    if request.path_params["name"] not in _STATIC:
        raise HTTPException(404, "there is no such file")
    package, path, media_type = _STATIC[request.path_params["name"]]
    return Response(files(package).joinpath(path).read_bytes(), media_type=media_type)


async def _explain_http_error(_request: Request, error: HTTPException) -> Response:
    return pages.message(error.detail, status=error.status_code)


async def _explain_usage_error(_request: Request, error: UsageError) -> Response:
    status = 409 if isinstance(error, ConflictError) else 400
    return pages.message(str(error), next_step=error.next_step, status=status)
