"""Write the calls of a test as Python code that a student can paste, and values as in it."""

from __future__ import annotations

import keyword
import math
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from grader.testing.student import Call, Function, Remote, class_of, number_of
from grader.text import clean_block, clean_line

MAXIMUM_LINE = 1200
MAXIMUM_SHORT = 240
MAXIMUM_ELEMENTS = 120
"""Larger arrays are written without their middle, so they cannot be pasted."""
MAXIMUM_SPELT_OUT = 8
"""Larger arrays of one value are written as that value and their shape."""
MAXIMUM_ITEMS = 60
MAXIMUM_CALLS = 12


def write_value(value: Any, names: dict[int, str] | None = None, limit: int = MAXIMUM_LINE) -> str:
    """Return a value as code, on one line, with "…" in place of what is past the limit."""
    text = clean_line(_write(value, names or {}, 0))
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def name_objects(calls: Sequence[Call]) -> dict[int, str]:
    """Return a variable's name for each of the student's objects, by its number."""
    names: dict[int, str] = {}
    for call in calls:
        values = (call.owner, *call.arguments, *call.keywords.values(), call.value)
        for remote in (value for value in values if isinstance(value, Remote)):
            if number_of(remote) not in names:
                name = _variable(class_of(remote))
                taken = sum(other.rstrip("_0123456789") == name for other in names.values())
                names[number_of(remote)] = f"{name}_{taken + 1}" if taken else name
    return names


def write_call(call: Call, names: dict[int, str], limit: int = MAXIMUM_LINE) -> str:
    """Return a call as code: "softmax(np.array([[0.0, 710.0]]))"."""
    owner = "" if call.owner is None else names.get(number_of(call.owner), "value")
    if call.reads:
        return clean_line(f"{owner}.{call.name}")
    arguments = [write_value(value, names, limit) for value in call.arguments]
    match call.name, arguments:
        case "__getitem__", [key]:
            return f"{owner}[{key}]"
        case "__len__", []:
            return f"len({owner})"
        case "__iter__" | "__next__", []:
            return f"{call.name.strip('_')}({owner})"
        case "__setattr__", [_, value]:
            return f"{owner}.{call.arguments[0]} = {value}"
    arguments += [
        f"{name}={write_value(value, names, limit)}" for name, value in call.keywords.items()
    ]
    target = owner if call.name == "__call__" else f"{owner}.{call.name}".removeprefix(".")
    text = clean_line(f"{target}({', '.join(arguments)})")
    return text if len(text) <= limit else f"{text[: limit - 2]}…)"


def write_program(file: str, calls: Sequence[Call]) -> str:
    """Return the calls of a test as a program, without those that came long before the last."""
    names = name_objects(calls)
    lines = []
    known: set[int] = set()
    for call in calls[-MAXIMUM_CALLS:]:
        line = write_call(call, names)
        if isinstance(call.value, Remote) and number_of(call.value) not in known:
            known.add(number_of(call.value))
            line = f"{names[number_of(call.value)]} = {line}"
        lines.append(line)
    if len(calls) > MAXIMUM_CALLS:
        lines.insert(0, f"# … {len(calls) - MAXIMUM_CALLS} earlier calls")
    imported = sorted({call.name for call in calls if call.owner is None and not call.reads})
    code = "\n".join(lines)
    header = [
        f"import {module}{f' as {short}' if short != module else ''}"
        for short, module in (("math", "math"), ("np", "numpy"), ("torch", "torch"))
        if f"{short}." in code
    ]
    if imported:
        header.append(f"from {PurePosixPath(file).stem} import {', '.join(imported)}")
    return clean_block("\n".join([*header, "", *lines]))


def _variable(name: str) -> str:
    lowered = name[:1].lower() + name[1:]
    is_usable = lowered.isidentifier() and lowered.isascii() and not keyword.iskeyword(lowered)
    return lowered if is_usable else "value"


