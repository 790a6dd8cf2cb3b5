"""Graders' accounts: a signed invitation opens one, and a revocation closes it."""

from __future__ import annotations

from dataclasses import dataclass

from itsdangerous import BadSignature, SignatureExpired, URLSafeTimedSerializer

from grader.errors import UsageError
from grader.review.store import ReviewStore
from grader.text import display_name

INVITATION_DAYS = 14
LONGEST_NAME = 60


@dataclass(frozen=True, kw_only=True)
class Account:
    """A person who grades; `generation` counts the revocations before the invitation."""

    name: str
    generation: int


def invite(store: ReviewStore, name: str, *, by: str) -> str:
    """Return the token of a link that lets `name` grade; earlier links stay valid."""
    clean = display_name(name.strip())
    if not clean or len(clean) > LONGEST_NAME:
        raise UsageError(
            f"a grader's name has 1 to {LONGEST_NAME} characters, not {len(clean)}",
            next_step="give another name",
        )
    with store.transaction():
        generation = store.generation(clean)
        if generation is None:
            generation = 0
            store.set_generation(clean, generation)
            store.record_change(grader=by, kind="invitation", after=clean)
    return _serializer(store).dumps([clean, generation])


def revoke(store: ReviewStore, name: str, *, by: str) -> None:
    """Revoke every invitation and session of a grader; judgements stay."""
    with store.transaction():
        generation = store.generation(name)
        if generation is None:
            raise UsageError(f"no grader named {name!r} was invited")
        store.set_generation(name, generation + 1)
        store.record_change(grader=by, kind="revocation", after=name)


def accept(store: ReviewStore, token: str) -> Account:
    """Return the account that an invitation opens.

    Raises:
        UsageError: the invitation is forged, too old or revoked.
    """
    next_step = "ask for a new invitation: `grade review invite NAME`"
    try:
        name, generation = _serializer(store).loads(token, max_age=INVITATION_DAYS * 86_400)
    except SignatureExpired:
        raise UsageError(
            f"this invitation is older than {INVITATION_DAYS} days", next_step=next_step
        ) from None
    except BadSignature:
        raise UsageError("this is not an invitation to this class", next_step=next_step) from None
    if store.generation(name) != generation:
        raise UsageError("this invitation was revoked", next_step=next_step)
    return Account(name=name, generation=generation)


def _serializer(store: ReviewStore) -> URLSafeTimedSerializer:
    return URLSafeTimedSerializer(store.secret_key(), salt="invitation")
