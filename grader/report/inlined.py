"""Style sheets and scripts as part of a page, which allows just them, by their hashes."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from markupsafe import Markup

_TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True, kw_only=True)
class Inlined:
    """What a page holds, and how its Content-Security-Policy names it."""

    text: Markup
    source: Markup


@cache
def inlined(*names: str) -> Inlined:
    """Files of this package's templates, one after the other."""
    text = "".join((_TEMPLATES / name).read_text(encoding="utf-8") for name in names)
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return Inlined(
        text=Markup(text),  # noqa: S704 - files of this package
        source=Markup(f"'sha256-{digest}'"),  # noqa: S704 - base64
    )
