"""The names of things by their content: SHA-256 over canonical JSON."""

from __future__ import annotations

import hashlib
from dataclasses import Field, fields, is_dataclass
from typing import Any

import msgspec

from grader.models.author_code import is_authors, source_of


def digest_of(*parts: object) -> str:
    """Return the SHA-256 of the canonical JSON of `parts`, in hexadecimal."""
    encoded = msgspec.json.encode(_with_class_names(parts), order="deterministic")
    return hashlib.sha256(encoded).hexdigest()


def _with_class_names(value: object) -> object:
    """Add the class name, so that equal fields of different classes hash differently.

    A class of an author's is known by its source, too.

    A field whose metadata say `digested: False` is left out: it decides nothing. A field whose
    metadata say `digested: "if set"` is left out at its default, so that a field that is new
    changes no digest of a record without it. `digested_default` stands for None where the default
    once was another.
    """
    if isinstance(value, tuple | list):
        return [_with_class_names(item) for item in value]
    if isinstance(value, dict):
        return {name: _with_class_names(item) for name, item in value.items()}
    if isinstance(value, msgspec.Struct):
        named = {name: _with_class_names(getattr(value, name)) for name in value.__struct_fields__}
    elif is_dataclass(value):
        named = {
            each.name: _with_class_names(_digested_value(value, each))
            for each in fields(value)
            if _is_digested(value, each)
        }
    else:
        return value
    described = {"class": type(value).__name__, "fields": named}
    if is_authors(type(value)):
        described["source"] = source_of(type(value))  # type: ignore[arg-type]  # a class is hashable
    return described


def _is_digested(record: object, each: Field[Any]) -> bool:
    rule = each.metadata.get("digested", True)
    return getattr(record, each.name) != each.default if rule == "if set" else bool(rule)


def _digested_value(record: object, each: Field[Any]) -> object:
    value = getattr(record, each.name)
    return each.metadata.get("digested_default") if value is None else value
