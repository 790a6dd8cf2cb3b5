"""Who may grade: people with a signed invitation, for as long as it is not withdrawn."""

from __future__ import annotations

from dataclasses import dataclass

from itsdangerous import BadSignature, SignatureExpired, URLSafeTimedSerializer

from grader.cohort.store import Store
from grader.errors import UsageError
from grader.review.changes import record_change
from grader.review.settings import secret_key
from grader.text import display_name

INVITATION_DAYS = 14
LONGEST_NAME = 60


@dataclass(frozen=True, kw_only=True)
class Account:
    """One who grades.

    Attributes:
        generation: how often invitations of this name were withdrawn; older ones are void.
    """

    name: str
    generation: int


def invite(store: Store, name: str, *, by: str) -> str:
    """The token of a link with which `name` can grade; earlier ones stay valid.

    Raises:
        UsageError: the name is empty or too long.
    """
    clean = display_name(name.strip())
    if not clean or len(clean) > LONGEST_NAME:
        raise UsageError(
            "the name of a grader must not be empty or very long",
            next_step=f"give one of 1 to {LONGEST_NAME} characters",
        )
    with store.transaction():
        if generation_of(store, clean) is None:
            store.connection.execute("INSERT INTO graders VALUES (?, 0)", (clean,))
            record_change(store, grader=by, kind="invitation", after=clean)
    return _serializer(store).dumps([clean, generation_of(store, clean)])


def revoke(store: Store, name: str, *, by: str) -> None:
    """Make every invitation and session of a grader void; judgements stay.

    Raises:
        UsageError: nobody of that name was invited.
    """
    with store.transaction():
        if generation_of(store, name) is None:
            raise UsageError(f"nobody named {name!r} was invited")
        store.connection.execute(
            "UPDATE graders SET generation = generation + 1 WHERE name = ?", (name,)
        )
        record_change(store, grader=by, kind="revocation", after=name)


def accept(store: Store, token: str) -> Account:
    """The account that an invitation opens.

    Raises:
        UsageError: the invitation is forged, too old, or was withdrawn.
    """
    next_step = "ask for a new one: `grade review invite NAME`"
    try:
        name, generation = _serializer(store).loads(token, max_age=INVITATION_DAYS * 86_400)
    except SignatureExpired:
        raise UsageError(
            f"this invitation is older than {INVITATION_DAYS} days", next_step=next_step
        ) from None
    except BadSignature:
        raise UsageError("this is no invitation to this class", next_step=next_step) from None
    account = Account(name=name, generation=generation)
    if not is_valid(store, account):
        raise UsageError("this invitation was withdrawn", next_step=next_step)
    return account


def is_valid(store: Store, account: Account) -> bool:
    """Whether the account was not withdrawn since."""
    return generation_of(store, account.name) == account.generation


def generation_of(store: Store, name: str) -> int | None:
    """How often a grader's invitations were withdrawn, or None for a stranger."""
    row = store.connection.execute(
        "SELECT generation FROM graders WHERE name = ?", (name,)
    ).fetchone()
    return row[0] if row else None


def _serializer(store: Store) -> URLSafeTimedSerializer:
    return URLSafeTimedSerializer(secret_key(store), salt="invitation")
