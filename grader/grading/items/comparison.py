"""Hold a student's answer against the accepted values, and say where and how it differs.

A `PlainValue` writes lists, tuples, arrays and tensors all as tuples, so the container that a
student chose makes no difference here.
"""

from __future__ import annotations

import itertools
import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from grader.questions import PlainMapping

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from grader.questions import PlainValue

_TABLE_ROWS = 12
"""A side-by-side rendering has at most this many rows."""

_ROW_ENTRIES = 8
"""The last axis of an array is rendered as one row up to this length, else entry by entry."""

_PRINTABLE_BITS = 256
"""Larger integers are described and not written out: Python refuses to print huge ones."""

_NUMBER_IN_TEXT = re.compile(r"\s*([-+]?(?:\d[\d_]*\.?\d*|\.\d+)(?:e[-+]?\d+)?)\s*", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """How an answer compares with the accepted values.

    Attributes:
        observed: the answer as text.
        expected: the accepted values as text.
        message: how they differ; a remark or nothing if they are equal.
        next_step: what the student can do; empty if they are equal.
        details: preformatted text that shows where an array differs, or empty.
    """

    equal: bool
    observed: str
    expected: str
    message: str = ""
    next_step: str = ""
    details: str = ""


@dataclass(frozen=True, kw_only=True)
class _Mismatch:
    """Why an answer is not a certain accepted value.

    Attributes:
        distance: for telling of the closest of several accepted values: how many entries differ,
            infinite if the structure does, and then by how much they differ together.
    """

    message: str
    next_step: str
    distance: tuple[float, float] = (math.inf, math.inf)
    details: str = ""


@dataclass(frozen=True, kw_only=True)
class _Entry:
    """One place in two values of the same structure."""

    path: tuple[PlainValue, ...]
    observed: PlainValue
    wanted: PlainValue
    fault: _Mismatch | None


def compare(
    observed: PlainValue, accepted: tuple[PlainValue, ...], *, tolerance: float
) -> Comparison:
    """Compare an answer with every accepted value; a difference is told from the closest.

    Args:
        observed: the student's answer.
        accepted: the values that are right, at least one.
        tolerance: the absolute difference allowed where a float is accepted. Where an integer
            is, the answer must equal it exactly; the float 608.0 equals 608.
    """
    mismatches = [_find_mismatch(observed, wanted, tolerance) for wanted in accepted]
    observed_text = format_value(observed)
    expected_text = " or ".join(format_value(wanted) for wanted in accepted)
    if None in mismatches:
        matched = accepted[mismatches.index(None)]
        as_integer = isinstance(observed, float) and isinstance(matched, int)
        return Comparison(
            equal=True,
            observed=observed_text,
            expected=expected_text,
            message=f"the float {observed_text} counts as the integer" if as_integer else "",
        )
    closest = min(filter(None, mismatches), key=lambda mismatch: mismatch.distance)
    return Comparison(
        equal=False,
        observed=observed_text,
        expected=expected_text,
        message=closest.message,
        next_step=closest.next_step,
        details=closest.details,
    )


def format_value(value: PlainValue, limit: int = 120) -> str:
    """Write a value compactly, cut off with "…" where it is longer than `limit` characters."""
    text = ""
    for piece in _pieces(value):
        text += piece
        if len(text) > limit:
            return f"{text[: limit - 1]}…"
    return text


def shape_of(value: PlainValue) -> tuple[int, ...] | None:
    """The shape of nested tuples as an array, () for a single value, None if it has no shape."""
    if isinstance(value, PlainMapping):
        return None
    if not isinstance(value, tuple):
        return ()
    inner = {shape_of(item) for item in value} or {()}
    first = inner.pop()
    return None if inner or first is None else (len(value), *first)


def _find_mismatch(observed: PlainValue, wanted: PlainValue, tolerance: float) -> _Mismatch | None:
    if observed is None and wanted is not None:
        return _Mismatch(
            message="your function returned None: did you forget `return`?",
            next_step="return the answer at the end of the function",
        )
    observed_shape, wanted_shape = shape_of(observed), shape_of(wanted)
    if observed_shape is not None and wanted_shape is not None and observed_shape != wanted_shape:
        return _explain_shapes(observed, observed_shape, wanted_shape)
    uneven = _find_uneven_place(observed, wanted, ())
    if uneven:
        return uneven
    entries = list(_pair_entries(observed, wanted, tolerance, ()))
    faults = [(entry, entry.fault) for entry in entries if entry.fault]
    if not faults:
        return None
    first, fault = faults[0]
    distance = (len(faults), sum(_gap(entry.observed, entry.wanted) for entry, _ in faults))
    if not first.path:
        return _Mismatch(
            message=f"your function returned {fault.message}",
            next_step=fault.next_step,
            distance=distance,
        )
    verb = "differs" if len(faults) == 1 else "differ"
    return _Mismatch(
        message=(
            f"{len(faults)} of {_count_entries(len(entries))} {verb}, "
            f"the first at {_index(first.path)}: {fault.message}"
        ),
        next_step=fault.next_step,
        distance=distance,
        details=_render_side_by_side(entries, wanted_shape),
    )


def _explain_shapes(
    observed: PlainValue, observed_shape: tuple[int, ...], wanted_shape: tuple[int, ...]
) -> _Mismatch:
    """Tell two arrays' shapes apart, with the way from the one to the other."""
    without_ones = [size for size in observed_shape if size != 1]
    if not observed_shape:
        got = f"the single value {format_value(observed, 40)}"
        text = " and not text" if isinstance(observed, str) else ""
        next_step = f"return a tuple, list or array{text}"
    else:
        got = f"values of shape {observed_shape}"
        if not wanted_shape and math.prod(observed_shape) == 1:
            next_step = "return the value itself, not a list that holds it"
        elif not wanted_shape:
            next_step = "return one value"
        elif without_ones == [size for size in wanted_shape if size != 1]:
            next_step = f"change only the dimensions of size 1: reshape to {wanted_shape}"
        elif math.prod(observed_shape) == math.prod(wanted_shape):
            next_step = f"nest the same number of values as {wanted_shape}"
        else:
            next_step = f"return values of shape {wanted_shape}"
    expected = f"values of shape {wanted_shape} are" if wanted_shape else "a single value is"
    return _Mismatch(
        message=f"your function returned {got}, where {expected} expected", next_step=next_step
    )


def _find_uneven_place(
    observed: PlainValue, wanted: PlainValue, path: tuple[PlainValue, ...]
) -> _Mismatch | None:
    """The first place at which two values are nested in different ways."""
    place = f"the entry at {_index(path)}" if path else "the answer"
    observed_inner, wanted_inner = _children(observed), _children(wanted)
    if _structure(observed) != _structure(wanted):
        return _Mismatch(
            message=f"{place} is {_structure(observed)}, where {_structure(wanted)} is expected",
            next_step=f"make {place} {_structure(wanted)}",
        )
    missing = [key for key in wanted_inner if key not in observed_inner]
    surplus = [key for key in observed_inner if key not in wanted_inner]
    if (missing or surplus) and isinstance(wanted, PlainMapping):
        lacks = f" lacks the key {format_value(missing[0], 40)}" if missing else ""
        has = f" has the surplus key {format_value(surplus[0], 40)}" if surplus else ""
        return _Mismatch(
            message=f"{place}{' and'.join(filter(None, (lacks, has)))}",
            next_step=f"use the keys {format_value(tuple(wanted_inner))}",
        )
    if missing or surplus:
        return _Mismatch(
            message=(
                f"{place} has {_count_entries(len(observed_inner))}, "
                f"where {len(wanted_inner)} are expected"
            ),
            next_step=f"give {place} {_count_entries(len(wanted_inner))}",
        )
    inner = (
        _find_uneven_place(observed_inner[key], wanted_inner[key], (*path, key))
        for key in wanted_inner
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
    observed: PlainValue, wanted: PlainValue, tolerance: float, path: tuple[PlainValue, ...]
) -> Iterator[_Entry]:
    """The single values of two values of the same structure, place by place."""
    if isinstance(wanted, tuple | PlainMapping):
        observed_inner = _children(observed)
        for key, item in _children(wanted).items():
            yield from _pair_entries(observed_inner[key], item, tolerance, (*path, key))
    else:
        fault = _find_fault(observed, wanted, tolerance)
        yield _Entry(path=path, observed=observed, wanted=wanted, fault=fault)


def _find_fault(observed: PlainValue, wanted: PlainValue, tolerance: float) -> _Mismatch | None:
    """Compare two single values."""
    if isinstance(wanted, int | float) and not isinstance(wanted, bool):
        return _find_number_fault(observed, wanted, tolerance)
    same_type = type(observed) is type(wanted)
    if isinstance(wanted, str) and isinstance(observed, str):
        equal = observed.strip() == wanted.strip()
    else:
        equal = same_type and observed == wanted
    if equal:
        return None
    noun = {bool: "True or False", str: "text"}.get(type(wanted), "None")
    return _Mismatch(
        message=f"{format_value(observed, 60)}, where {format_value(wanted, 60)} is expected",
        next_step="work it out again" if same_type else f"return {noun}",
    )


def _find_number_fault(observed: PlainValue, wanted: float, tolerance: float) -> _Mismatch | None:
    shown = format_value(observed, 60)
    if isinstance(observed, bool):
        return _Mismatch(
            message=f"{shown}, a truth value and not a number", next_step="return a number"
        )
    if isinstance(observed, str):
        return _Mismatch(message=f"the text {shown}", next_step=_advise_number(observed))
    if not isinstance(observed, int | float):
        return _Mismatch(message=f"{shown}, not a number", next_step="return a number")
    if isinstance(observed, float) and math.isnan(observed):
        return _Mismatch(
            message="NaN, which equals no number",
            next_step="find the operation that gives NaN, such as 0 / 0",
        )
    allowed = tolerance if isinstance(wanted, float) else 0.0
    if observed == wanted or _gap(observed, wanted) <= allowed:
        return None
    shown, expected = _tell_apart(observed, wanted)
    within = f" (within {allowed:g})" if allowed else ""
    return _Mismatch(
        message=f"{shown}, where {expected}{within} is expected", next_step="work it out again"
    )


def _advise_number(text: str) -> str:
    match = _NUMBER_IN_TEXT.match(text)
    if match is None:
        return "return a number"
    rest = text[match.end() :]
    if not rest:
        return f"return the number {match[1]} without quotes"
    return f"return the number alone, without {format_value(rest, 30)}"


def _gap(observed: PlainValue, wanted: PlainValue) -> float:
    """The absolute difference of two numbers; infinite where there is none."""
    if not isinstance(observed, int | float) or not isinstance(wanted, int | float):
        return math.inf
    try:
        gap = float(abs(observed - wanted))
    except OverflowError:  # an integer beyond the range of floats
        return math.inf
    return math.inf if math.isnan(gap) else gap


def _tell_apart(observed: PlainValue, wanted: PlainValue) -> tuple[str, str]:
    """Two different values as texts that differ too."""
    texts = format_value(observed, 40), format_value(wanted, 40)
    if texts[0] == texts[1] and isinstance(observed, float):
        return repr(observed), repr(wanted)
    return texts


def _count_entries(count: int) -> str:
    return "1 entry" if count == 1 else f"{count} entries"


def _index(path: Sequence[PlainValue]) -> str:
    return f"[{', '.join(format_value(key, 20) for key in path)}]"


def _render_side_by_side(entries: list[_Entry], shape: tuple[int, ...] | None) -> str:
    """The rows of an array, the student's beside the expected ones; ">" marks those that differ."""
    by_rows = shape is not None and len(shape) > 1 and shape[-1] <= _ROW_ENTRIES
    depth = -1 if by_rows else None
    rows = [
        (path, list(row))
        for path, row in itertools.groupby(entries, key=lambda entry: entry.path[:depth])
    ]
    first = next(i for i, (_, row) in enumerate(rows) if any(entry.fault for entry in row))
    start = max(0, min(first - 2, len(rows) - _TABLE_ROWS))
    shown = rows[start : start + _TABLE_ROWS]
    texts = [[_tell_apart(entry.observed, entry.wanted) for entry in row] for _, row in shown]
    width = max(len(text) for row in texts for pair in row for text in pair)
    label_width = max(len(_index(path)) for path, _ in shown)
    yours_width = max(len("yours"), *(len(row) * (width + 1) - 1 for row in texts))
    lines = [f"  {'':{label_width}}  {'yours':{yours_width}}   expected"]
    for (path, row), pairs in zip(shown, texts, strict=True):
        marker = ">" if any(entry.fault for entry in row) else " "
        yours = " ".join(f"{observed:>{width}}" for observed, _ in pairs)
        expected = " ".join(f"{wanted:>{width}}" for _, wanted in pairs)
        lines.append(f"{marker} {_index(path):{label_width}}  {yours:{yours_width}}   {expected}")
    left_out = len(rows) - len(shown)
    if left_out:
        lines.append(f"  … {left_out} more rows are not shown")
    return "\n".join(line.rstrip() for line in lines)


def _pieces(value: PlainValue) -> Iterator[str]:
    """A value's text, piece by piece, so that a large one need not be written to its end."""
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
    """Seven significant digits, what float32 carries; a whole number keeps its ".0"."""
    text = f"{value:.7g}"
    return f"{text}.0" if text.lstrip("-").isdigit() else text
