"""What every response says and every request must: headers, hosts, sessions."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from urllib.parse import urlsplit

from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

SESSION_SECONDS = 12 * 3600
LOCAL_HOSTS = ("127.0.0.1", "localhost", "::1")

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
"""Nothing from outside and nothing inline: a student's answer could hold either, had the
sanitiser a hole. `data:` is for the digits that the grader draws into reports."""

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
    """Adds the headers to every response, errors and files included."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, with the headers on the way back."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers[name] = value
            await send(message)

        await self._app(scope, receive, send_with_headers)


def make_middleware(key: bytes, hosts: Sequence[str], public_url: str) -> list[Middleware]:
    """All of it, the outermost first.

    Args:
        key: of the class.
        hosts: the names under which the server may be asked; others are refused, so that a
            foreign site cannot reach it by giving its own name this machine's address.
        public_url: of the reverse proxy, or empty. Over https, the cookie goes nowhere else.
    """
    # A browser gives one port's cookies to all others of a host: two classes need two names.
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
