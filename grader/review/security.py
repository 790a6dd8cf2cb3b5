"""Guard the application: headers on every response; hosts, sessions and forms of requests."""

from __future__ import annotations

import hashlib
import hmac
import math
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from grader.review.judgements import parse_points

SESSION_SECONDS = 12 * 3600
LOCAL_HOSTS = ("127.0.0.1", "localhost", "::1")
MAXIMUM_FORM_BYTES = 100_000
MAXIMUM_FIELDS = 500
_FORM = "application/x-www-form-urlencoded"

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
"""Nothing from outside and nothing inline, in case the sanitiser lets part of an answer through.
`data:` is for the pictures that the grader draws into reports."""

_HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    "Cache-Control": "no-store",
}


class SecurityHeaders:
    """Middleware that adds the headers to every response, even to errors and files."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Call the application and add the headers to its response."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers[name] = value
            await send(message)

        await self._app(scope, receive, send_with_headers)


def make_middleware(key: bytes, hosts: Sequence[str], public_url: str) -> list[Middleware]:
    """Return the middleware, the outermost first.

    `Host` names that are not in `hosts` are refused, which stops DNS rebinding. If `public_url` is
    https, the cookie travels only over TLS.
    """
    # Browsers send cookies to every port of a host, so two classes need two cookie names.
    name = f"grade_review_{hashlib.sha256(key).hexdigest()[:8]}"
    return [
        Middleware(SecurityHeaders),
        Middleware(TrustedHostMiddleware, allowed_hosts=list(hosts), www_redirect=False),
        Middleware(
            SessionMiddleware,
            secret_key=key.hex(),
            session_cookie=name,
            max_age=SESSION_SECONDS,
            same_site="strict",
            https_only=urlsplit(public_url).scheme == "https",
        ),
    ]


@dataclass(frozen=True)
class Form:
    """The fields of a form, each with all its values."""

    fields: dict[str, list[str]]

    def text(self, name: str, *, longest: int = 200) -> str:
        """Return a field without surrounding spaces, empty if missing; refuse one too long."""
        value = self.fields.get(name, [""])[-1].replace("\r\n", "\n").strip()
        if len(value) > longest:
            raise HTTPException(400, f"{name} has {len(value):,} characters; at most {longest:,}")
        return value

    def chosen(self, name: str) -> tuple[str, ...]:
        """Return every value of a field, such as the ticked boxes."""
        return tuple(self.fields.get(name, ()))


def read_number(text: str, name: str) -> float:
    """Return a number with a decimal point or comma, 0 if empty; refuse other texts."""
    value = parse_points(text)
    if not math.isfinite(value):
        raise HTTPException(400, f"{name} is not a number: {text}")
    return value


async def read_form(request: Request) -> Form:
    """Return the form that was sent, and keep its texts for an error page; refuse one too large."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _FORM:
        raise HTTPException(415, "only forms are accepted")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAXIMUM_FORM_BYTES:
            raise HTTPException(413, f"a form has at most {MAXIMUM_FORM_BYTES:,} bytes")
    try:
        decoded = body.decode("ascii")
        fields = parse_qs(decoded, keep_blank_values=True, max_num_fields=MAXIMUM_FIELDS)
    except ValueError:
        raise HTTPException(400, "the form cannot be read") from None
    form = Form(fields)
    request.state.typed = "\n\n".join(filter(None, form.chosen("comment") + form.chosen("text")))
    return form


def check_token(request: Request, form: Form) -> None:
    """Refuse a form that is not from a page of this site."""
    expected = request.session.get("csrf", "")
    if not expected or not hmac.compare_digest(form.text("csrf").encode(), expected.encode()):
        raise HTTPException(403, "this form does not come from your own page; load the page again")
