"""The names of things by their content: SHA-256 over canonical JSON."""

from __future__ import annotations

import hashlib
from dataclasses import fields, is_dataclass

import msgspec


def digest_of(*parts: object) -> str:
    """Return the SHA-256 of the canonical JSON of `parts`, in hexadecimal."""
    encoded = msgspec.json.encode(_with_class_names(parts), order="deterministic")
    return hashlib.sha256(encoded).hexdigest()


def _with_class_names(value: object) -> object:
    """Add the class name, so that equal fields of different classes hash differently.

    A field whose metadata say `digested: False` is left out: it decides nothing.
    """
    if isinstance(value, tuple | list):
        return [_with_class_names(item) for item in value]
    if isinstance(value, dict):
        return {name: _with_class_names(item) for name, item in value.items()}
    if not is_dataclass(value):
        return value
    named = {
        item.name: _with_class_names(getattr(value, item.name))
        for item in fields(value)
        if item.metadata.get("digested", True)
    }
    return {"class": type(value).__name__, "fields": named}
