"""Forms from a browser: limited in size, sent from this site's own pages, read field by field."""

from __future__ import annotations

import hmac
import math
from dataclasses import dataclass
from urllib.parse import parse_qs

from starlette.exceptions import HTTPException
from starlette.requests import Request

from grader.review.judgements import parse_points

MAXIMUM_FORM_BYTES = 100_000
MAXIMUM_FIELDS = 500
_FORM = "application/x-www-form-urlencoded"


@dataclass(frozen=True)
class Form:
    """The fields of a form, each with all its values."""

    fields: dict[str, list[str]]

    def text(self, name: str, *, longest: int = 200) -> str:
        """Return a field without surrounding spaces; empty if missing.

        Raises:
            HTTPException: the field is too long.
        """
        value = self.fields.get(name, [""])[-1].replace("\r\n", "\n").strip()
        if len(value) > longest:
            raise HTTPException(400, f"{name} has {len(value):,} characters; at most {longest:,}")
        return value

    def chosen(self, name: str) -> tuple[str, ...]:
        """Return every value of a field, such as the ticked boxes."""
        return tuple(self.fields.get(name, ()))


def read_number(text: str, name: str) -> float:
    """Return a number with a decimal point or comma; 0 if empty.

    Raises:
        HTTPException: the text is not a finite number.
    """
    value = parse_points(text)
    if not math.isfinite(value):
        raise HTTPException(400, f"{name} is not a number: {text}")
    return value


async def read_form(request: Request) -> Form:
    """Return the form that was sent.

    Raises:
        HTTPException: the form is too large, of another kind, or not from a page of this site.
    """
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
    expected = request.session.get("csrf", "")
    if not expected or not hmac.compare_digest(form.text("csrf").encode(), expected.encode()):
        raise HTTPException(403, "this form does not come from your own page; load the page again")
    return form
