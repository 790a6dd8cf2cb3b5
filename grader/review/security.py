"""Security headers on every response; allowed hosts and signed sessions for every request."""

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
"""Nothing from outside and nothing inline, in case the sanitiser lets part of an answer through.
`data:` is for the digits that the grader draws into reports."""

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
