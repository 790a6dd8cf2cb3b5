"""A class's diary: one JSON object a line, on the disk as soon as it has happened."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import msgspec

JOURNAL_NAME = "journal.jsonl"


class Journal:
    """Appends to a journal; a context manager."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("ab", buffering=0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._file.close()

    def write(self, event: str, **details: Any) -> None:
        """Append one event with the time, ISO 8601 in UTC."""
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        self._file.write(msgspec.json.encode({"at": now, "event": event, **details}) + b"\n")
