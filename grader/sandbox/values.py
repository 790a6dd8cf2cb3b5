"""Values on their way into the sandbox and out of it: plain ones, NumPy arrays, torch tensors.

Both sides import this module. A message is the length of a JSON text, the text, and the bytes of
all arrays in its order. In the text, an object of one key stands for what JSON cannot say:

    {"tuple": […]}  {"set": […]}  {"dict": [[key, value], …]}
    {"integer": "digits, beyond 64 bits"}  {"float": "16 hexadecimal digits"}
    {"complex": ["real", "imaginary"]}  {"bytes": length}
    {"array": [dtype, [sizes]]}  {"scalar": dtype}  {"tensor": [dtype, [sizes]]}
    {"object": [number, type name]}  {"function": name}

An object that cannot be sent stays in the sandbox, and its number stands for it.
"""

from __future__ import annotations

import json
import math
import re
import struct
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from grader.sandbox.protocol import MAXIMUM_DIGITS, MAXIMUM_PAIRS

MAXIMUM_DEPTH = 16
MAXIMUM_AXES = 32
MAXIMUM_EMPTY_VALUES = 100_000
"""Of an empty array, the product of its other axes: a sum over the empty axis allocates it."""
SMALLEST_INTEGER, LARGEST_INTEGER = -(2**63), 2**63 - 1
MAXIMUM_INTEGER_BITS = 3300  # no more than MAXIMUM_DIGITS decimal digits
ARRAY_TYPES = frozenset(
    np.dtype(f"{order}{code}").str for code in "?bBhHiIlLqQefdgFDG" for order in "<>"
)
TENSOR_TYPES = {
    "bool": 1,
    "uint8": 1,
    "int8": 1,
    "int16": 2,
    "int32": 4,
    "int64": 8,
    "float16": 2,
    "bfloat16": 2,
    "float32": 4,
    "float64": 8,
    "complex64": 8,
    "complex128": 16,
}
"""The size in bytes of one value of each type that torch calls by this name."""
_LENGTH = struct.Struct(">I")
_FLOAT = struct.Struct(">d")


