"""Convert answers to plain data, without any behaviour of the student's own classes.

The form is JSON. An object has exactly one key: "integer" (decimal digits, beyond 64 bits),
"float" ("nan", "inf", "-inf") or "pairs" (a dict's items in order).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from grader.sandbox.protocol import MAXIMUM_DIGITS, MAXIMUM_PAIRS, WorkerLimits
from grader.sandbox.worker.failures import StudentError, derives, type_name_with_article

SMALLEST_INTEGER, LARGEST_INTEGER = -(2**63), 2**63 - 1
MAXIMUM_INTEGER_BITS = 3300  # no more than MAXIMUM_DIGITS decimal digits
BYTES_PER_VALUE = 8
BYTES_PER_CHARACTER = 8
_ADVICE = "Return numbers, strings, lists, tuples, dicts, NumPy arrays or tensors."


class Converter:
    """Convert one answer to plain data that fits into a message."""

    def __init__(self, limits: WorkerLimits) -> None:
        self._maximum_depth = limits.message_depth
        self._maximum_values = limits.message_bytes // BYTES_PER_VALUE
        self._maximum_characters = limits.message_bytes // BYTES_PER_CHARACTER
        self._values = 0
        self._characters = 0

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
            (list, lambda items, depth: self._items(list.__iter__(items), depth)),
            (tuple, lambda items, depth: self._items(tuple.__iter__(items), depth)),
            (dict, self._dict),
            (int, self._integer),
            (float, self._float),
            (str, self._text),
        ):
            if derives(kind, base):
                return convert(value, depth)
        message = f"The answer holds {type_name_with_article(kind)}."
        raise StudentError("wrong-type", message, _ADVICE)

    def _spend(self, values: int) -> None:
        self._values += values
        if self._values > self._maximum_values:
            raise StudentError(
                "limit",
                f"The answer holds more than {self._maximum_values:,} values.",
                "Return only what is asked for, not a data set or an image.",
            )

    def _descend(self, depth: int) -> int:
        if depth == self._maximum_depth:
            raise StudentError(
                "limit",
                f"The answer is nested more than {self._maximum_depth} levels deep.",
                "Return a flatter value; a list must not contain itself.",
            )
        return depth + 1

    def _items(self, items: Iterator[Any], depth: int) -> Any:
        inner = self._descend(depth)
        return [self.convert(item, inner) for item in items]

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
        if self._characters > self._maximum_characters:
            raise StudentError(
                "limit",
                f"The answer holds text of more than {self._maximum_characters:,} characters.",
                "Return only what is asked for.",
            )
        # A lone surrogate is not valid Unicode, and JSON cannot carry it.
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
        message = f"The answer holds {type_name_with_article(type(value))}."
        raise StudentError("wrong-type", message, _ADVICE)
