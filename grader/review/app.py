"""The web application: the page behind each address, and the accounts that may see it."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, RedirectResponse, Response
from starlette.routing import Route

from grader.assignment.records import Assignment, RubricItem
from grader.cohort.summary import now
from grader.errors import UsageError
from grader.intake.pictures import PICTURES_NAME
from grader.review import pages
from grader.review.accounts import accept
from grader.review.judgements import LONGEST_COMMENT, Judgement
from grader.review.ledger import judge, undo
from grader.review.pages import Review, View
from grader.review.queue import EVERYTHING, Filter, Share, give_share
from grader.review.rubrics import change_rubric
from grader.review.security import (
    LOCAL_HOSTS,
    Form,
    check_token,
    make_middleware,
    read_form,
    read_number,
)
from grader.review.store import SECOND, ConflictError, ReviewStore

_STATIC = {
    "review.css": ("grader.review", "static/review.css", "text/css"),
    "review.js": ("grader.review", "static/review.js", "text/javascript"),
    "report.css": ("grader.report", "templates/style.css", "text/css"),
}
"""All files that are served; no part of a request becomes a path."""

Handler = Callable[[Request], Awaitable[Response]]


def make_app(
    store: ReviewStore, assignment: Assignment, output: Path, public_url: str
) -> Starlette:
    """Return the application over one class, to be served in the thread that opened the store.

    `output` holds the class's reports; `public_url` is a reverse proxy's, or empty.
    """
    public_host = urlsplit(public_url).hostname
    hosts = (*LOCAL_HOSTS, public_host) if public_host else LOCAL_HOSTS
    item, one_answer = "/items/{item_id}", "/items/{item_id}/answers/{sha256}"
    app = Starlette(
        routes=[
            Route("/", _signed_in(pages.home)),
            Route("/join", _show_invitation),
            Route("/join", _join, methods=["POST"]),
            Route(f"{item}/next", _signed_in(pages.next_answer)),
            Route(one_answer, _signed_in(pages.answer)),
            Route(one_answer, _signed_in(_judge), methods=["POST"]),
            Route(f"{one_answer}/related", _signed_in(pages.related)),
            Route(f"{one_answer}/pictures/{{number:int}}", _signed_in(_picture)),
            Route(f"{item}/rubric", _signed_in(pages.rubric)),
            Route(f"{item}/rubric", _signed_in(_change_rubric), methods=["POST"]),
            Route("/share", _signed_in(_take_share), methods=["POST"]),
            Route("/undo", _signed_in(_undo), methods=["POST"]),
            Route("/history", _signed_in(pages.history)),
            Route("/agreement", _signed_in(pages.agreement)),
            Route("/static/{name}", _static),
        ],
        middleware=make_middleware(store.secret_key(), hosts, public_url),
        exception_handlers={HTTPException: _explain, UsageError: _explain},
    )
    app.state.review = Review(store=store, assignment=assignment, output=output)
    return app


def _signed_in(page: Callable[..., Response]) -> Handler:
    """Return a handler for people with a valid invitation.

    The page is called with the view, the form if one was sent, and the address's parameters.
    """

    async def handle(request: Request) -> Response:
        review: Review = request.app.state.review
        form = await read_form(request) if request.method == "POST" else None
        session = request.session
        grader = session.get("grader", "")
        if not grader or review.store.generation(grader) != session["generation"]:
            raise HTTPException(
                401,
                "you need an invitation, or your session ended: open the link that you were sent",
            )
        review.catch_up()
        parameters = request.path_params
        if "item_id" in parameters and not review.is_graded_here(parameters["item_id"]):
            raise HTTPException(404, "there is no such part")
        shown = request.query_params.get("show", "")
        view = View(
            review=review,
            grader=grader,
            csrf=session["csrf"],
            shown=Filter(shown) if shown in set(Filter) else Filter.UNGRADED,
            query=request.query_params,
        )
        if form is not None:
            check_token(request, form)
            return page(view, form, **parameters)
        return page(view, **parameters)

    return handle


async def _show_invitation(request: Request) -> Response:
    # Opening a link changes nothing yet, because mail programs open links too.
    review: Review = request.app.state.review
    token = request.query_params.get("token", "")
    account = accept(review.store, token)
    csrf = request.session.setdefault("csrf", secrets.token_urlsafe())
    return pages.join(account.name, token=token, csrf=csrf)


async def _join(request: Request) -> Response:
    review: Review = request.app.state.review
    form = await read_form(request)
    check_token(request, form)
    account = accept(review.store, form.text("token", longest=2000))
    request.session.clear()
    request.session.update(
        grader=account.name, generation=account.generation, csrf=secrets.token_urlsafe()
    )
    return RedirectResponse("/", 303)


def _judge(view: View, form: Form, item_id: str, sha256: str) -> Response:
    store = view.review.store
    judgement = Judgement(
        grader=view.grader,
        rubric_items=form.chosen("found"),
        adjustment=read_number(form.text("adjustment"), "adjustment"),
        comment=form.text("comment", longest=LONGEST_COMMENT),
        flagged=bool(form.text("flagged")),
        answer_sha256=sha256,
        judged_at=now(),
    )
    # The next answer under the filter must be found before this one leaves the filter.
    following = pages.following_address(view, item_id, sha256)
    try:
        judge(store, item_id, judgement, seen=form.text("seen"), reading=view.reading)
    except ConflictError as conflict:
        return pages.answer(view, item_id, sha256, mine=judgement, conflict=str(conflict))
    if form.text("keep") and judgement.comment:
        store.keep_snippet(item_id, judgement.comment, grader=view.grader)
    return RedirectResponse(following, 303)


def _take_share(view: View, form: Form) -> Response:
    store = view.review.store
    chosen = f"{form.text('share') or EVERYTHING} {form.text('section')}"
    share = Share.read(chosen, store.sections().values())
    give_share(store, view.grader, share, by=view.grader)
    return RedirectResponse("/", 303)


def _undo(view: View, _form: Form) -> Response:
    store = view.review.store
    change = undo(store, view.grader)
    if change is None:
        raise UsageError("you have no judgement that can be undone")
    sha256 = change.after[0]["judgement"]["answer_sha256"]
    shown = Filter.SECOND if change.after[0]["reading"] == SECOND else view.shown
    if not change.item_id or store.answer(change.item_id, sha256) is None:
        return RedirectResponse("/", 303)
    return RedirectResponse(pages.answer_address(change.item_id, sha256, shown), 303)


def _picture(view: View, item_id: str, sha256: str, number: int) -> Response:
    answer = view.review.store.answer(item_id, sha256)
    if answer is None or number >= len(answer.pictures):
        raise HTTPException(404, "there is no such picture")
    path = view.review.output / answer.folder / PICTURES_NAME / answer.pictures[number]
    if not path.is_file():
        raise HTTPException(404, "the picture was removed in the meantime")
    return FileResponse(path, media_type="image/png")


def _change_rubric(view: View, form: Form, item_id: str) -> Response:
    columns = (form.chosen("id"), form.chosen("text"), form.chosen("points"))
    if len({len(column) for column in columns}) != 1:
        raise HTTPException(400, "the form is incomplete")
    items = [
        RubricItem(id=rubric_id, text=text.strip(), points=read_number(points, "points"))
        for rubric_id, text, points in zip(*columns, strict=True)
        if rubric_id or text.strip()
    ]
    review, seen = view.review, form.text("seen")
    change_rubric(review.store, review.assignment, item_id, items, grader=view.grader, seen=seen)
    return RedirectResponse(f"/items/{item_id}/rubric?saved=1", 303)


async def _static(request: Request) -> Response:
    if request.path_params["name"] not in _STATIC:
        raise HTTPException(404, "there is no such file")
    package, path, media_type = _STATIC[request.path_params["name"]]
    return Response(files(package).joinpath(path).read_bytes(), media_type=media_type)


async def _explain(request: Request, error: Any) -> Response:
    # Without a session nothing can be saved, so what was typed is given back.
    typed = getattr(request.state, "typed", "")
    if isinstance(error, HTTPException):
        return pages.message(error.detail, status=error.status_code, typed=typed)
    status = 409 if isinstance(error, ConflictError) else 400
    return pages.message(str(error), next_step=error.next_step, status=status, typed=typed)
