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
    if isinstance(value, msgspec.Struct):
        names = value.__struct_fields__
    elif is_dataclass(value):
        names = tuple(each.name for each in fields(value) if each.metadata.get("digested", True))
    else:
        return value
    named = {name: _with_class_names(getattr(value, name)) for name in names}
    return {"class": type(value).__name__, "fields": named}