def _write(value: Any, names: dict[int, str], depth: int) -> str:  # noqa: PLR0911 - a table
    if depth > 8:
        return "…"
    if isinstance(value, Remote):
        return names.get(number_of(value), "value")
    if isinstance(value, Function):
        return repr(value)
    if isinstance(value, np.ndarray):
        return _write_array(value)
    if isinstance(value, np.generic):
        inner = _write(value.item(), names, depth + 1)
        return f"np.{value.dtype.name}({inner})"
    if type(value).__module__.partition(".")[0] == "torch":
        return _write_tensor(value)
    if isinstance(value, float) and not math.isfinite(value):
        return f"math.{'nan' if math.isnan(value) else 'inf'}" if not value < 0 else "-math.inf"
    if isinstance(value, dict | list | tuple | set):
        return _write_collection(value, names, depth)
    if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() > 256:
        return f"(an integer of {value.bit_length()} bits)"
    return repr(value[: 2 * MAXIMUM_LINE] if isinstance(value, str | bytes) else value)


def _write_collection(value: Any, names: dict[int, str], depth: int) -> str:
    if isinstance(value, dict):
        pairs = [
            f"{_write(key, names, depth + 1)}: {_write(item, names, depth + 1)}"
            for key, item in list(value.items())[:MAXIMUM_ITEMS]
        ]
        return f"{{{', '.join(pairs)}{_rest(len(value))}}}"
    items = [_write(item, names, depth + 1) for item in list(value)[:MAXIMUM_ITEMS]]
    inner = ", ".join(items) + _rest(len(value))
    if isinstance(value, list):
        return f"[{inner}]"
    if isinstance(value, set):
        return f"{{{inner}}}" if value else "set()"
    return f"({inner},)" if len(value) == 1 else f"({inner})"


def _rest(count: int) -> str:
    return f", … {count - MAXIMUM_ITEMS} more" if count > MAXIMUM_ITEMS else ""


def _write_array(array: np.ndarray[Any, Any]) -> str:
    usual = array.dtype in (np.dtype(np.float64), np.dtype(np.int64), np.dtype(np.bool_))
    dtype = "" if usual and array.size else f", dtype=np.{array.dtype.name}"
    if array.dtype == np.float64:
        dtype = ""
    shape = tuple(array.shape)
    if array.size == 0:
        return f"np.zeros({_size(shape)}{dtype})"
    if (array.size > MAXIMUM_SPELT_OUT or array.ndim > 2) and _is_constant(array):
        value = _write_number(array.flat[0].item())
        if value == "0.0":
            return f"np.zeros({_size(shape)}{dtype})"
        return f"np.full({_size(shape)}, {value}{dtype})"
    if array.size > MAXIMUM_ELEMENTS:
        first = ", ".join(_write_number(item.item()) for item in array.flat[:4])
        last = _write_number(array.flat[-1].item())
        return f"np.array([{first}, …, {last}]).reshape({shape})"
    return f"np.array({_write_nested(array.tolist())}{dtype})"


def _size(shape: tuple[int, ...]) -> str:
    return str(shape[0]) if len(shape) == 1 else str(shape)


def _is_constant(array: np.ndarray[Any, Any]) -> bool:
    """Return True if all bits of all elements are equal, those of NaN and -0.0 included."""
    first = array.flat[0].tobytes()
    return bool(array.tobytes() == first * array.size)


def _write_tensor(tensor: Any) -> str:
    name = str(tensor.dtype)
    dtype = "" if name in {"torch.float32", "torch.int64", "torch.bool"} else f", dtype={name}"
    shape = tuple(tensor.shape)
    if tensor.numel() == 0:
        return f"torch.zeros({_size(shape)}{dtype})"
    if tensor.numel() > MAXIMUM_ELEMENTS:
        flat = tensor.reshape(-1)
        first = ", ".join(_write_number(item) for item in flat[:4].tolist())
        return f"torch.tensor([{first}, …, {_write_number(flat[-1].item())}]).reshape({shape})"
    return f"torch.tensor({_write_nested(tensor.tolist(), module='math')}{dtype})"


def _write_nested(value: Any, module: str = "np") -> str:
    if isinstance(value, list):
        return f"[{', '.join(_write_nested(item, module) for item in value)}]"
    return _write_number(value, module)


def _write_number(value: Any, module: str = "np") -> str:
    if isinstance(value, float) and not math.isfinite(value):
        return f"{module}.nan" if math.isnan(value) else f"{'-' * (value < 0)}{module}.inf"
    return repr(value)
