"""Values come back from the sandbox as they were, and no message can do harm."""

from __future__ import annotations

import json
import struct
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays, scalar_dtypes

from grader.sandbox.values import (
    MAXIMUM_DEPTH,
    TENSOR_TYPES,
    Decoder,
    Encoder,
    MalformedError,
    UnsendableError,
)


def refuse(_value: Any) -> dict[str, Any]:
    raise UnsendableError("wrong-type", "is an object")


def refuse_form(_form: dict[str, Any]) -> Any:
    raise MalformedError("an object")


def send(value: Any, maximum_bytes: int = 100_000) -> Any:
    """A value after its way through a message."""
    encoder = Encoder(maximum_bytes, refuse)
    return decode(encoder.message({"value": encoder.encode(value)}))


def bits(value: Any) -> Any:
    """A value with everything by which it may differ from an equal one."""
    if isinstance(value, float):
        return float, struct.pack(">d", value)
    if isinstance(value, complex):
        return complex, struct.pack(">dd", value.real, value.imag)
    if isinstance(value, np.ndarray | np.generic):
        return type(value), value.dtype.str, value.shape, value.tobytes()
    if isinstance(value, list | tuple):
        return type(value), [bits(item) for item in value]
    if isinstance(value, dict):
        return [(bits(key), bits(item)) for key, item in value.items()]
    return type(value), value


KEYS = st.one_of(st.booleans(), st.integers(), st.text(), st.none())
PLAIN = st.recursive(
    st.one_of(KEYS, st.floats(), st.complex_numbers(), st.binary(), st.sets(KEYS, max_size=3)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(KEYS, inner, max_size=3),
    ),
    max_leaves=8,
)


@given(PLAIN)
def test_plain_values(value: Any):
    """Plain values keep their types and bits."""
    assert bits(send(value)) == bits(value)


@given(
    st.one_of(st.sampled_from(["?", "<f2", ">f4", "<f8", "<c16"]), scalar_dtypes()).flatmap(
        lambda dtype: arrays(
            np.dtype(dtype) if np.dtype(dtype).kind in "biufc" else np.dtype("u1"),
            array_shapes(min_dims=0, min_side=0),
        )
    )
)
def test_arrays(array: Any):
    """Arrays keep dtype, byte order, shape and bits, NaN and empty ones included."""
    assert bits(send(array)) == bits(np.ascontiguousarray(array).reshape(np.shape(array)))


@pytest.mark.parametrize("name", TENSOR_TYPES)
def test_tensors(name: str):
    """Tensors of every type keep dtype, shape and bits."""
    tensor = torch.tensor([[0, 1], [1, 0], [1, 1]]).to(getattr(torch, name))
    for each in (tensor, tensor.T, tensor[:0], tensor[0, 0]):
        answer = send(each)
        assert answer.dtype == each.dtype
        assert answer.shape == each.shape
        assert torch.equal(answer, each)
    assert torch.equal(send(torch.tensor(float("nan"))).isnan(), torch.tensor(True))


def test_lying_classes():
    """The behaviour of a subclass does not reach the other side."""

    class Text(str):
        __slots__ = ()

        def __str__(self) -> str:
            return "forged"

    class Array(np.ndarray):
        def tobytes(self, _order: str | None = "C") -> bytes:
            return b""

    class Tensor(torch.Tensor):
        __torch_function__ = classmethod(lambda *_: "forged")

    assert bits(send(Text("true"))) == bits("true")
    assert bits(send(np.arange(3).view(Array))) == bits(np.arange(3))
    answer = send(torch.arange(3).as_subclass(Tensor))
    assert type(answer) is torch.Tensor
    assert torch.equal(answer, torch.arange(3))


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (np.broadcast_to(np.float64(1), (10**6, 10**6)), "limit"),
        (torch.zeros(1).expand(10**10), "limit"),
        ("x" * 200_000, "limit"),
        ([0] * 200_000, "limit"),
        (dict.fromkeys(range(2000)), "limit"),
        (10**2000, "limit"),
        (np.array([object()]), "wrong-type"),
        (torch.zeros(3, device="meta"), "wrong-type"),
        (object(), "wrong-type"),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, str) else value[:8],
)
def test_unsendable(value: Any, kind: str):
    """A value that is too large, or that has no form, is refused before memory is taken."""
    with pytest.raises(UnsendableError) as caught:
        send(value)
    assert caught.value.kind == kind


def test_endless():
    """A list that holds itself is refused."""
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(UnsendableError, match=f"{MAXIMUM_DEPTH} levels"):
        send(endless)


def decode(received: bytes) -> Any:
    """The value of a message."""
    decoder = Decoder(received, refuse_form)
    return decoder.decode(decoder.fields["value"])


def message(form: Any, blocks: bytes = b"") -> bytes:
    """A forged message."""
    text = json.dumps({"value": form}).encode()
    return struct.pack(">I", len(text)) + text + blocks


@pytest.mark.parametrize(
    ("form", "blocks"),
    [
        ({"array": ["<f8", [2]]}, b"x" * 8),
        ({"array": ["<f8", [-1]]}, b""),
        ({"array": ["<f8", [0, 2**40]]}, b""),
        ({"array": ["<f8", [2**62, 2**62]]}, b""),
        ({"array": ["<f8", [True]]}, b"x" * 8),
        ({"array": ["<f8", [1.0]]}, b"x" * 8),
        ({"array": ["<f8", [1] * 60]}, b"x" * 8),
        ({"array": ["O", [1]]}, b"x" * 8),
        ({"array": ["|V8", [1]]}, b"x" * 8),
        ({"array": ["?", [1]]}, b"\x02"),
        ({"array": ["|b1", [1]]}, b"\x02"),
        ({"tensor": ["bool", [1]]}, b"\x02"),
        ({"tensor": ["quint8", [1]]}, b"\x02"),
        ({"tensor": ["float32", [0, 2**40]]}, b""),
        ({"scalar": "<f8"}, b""),
        ({"bytes": -1}, b"xx"),
        ({"bytes": 3}, b"xx"),
        ({"integer": "1" * 1001}, b""),
        ({"integer": "0x10"}, b""),
        ({"float": "00"}, b""),
        ({"complex": ["0", "0"]}, b""),
        ({"dict": [[[], 1]]}, b""),
        ({"dict": [[1, 2, 3]]}, b""),
        ({"dict": [1]}, b""),
        ({"dict": [[number, 0] for number in range(2000)]}, b""),
        ({"set": [[]]}, b""),
        ({"object": [1, "x"]}, b""),
        ({"tuple": [], "set": []}, b""),
        ({"unknown": 1}, b""),
        (2**70, b""),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_malformed(form: Any, blocks: bytes):
    """A form that no honest sender writes is refused."""
    with pytest.raises(MalformedError):
        decode(message(form, blocks))


def test_deep():
    """Deep nesting is refused, whether JSON can be read or not."""
    for depth in (MAXIMUM_DEPTH + 2, 100_000):
        text = b'{"value":' + b"[" * depth + b"]" * depth + b"}"
        with pytest.raises(MalformedError):
            decode(struct.pack(">I", len(text)) + text)


@given(st.binary(max_size=60))
def test_noise(noise: bytes):
    """Noise is refused."""
    with pytest.raises(MalformedError):
        Decoder(noise, refuse_form)