class UnsendableError(Exception):
    """A value that cannot be sent.

    Attributes:
        kind: "wrong-type", or "limit" for a value that is too large.
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class MalformedError(Exception):
    """A message that no honest sender writes."""


class Encoder:
    """Write the values of one message.

    Methods of the base classes are called on purpose: a subclass cannot override those.

    Args:
        maximum_bytes: of the whole message.
        refer: returns the form of an object that cannot be sent, or raises `UnsendableError`.
    """

    def __init__(self, maximum_bytes: int, refer: Callable[[Any], dict[str, Any]]) -> None:
        self._remaining_bytes = self._maximum_bytes = maximum_bytes
        self._refer = refer
        self._blocks: list[bytes] = []

    def message(self, fields: dict[str, Any]) -> bytes:
        """Return the message whose fields hold encoded values."""
        text = json.dumps(fields, allow_nan=False).encode()
        message = b"".join((_LENGTH.pack(len(text)), text, *self._blocks))
        if len(message) > self._maximum_bytes:
            raise self._too_large()
        return message

    def encode(self, value: Any, depth: int = 0) -> Any:
        """Return a value's form in the JSON text.

        Raises:
            UnsendableError: the value is too large, or of a type that has no form.
        """
        self._spend(1)
        kind = type(value)
        if value is None or kind is bool or (kind is float and math.isfinite(value)):
            return value
        if _derives(kind, np.generic):
            return self._scalar(value)
        if _derives(kind, np.ndarray):
            return self._array(value)
        torch = sys.modules.get("torch")
        if torch is not None and _derives(kind, torch.Tensor):
            return self._tensor(value, torch)
        for base, encode in _PLAIN:
            if _derives(kind, base):
                return encode(self, value, depth)
        return self._refer(value)

    def _spend(self, size: int) -> None:
        self._remaining_bytes -= size
        if self._remaining_bytes < 0:
            raise self._too_large()

    def _too_large(self) -> UnsendableError:
        return UnsendableError("limit", f"holds more than {self._maximum_bytes:,} bytes")

    def _items(self, items: Iterator[Any], depth: int) -> list[Any]:
        if depth == MAXIMUM_DEPTH:
            raise UnsendableError("limit", f"is nested more than {MAXIMUM_DEPTH} levels deep")
        return [self.encode(item, depth + 1) for item in items]

    def _list(self, value: list[Any], depth: int) -> Any:
        return self._items(list.__iter__(value), depth)

    def _tuple(self, value: tuple[Any, ...], depth: int) -> Any:
        return {"tuple": self._items(tuple.__iter__(value), depth)}

    def _set(self, value: set[Any], depth: int) -> Any:
        self._check_count(set.__len__(value), "set")
        return {"set": self._items(set.__iter__(value), depth)}

    def _dict(self, value: dict[Any, Any], depth: int) -> Any:
        self._check_count(dict.__len__(value), "dict")
        return {"dict": [self._items(iter(pair), depth) for pair in dict.items(value)]}

    @staticmethod
    def _check_count(count: int, noun: str) -> None:
        # Colliding keys make a look-up take as long as there are keys.
        if count > MAXIMUM_PAIRS:
            raise UnsendableError("limit", f"holds a {noun} of more than {MAXIMUM_PAIRS:,} entries")

    def _integer(self, value: int, _depth: int) -> Any:
        value = int.__int__(value)
        if SMALLEST_INTEGER <= value <= LARGEST_INTEGER:
            return value
        if value.bit_length() > MAXIMUM_INTEGER_BITS:
            raise UnsendableError("limit", f"holds an integer of more than {MAXIMUM_DIGITS} digits")
        return {"integer": str(value)}

    def _float(self, value: float, _depth: int) -> Any:
        value = float.__float__(value)
        return value if math.isfinite(value) else {"float": _FLOAT.pack(value).hex()}

    def _complex(self, value: complex, _depth: int) -> Any:
        value = complex.__complex__(value)
        return {"complex": [_FLOAT.pack(part).hex() for part in (value.real, value.imag)]}

    def _text(self, value: str, _depth: int) -> Any:
        value = str.__str__(value)
        self._spend(len(value))
        # A lone surrogate is not valid Unicode, and UTF-8 cannot carry it.
        return value.encode("utf-8", "backslashreplace").decode()

    def _bytes(self, value: bytes, _depth: int) -> Any:
        value = bytes.__getitem__(value, slice(None))
        self._add(value)
        return {"bytes": len(value)}

    def _add(self, block: bytes) -> None:
        self._spend(len(block))
        self._blocks.append(block)

    def _array(self, value: np.ndarray[Any, Any]) -> Any:
        array = np.ndarray.view(value, np.ndarray)
        self._check_array(array)
        self._add(array.tobytes())
        return {"array": [array.dtype.str, list(array.shape)]}

    def _scalar(self, value: np.generic[Any]) -> Any:
        array = np.asarray(value)
        self._check_array(array)
        self._add(array.tobytes())
        return {"scalar": array.dtype.str}

    def _check_array(self, array: np.ndarray[Any, Any]) -> None:
        if array.dtype.str not in ARRAY_TYPES:
            raise UnsendableError("wrong-type", f"holds a NumPy array of {array.dtype}")
        # A broadcast array takes less memory than its bytes.
        if array.nbytes > self._remaining_bytes:
            raise self._too_large()

    def _tensor(self, value: Any, torch: Any) -> Any:
        with torch._C.DisableTorchFunctionSubclass():  # noqa: SLF001 - a subclass could lie
            name = str(value.dtype).removeprefix("torch.")
            if name not in TENSOR_TYPES or value.is_meta or value.is_nested:
                raise UnsendableError(
                    "wrong-type", f"holds a tensor of {value.dtype} on {value.device}"
                )
            if value.numel() * TENSOR_TYPES[name] > self._remaining_bytes:
                raise self._too_large()
            plain = torch.Tensor.detach(value).to_dense().cpu().resolve_conj().resolve_neg()
            flat = plain.contiguous().reshape(-1).view(torch.uint8)
            self._add(bytes(flat.numpy().tobytes()))
            return {"tensor": [name, list(plain.shape)]}


_PLAIN: tuple[tuple[type, Callable[[Encoder, Any, int], Any]], ...] = (
    (int, Encoder._integer),  # noqa: SLF001 - the class's own table
    (float, Encoder._float),  # noqa: SLF001
    (str, Encoder._text),  # noqa: SLF001
    (list, Encoder._list),  # noqa: SLF001
    (tuple, Encoder._tuple),  # noqa: SLF001
    (dict, Encoder._dict),  # noqa: SLF001
    (set, Encoder._set),  # noqa: SLF001
    (complex, Encoder._complex),  # noqa: SLF001
    (bytes, Encoder._bytes),  # noqa: SLF001
)
"""The plain types, with the method that writes each; None and bool are written as they are."""


class Decoder:
    """Read the values of one message, which may be hostile.

    Nothing is allocated in proportion to a number in the message.

    Args:
        message: as `Encoder.message` returns it.
        resolve: returns the object that a reference stands for: {"object": […]} or
            {"function": …}. It raises `MalformedError` for a reference that is not valid.

    Attributes:
        fields: the fields of the message, whose values are not decoded yet.

    Raises:
        MalformedError: the message is not valid.
    """

    def __init__(self, message: bytes, resolve: Callable[[dict[str, Any]], Any]) -> None:
        self._resolve = resolve
        self._maximum_values = max(len(message), MAXIMUM_EMPTY_VALUES)
        self.fields: dict[str, Any] = {}
        try:
            (length,) = _LENGTH.unpack_from(message)
            self._blocks = memoryview(message)[_LENGTH.size + length :]
            text = message[_LENGTH.size : _LENGTH.size + length]
            fields = json.loads(text, parse_constant=_refuse_constant)
        except (struct.error, ValueError, RecursionError) as error:
            raise MalformedError(f"a message that cannot be read: {error}") from error
        if not isinstance(fields, dict):
            raise MalformedError("a message without fields")
        self.fields = fields

    def decode(self, form: Any, depth: int = 0) -> Any:
        """Return the value of a form; forms must be decoded in the order of the text.

        Raises:
            MalformedError: the form is not valid.
        """
        if depth > MAXIMUM_DEPTH:
            raise MalformedError("a value that is nested too deeply")
        if isinstance(form, str) or form is None or isinstance(form, bool | float):
            return form
        if isinstance(form, int):
            if SMALLEST_INTEGER <= form <= LARGEST_INTEGER:
                return form
        elif isinstance(form, list):
            return [self.decode(item, depth + 1) for item in form]
        elif len(form) == 1:
            try:
                return self._decode_object(form, depth)
            except (ValueError, TypeError, OverflowError, RuntimeError, struct.error) as error:
                raise MalformedError(f"a value that is not valid: {error}") from error
        raise MalformedError("a value of an unknown form")

    def _decode_object(self, form: dict[str, Any], depth: int) -> Any:  # noqa: C901, PLR0911 - a table
        match form:
            case {"tuple": list(items)}:
                return tuple(self.decode(item, depth + 1) for item in items)
            case {"set": list(items)} if len(items) <= MAXIMUM_PAIRS:
                return {self.decode(item, depth + 1) for item in items}
            case {"dict": list(pairs)} if len(pairs) <= MAXIMUM_PAIRS:
                decoded = [self.decode(pair, depth) for pair in pairs]
                return {key: value for key, value in decoded}  # noqa: C416 - pairs of any length
            case {"integer": str(digits)}:
                if re.fullmatch(rf"-?[1-9][0-9]{{0,{MAXIMUM_DIGITS - 1}}}", digits):
                    return int(digits)
            case {"float": str(digits)}:
                return _read_float(digits)
            case {"complex": [str(real), str(imaginary)]}:
                return complex(_read_float(real), _read_float(imaginary))
            case {"bytes": int(length)}:
                return bytes(self._take(length))
            case {"array": [str(name), list(sizes)]} if name in ARRAY_TYPES:
                return self._take_array(name, sizes)
            case {"scalar": str(name)} if name in ARRAY_TYPES:
                return self._take_array(name, [])[()]
            case {"tensor": [str(name), list(sizes)]} if name in TENSOR_TYPES:
                return self._take_tensor(name, sizes)
            case {"object": _} | {"function": _}:
                return self._resolve(form)
        raise MalformedError("a value of an unknown form")

    def _take(self, length: int) -> memoryview:
        if not 0 <= length <= len(self._blocks):
            raise MalformedError("a value of more bytes than were sent")
        taken, self._blocks = self._blocks[:length], self._blocks[length:]
        return taken

    def _take_array(self, name: str, sizes: list[Any]) -> np.ndarray[Any, Any]:
        dtype = np.dtype(name)
        block = self._take(self._count(sizes) * dtype.itemsize)
        if dtype.kind == "b":
            _check_truth_values(block)
        return np.frombuffer(block, dtype).reshape(sizes).copy()

    def _take_tensor(self, name: str, sizes: list[Any]) -> Any:
        import torch  # noqa: PLC0415 - loads only where a tensor comes

        block = self._take(self._count(sizes) * TENSOR_TYPES[name])
        if name == "bool":
            _check_truth_values(block)
        dtype = getattr(torch, name)
        if not block:
            return torch.zeros(sizes, dtype=dtype)
        return torch.frombuffer(bytearray(block), dtype=dtype).reshape(sizes)

    def _count(self, sizes: list[Any]) -> int:
        """Return the number of values of an array."""
        if len(sizes) > MAXIMUM_AXES or any(type(size) is not int or size < 0 for size in sizes):
            raise MalformedError("an array whose sizes are not valid")
        if math.prod(size for size in sizes if size) > self._maximum_values:
            raise MalformedError("an array of more values than were sent")
        return math.prod(sizes)


def _check_truth_values(block: memoryview) -> None:
    # A byte of 2 would be a truth value that equals neither True nor False.
    if block and np.frombuffer(block, np.uint8).max() > 1:
        raise MalformedError("truth values that are neither true nor false")


def _read_float(digits: str) -> float:
    (value,) = _FLOAT.unpack(bytes.fromhex(digits))
    return float(value)


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


def _derives(kind: type, base: type) -> bool:
    """Return True if a class really derives from another, despite a false `__class__`."""
    return base in type.mro(kind) if type(kind) is type else type.__subclasscheck__(base, kind)
