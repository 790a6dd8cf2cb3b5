"""Find the two values that a failed assertion compared, and say where they first differ."""

from __future__ import annotations

from dataclasses import dataclass
from types import TracebackType
from typing import Any

import numpy as np

from grader.testing.writing import write_value

_EXPECTED_NAMES = ("desired", "expected", "y")
_OBSERVED_NAMES = ("actual", "x")
_LIBRARIES = ("numpy.testing", "torch.testing", "numpy.ma.testutils")


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """The two values that an assertion compared.

    Attributes:
        operator: "==" or another of Python's; "==" for a function such as `assert_allclose`.
        tolerances: the relative and the absolute one; 0.0 each for equality.
    """

    observed: Any
    expected: Any
    operator: str = "=="
    tolerances: tuple[float, float] = (0.0, 0.0)


def find_comparison(traceback: TracebackType | None) -> Comparison | None:
    """Return the values that a function of numpy's or torch's testing compared, or None.

    The names of their parameters are public: `assert_allclose(actual, desired, rtol, atol)`.
    """
    while traceback is not None:
        frame = traceback.tb_frame
        if frame.f_globals.get("__name__", "").startswith(_LIBRARIES):
            values = frame.f_locals
            observed = [values[name] for name in _OBSERVED_NAMES if name in values]
            expected = [values[name] for name in _EXPECTED_NAMES if name in values]
            if observed and expected:
                tolerances = [values.get(name) for name in ("rtol", "atol")]
                relative, absolute = (
                    float(value) if isinstance(value, int | float) else 0.0 for value in tolerances
                )
                return Comparison(
                    observed=observed[0], expected=expected[0], tolerances=(relative, absolute)
                )
        traceback = traceback.tb_next
    return None


def describe_expected(comparison: Comparison, limit: int) -> str:
    """Return the expected value as code, after the operator if it is not equality."""
    expected = comparison.expected
    if isinstance(expected, np.ndarray) and expected.ndim == 0:
        expected = expected.item()
    text = write_value(expected, limit=limit) if not _is_approx(expected) else repr(expected)
    text = text[:limit]
    if comparison.operator != "==":
        text = f"{comparison.operator} {text}"
    return text


def first_difference(comparison: Comparison) -> str:
    """Return where two arrays first differ, or "" if they are not arrays of numbers."""
    observed, expected = _as_array(comparison.observed), _as_array(comparison.expected)
    if observed is None or expected is None or comparison.operator != "==":
        return ""
    if not (observed.ndim and expected.ndim) and observed.shape != expected.shape:
        if observed.size == 0 or (expected.ndim and observed.ndim == 0):
            return f"a single value is compared with shape {expected.shape}"
        expected = np.broadcast_to(expected, observed.shape)
    if observed.shape != expected.shape:
        return f"the shapes differ: {observed.shape}, where {expected.shape} is expected"
    if observed.ndim == 0:
        return ""
    relative, absolute = comparison.tolerances
    with np.errstate(all="ignore"):
        close = np.isclose(observed, expected, rtol=relative, atol=absolute, equal_nan=True)
    wrong = np.argwhere(~close)
    if not len(wrong):
        return ""
    place = tuple(int(index) for index in wrong[0])
    count = f"{len(wrong)} of {observed.size} entries {'differs' if len(wrong) == 1 else 'differ'}"
    return (
        f"{count}, the first at {list(place)}: {observed[place].item()!r}, "
        f"where {expected[place].item()!r} is expected"
    )


def _as_array(value: Any) -> np.ndarray[Any, Any] | None:
    if type(value).__module__.partition(".")[0] == "torch":
        value = value.detach().float().cpu().numpy()
    if not isinstance(value, np.ndarray | np.generic | list | tuple | int | float):
        return None
    try:
        array = np.asarray(value)
    except (ValueError, TypeError):
        return None
    return array if array.dtype.kind in "biuf" else None


def _is_approx(value: Any) -> bool:
    return type(value).__name__.startswith("Approx")
