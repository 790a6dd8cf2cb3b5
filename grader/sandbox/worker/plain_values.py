"""Convert answers to plain data, without any behaviour of the student's own classes.

The form sent is JSON: null, booleans, integers, floats, strings and arrays stand for themselves;
an object has exactly one key: "integer" (decimal digits, beyond 64 bits), "float" ("nan", "inf",
"-inf") or "pairs" (a dict's items in order).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from grader.sandbox.protocol import MAXIMUM_DIGITS, MAXIMUM_PAIRS, WorkerLimits
from grader.sandbox.worker.failures import StudentError, type_name

SMALLEST_INTEGER, LARGEST_INTEGER = -(2**63), 2**63 - 1
MAXIMUM_INTEGER_BITS = 3300  # no more than MAXIMUM_DIGITS decimal digits
BYTES_PER_VALUE = 8
BYTES_PER_CHARACTER = 8
_ADVICE = "Return numbers, strings, lists, tuples, dicts, NumPy arrays or tensors."


@dataclass(kw_only=True)
class Converter:
    """Convert one answer to plain data within a budget.

    Attributes:
        maximum_depth: the deepest nesting of lists and dicts.
        maximum_values: numbers, strings, lists and dicts together.
        maximum_characters: of all texts together.
    """

    maximum_depth: int
    maximum_values: int
    maximum_characters: int
    _values: int = 0
    _characters: int = 0

    @classmethod
    def within(cls, limits: WorkerLimits) -> Converter:
        """Return a converter whose results fit into a message."""
        return cls(
            maximum_depth=limits.message_depth,
            maximum_values=limits.message_bytes // BYTES_PER_VALUE,
            maximum_characters=limits.message_bytes // BYTES_PER_CHARACTER,
        )

    def convert(self, value: Any, depth: int = 0) -> Any:
        """Return the plain form of a value.

        Methods of the base classes are called on purpose: a subclass cannot override those.

        Raises:
            StudentError: the value is of another type, too large or nested too deeply.
        """
        kind = type(value)
        self._spend(1)
        if value is None or kind is bool:
            return value
        for base, convert in (
            (torch.Tensor, self._tensor),
            (np.ndarray, self._array),
            (np.generic, self._scalar),
            (list, self._list),
            (tuple, self._tuple),
            (dict, self._dict),
            (int, self._integer),
            (float, self._float),
            (str, self._text),
        ):
            if _derives(kind, base):
                return convert(value, depth)
        raise StudentError("wrong-type", f"The answer holds {_article(kind)}.", _ADVICE)

    def _spend(self, values: int) -> None:
        self._values += values
        if self._values > self.maximum_values:
            raise StudentError(
                "limit",
                f"The answer holds more than {self.maximum_values:,} values.",
                "Return only what is asked for, not a data set or an image.",
            )

    def _descend(self, depth: int) -> int:
        if depth == self.maximum_depth:
            raise StudentError(
                "limit",
                f"The answer is nested more than {self.maximum_depth} levels deep.",
                "Return a flatter value; a list must not contain itself.",
            )
        return depth + 1

    def _list(self, value: list[Any], depth: int) -> Any:
        inner = self._descend(depth)
        return [self.convert(item, inner) for item in list.__iter__(value)]

    def _tuple(self, value: tuple[Any, ...], depth: int) -> Any:
        inner = self._descend(depth)
        return [self.convert(item, inner) for item in tuple.__iter__(value)]

    def _dict(self, value: dict[Any, Any], depth: int) -> Any:
        inner = self._descend(depth)
        if dict.__len__(value) > MAXIMUM_PAIRS:
            raise StudentError(
                "limit",
                f"The answer holds a dict of more than {MAXIMUM_PAIRS:,} entries.",
                "Return only what is asked for, not a data set or an image.",
            )
        return {
            "pairs": [
                [self.convert(key, inner), self.convert(item, inner)]
                for key, item in dict.items(value)
            ]
        }

    @staticmethod
    def _integer(value: int, _depth: int) -> Any:
        value = int.__int__(value)
        if SMALLEST_INTEGER <= value <= LARGEST_INTEGER:
            return value
        if value.bit_length() > MAXIMUM_INTEGER_BITS:
            raise StudentError(
                "limit",
                f"The answer holds an integer of more than {MAXIMUM_DIGITS} digits.",
                "Return the number that is asked for.",
            )
        return {"integer": str(value)}

    @staticmethod
    def _float(value: float, _depth: int) -> Any:
        value = float.__float__(value)
        return value if math.isfinite(value) else {"float": str(value)}

    def _text(self, value: str, _depth: int) -> str:
        value = str.__str__(value)
        self._characters += len(value)
        if self._characters > self.maximum_characters:
            raise StudentError(
                "limit",
                f"The answer holds text of more than {self.maximum_characters:,} characters.",
                "Return only what is asked for.",
            )
        # A lone surrogate is no valid Unicode, and JSON cannot carry it.
        return value.encode("utf-8", "backslashreplace").decode()

    def _tensor(self, value: torch.Tensor, depth: int) -> Any:
        with torch._C.DisableTorchFunctionSubclass():  # noqa: SLF001 - a subclass could lie
            self._spend(torch.Tensor.numel(value))
            if value.is_meta or value.is_quantized or value.is_complex():
                raise StudentError(
                    "wrong-type",
                    f"The answer holds a tensor that has no plain numbers ({value.dtype} on "
                    f"{value.device}).",
                    "Return an ordinary tensor of real numbers on the CPU.",
                )
            plain = torch.Tensor.tolist(torch.Tensor.detach(value).to_dense().cpu())
        return self.convert(plain, depth)

    def _array(self, value: np.ndarray[Any, Any], depth: int) -> Any:
        array = np.ndarray.view(value, np.ndarray)
        self._spend(array.size)
        if array.dtype.kind not in "biufOU":
            raise StudentError(
                "wrong-type", f"The answer holds a NumPy array of {array.dtype}.", _ADVICE
            )
        return self.convert(np.ndarray.tolist(array), depth)

    def _scalar(self, value: np.generic[Any], depth: int) -> Any:
        plain = np.generic.item(value)
        if isinstance(plain, (bool, int, float, str)):
            return self.convert(plain, depth)
        raise StudentError("wrong-type", f"The answer holds {_article(type(value))}.", _ADVICE)


def describe_type(value: Any) -> str:
    """Name a value's type for a person: "torch.Tensor of shape (4, 2, 2)", "list of length 4"."""
    kind = type(value)
    if _derives(kind, torch.Tensor):
        with torch._C.DisableTorchFunctionSubclass():  # noqa: SLF001 - a subclass could lie
            shape = tuple(torch.Tensor.size(value))
        return f"torch.Tensor of shape {shape}"
    if _derives(kind, np.ndarray):
        return f"NumPy array of shape {np.ndarray.view(value, np.ndarray).shape}"
    for base in (list, tuple, dict, str):
        if _derives(kind, base):
            return f"{base.__name__} of length {base.__len__(value)}"
    return type_name(kind)


def _derives(kind: type, base: type) -> bool:
    """Return True if a class really derives from another, whatever `__class__` claims."""
    return base in type.mro(kind) if type(kind) is type else type.__subclasscheck__(base, kind)


def _article(kind: type) -> str:
    name = type_name(kind)
    return f"{'an' if name[:1].lower() in 'aeiou' else 'a'} {name}"
