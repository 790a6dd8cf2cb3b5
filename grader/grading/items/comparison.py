"""Compare a student's answer with the accepted values, and explain the difference.

A `PlainValue` has lists, tuples, arrays and tensors all as tuples, so a student may return any.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from grader.models.questions import PlainMapping, PlainValue

_TABLE_ROWS = 12
"""A side-by-side rendering has at most this many rows."""

_ROW_ENTRIES = 8
"""The last axis of an array is rendered as one row up to this length, else entry by entry."""

_PRINTABLE_BITS = 256
"""Larger integers are described, because Python refuses to print huge integers."""

_ROUNDING_ERROR = 1e-3
"""A float this near to the expected integer was computed right, apart from rounding."""
_NUMBER_IN_TEXT = re.compile(r"\s*([-+]?(?:\d[\d_]*\.?\d*|\.\d+)(?:e[-+]?\d+)?)\s*", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Mismatch:
    """The difference between an answer and an accepted value.

    Attributes:
        details: preformatted text that shows where an array differs, or empty.
        distance: smaller for a closer value: the number of entries that differ, infinite if the
            structure differs, and then their total difference.
    """

    message: str
    next_step: str
    details: str = ""
    distance: tuple[float, float] = (math.inf, math.inf)


@dataclass(frozen=True, kw_only=True)
class _Entry:
    """One place in two values of the same structure."""

    path: tuple[PlainValue, ...]
    observed: PlainValue
    expected: PlainValue
    fault: Mismatch | None


def compare(
    observed: PlainValue, accepted: tuple[PlainValue, ...], *, tolerance: float
) -> Mismatch | None:
    """Return the difference from the closest accepted value, or None if the answer is accepted.

    Args:
        observed: the student's answer.
        accepted: the right values, at least one.
        tolerance: the allowed absolute difference from an accepted float. An accepted integer
            must be met exactly; the float 7.0 equals 7.
    """
    mismatches = []
    for expected in accepted:
        mismatch = _find_mismatch(observed, expected, tolerance)
        if mismatch is None:
            return None
        mismatches.append(mismatch)
    return min(mismatches, key=lambda mismatch: mismatch.distance)


def format_value(value: PlainValue, limit: int = 120) -> str:
    """Write a value compactly, with "…" in place of what is past `limit` characters."""
    text = ""
    for piece in _pieces(value):
        text += piece
        if len(text) > limit:
            return f"{text[: limit - 1]}…"
    return text


def describe_form(value: PlainValue) -> str:
    """Return the kind and shape of an accepted value, which do not give it away."""
    if isinstance(value, tuple):
        shape = shape_of(value)
        return f"a list of shape {shape}" if shape and len(shape) > 1 else f"{len(value)} values"
    forms = {bool: "True or False", int: "an integer", float: "a number", str: "a text"}
    return forms.get(type(value), "another kind of value")


def shape_of(value: PlainValue) -> tuple[int, ...] | None:
    """Return the shape of nested tuples: () for a single value, None if they are uneven."""
    if isinstance(value, PlainMapping):
        return None
    if not isinstance(value, tuple):
        return ()
    inner = {shape_of(item) for item in value} or {()}
    first = inner.pop()
    return None if inner or first is None else (len(value), *first)


def _find_mismatch(observed: PlainValue, expected: PlainValue, tolerance: float) -> Mismatch | None:
    observed_shape, expected_shape = shape_of(observed), shape_of(expected)
    if (
        observed_shape is not None
        and expected_shape is not None
        and observed_shape != expected_shape
    ):
        return _explain_shapes(observed, observed_shape, expected_shape)
    uneven = _find_uneven_place(observed, expected, ())
    if uneven:
        return uneven
    entries = list(_pair_entries(observed, expected, tolerance, ()))
    faults = [(entry, entry.fault) for entry in entries if entry.fault]
    if not faults:
        return None
    first, fault = faults[0]
    distance = (len(faults), sum(_gap(entry.observed, entry.expected) for entry, _ in faults))
    message, details = f"your function returned {fault.message}", ""
    if first.path:
        verb = "differs" if len(faults) == 1 else "differ"
        message = (
            f"{len(faults)} of {_count_entries(len(entries))} {verb}, "
            f"the first at {_index(first.path)}: {fault.message}"
        )
        details = _render_side_by_side(entries, expected_shape)
    return replace(fault, message=message, details=details, distance=distance)


def _explain_shapes(
    observed: PlainValue, observed_shape: tuple[int, ...], expected_shape: tuple[int, ...]
) -> Mismatch:
    """Explain two shapes that differ, with the way from one to the other."""
    without_ones = [size for size in observed_shape if size != 1]
    if not observed_shape:
        got = f"the single value {format_value(observed, 40)}"
        text = " and not text" if isinstance(observed, str) else ""
        next_step = f"return a tuple, list or array{text}"
    else:
        got = f"values of shape {observed_shape}"
        if not expected_shape and math.prod(observed_shape) == 1:
            next_step = "return the value itself, not a list that holds it"
        elif not expected_shape:
            next_step = "return one value"
        elif without_ones == [size for size in expected_shape if size != 1]:
            next_step = f"change only the dimensions of size 1: reshape to {expected_shape}"
        elif math.prod(observed_shape) == math.prod(expected_shape):
            next_step = f"nest the same number of values as {expected_shape}"
        else:
            next_step = f"return values of shape {expected_shape}"
    demand = f"values of shape {expected_shape} are" if expected_shape else "a single value is"
    return Mismatch(
        message=f"your function returned {got}, where {demand} expected", next_step=next_step
    )


def _find_uneven_place(
    observed: PlainValue, expected: PlainValue, path: tuple[PlainValue, ...]
) -> Mismatch | None:
    """Return the first place at which two values are nested differently."""
    place = f"the entry at {_index(path)}" if path else "the answer"
    observed_inner, expected_inner = _children(observed), _children(expected)
    if _structure(observed) != _structure(expected):
        return Mismatch(
            message=f"{place} is {_structure(observed)}, where {_structure(expected)} is expected",
            next_step=f"make {place} {_structure(expected)}",
        )
    missing = [key for key in expected_inner if key not in observed_inner]
    surplus = [key for key in observed_inner if key not in expected_inner]
    if (missing or surplus) and isinstance(expected, PlainMapping):
        lacks = f" lacks the key {format_value(missing[0], 40)}" if missing else ""
        has = f" has the surplus key {format_value(surplus[0], 40)}" if surplus else ""
        return Mismatch(
            message=f"{place}{' and'.join(filter(None, (lacks, has)))}",
            next_step=f"use the keys {format_value(tuple(expected_inner))}",
        )
    if missing or surplus:
        return Mismatch(
            message=(
                f"{place} has {_count_entries(len(observed_inner))}, "
                f"where {len(expected_inner)} are expected"
            ),
            next_step=f"give {place} {_count_entries(len(expected_inner))}",
        )
    inner = (
        _find_uneven_place(observed_inner[key], expected_inner[key], (*path, key))
        for key in expected_inner
    )
    return next(filter(None, inner), None)


def _structure(value: PlainValue) -> str:
    if isinstance(value, PlainMapping):
        return "a dict"
    return "a sequence" if isinstance(value, tuple) else "a single value"


def _children(value: PlainValue) -> dict[PlainValue, PlainValue]:
    if isinstance(value, PlainMapping):
        return dict(value.pairs)
    return dict(enumerate(value)) if isinstance(value, tuple) else {}


def _pair_entries(
    observed: PlainValue, expected: PlainValue, tolerance: float, path: tuple[PlainValue, ...]
) -> Iterator[_Entry]:
    """Yield the single values of two values of the same structure, in pairs."""
    if isinstance(expected, tuple | PlainMapping):
        observed_inner = _children(observed)
        for key, item in _children(expected).items():
            yield from _pair_entries(observed_inner[key], item, tolerance, (*path, key))
    else:
        fault = _find_fault(observed, expected, tolerance)
        yield _Entry(path=path, observed=observed, expected=expected, fault=fault)


def _find_fault(observed: PlainValue, expected: PlainValue, tolerance: float) -> Mismatch | None:
    """Compare two single values."""
    if isinstance(expected, int | float) and not isinstance(expected, bool):
        return _find_number_fault(observed, expected, tolerance)
    same_type = type(observed) is type(expected)
    if isinstance(expected, str) and isinstance(observed, str):
        equal = observed.strip() == expected.strip()
    else:
        equal = same_type and observed == expected
    if equal:
        return None
    noun = {bool: "True or False", str: "text"}.get(type(expected), "None")
    return Mismatch(
        message=f"{format_value(observed, 60)}, where {format_value(expected, 60)} is expected",
        next_step="work it out again" if same_type else f"return {noun}",
    )


def _find_number_fault(observed: PlainValue, expected: float, tolerance: float) -> Mismatch | None:
    shown = format_value(observed, 60)
    if isinstance(observed, bool):
        return Mismatch(
            message=f"{shown}, a truth value and not a number", next_step="return a number"
        )
    if isinstance(observed, str):
        return Mismatch(message=f"the text {shown}", next_step=_advise_number(observed))
    if not isinstance(observed, int | float):
        return Mismatch(message=f"{shown}, not a number", next_step="return a number")
    if isinstance(observed, float) and math.isnan(observed):
        return Mismatch(
            message="NaN, which equals no number",
            next_step="find the operation that gives NaN, such as 0 / 0",
        )
    allowed = tolerance if isinstance(expected, float) else 0.0
    if observed == expected or _gap(observed, expected) <= allowed:
        return None
    shown, right = _tell_apart(observed, expected)
    next_step = "work it out again"
    if isinstance(observed, float) and isinstance(expected, int):
        right = f"the integer {right}"
        if _gap(observed, expected) < _ROUNDING_ERROR:
            next_step = "return an integer: round() removes the rounding error"
    within = f" (within {allowed:g})" if allowed else ""
    return Mismatch(message=f"{shown}, where {right}{within} is expected", next_step=next_step)


def _advise_number(text: str) -> str:
    match = _NUMBER_IN_TEXT.match(text)
    if match is None:
        return "return a number"
    rest = text[match.end() :]
    if not rest:
        return f"return the number {match[1]} without quotes"
    return f"return the number alone, without {format_value(rest, 30)}"


def _gap(observed: PlainValue, expected: PlainValue) -> float:
    """Return the absolute difference of two numbers; infinite if one is not a number."""
    if not isinstance(observed, int | float) or not isinstance(expected, int | float):
        return math.inf
    try:
        gap = float(abs(observed - expected))
    except OverflowError:  # an integer beyond the range of floats
        return math.inf
    return math.inf if math.isnan(gap) else gap


def _tell_apart(observed: PlainValue, expected: PlainValue) -> tuple[str, str]:
    """Return two different values as texts that differ too."""
    shown, right = format_value(observed, 40), format_value(expected, 40)
    if isinstance(observed, float) and shown in {right, f"{right}.0"}:
        return repr(observed), repr(expected)
    return shown, right


def _count_entries(count: int) -> str:
    return "1 entry" if count == 1 else f"{count} entries"


def _index(path: Sequence[PlainValue]) -> str:
    return f"[{', '.join(format_value(key, 20) for key in path)}]"


def _render_side_by_side(entries: list[_Entry], shape: tuple[int, ...] | None) -> str:
    """Return an array's rows beside the expected rows; ">" marks the rows that differ."""
    by_rows = shape is not None and len(shape) > 1 and shape[-1] <= _ROW_ENTRIES
    depth = -1 if by_rows else None
    rows = [
        (path, list(row))
        for path, row in itertools.groupby(entries, key=lambda entry: entry.path[:depth])
    ]
    first = next(i for i, (_, row) in enumerate(rows) if any(entry.fault for entry in row))
    start = max(0, min(first - 2, len(rows) - _TABLE_ROWS))
    shown = rows[start : start + _TABLE_ROWS]
    texts = [[_tell_apart(entry.observed, entry.expected) for entry in row] for _, row in shown]
    width = max(len(text) for row in texts for pair in row for text in pair)
    label_width = max(len(_index(path)) for path, _ in shown)
    yours_width = max(len("yours"), *(len(row) * (width + 1) - 1 for row in texts))
    lines = [f"  {'':{label_width}}  {'yours':{yours_width}}   expected"]
    for (path, row), pairs in zip(shown, texts, strict=True):
        marker = ">" if any(entry.fault for entry in row) else " "
        yours = " ".join(f"{observed:>{width}}" for observed, _ in pairs)
        right = " ".join(f"{expected:>{width}}" for _, expected in pairs)
        lines.append(f"{marker} {_index(path):{label_width}}  {yours:{yours_width}}   {right}")
    left_out = len(rows) - len(shown)
    if left_out:
        lines.append(f"  … {left_out} more rows are not shown")
    return "\n".join(line.rstrip() for line in lines)


def _pieces(value: PlainValue) -> Iterator[str]:
    """Yield a value's text in pieces, so that a large value need not be written to its end."""
    if isinstance(value, PlainMapping):
        yield "{"
        for position, (key, item) in enumerate(value.pairs):
            yield ", " if position else ""
            yield from _pieces(key)
            yield ": "
            yield from _pieces(item)
        yield "}"
    elif isinstance(value, tuple):
        yield "("
        for position, item in enumerate(value):
            yield ", " if position else ""
            yield from _pieces(item)
        yield ",)" if len(value) == 1 else ")"
    elif isinstance(value, float):
        yield _format_float(value)
    elif isinstance(value, int) and value.bit_length() > _PRINTABLE_BITS:
        yield f"an integer of {value.bit_length()} bits"
    else:
        yield repr(value)


def _format_float(value: float) -> str:
    """Write seven significant digits, as float32 has; a whole number keeps its ".0"."""
    text = f"{value:.7g}"
    return f"{text}.0" if text.lstrip("-").isdigit() else text
