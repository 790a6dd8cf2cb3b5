import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional


@st.composite
def poolings(draw):
    kernel = draw(st.integers(1, 3))
    shape = (1, draw(st.integers(1, 2)), draw(st.integers(3, 6)), draw(st.integers(3, 6)))
    x = np.random.default_rng(draw(st.integers(0, 9))).integers(-9, 10, shape).astype(float)
    return x, kernel, draw(st.integers(1, 3)), draw(st.integers(0, kernel // 2))


@pytest.mark.points(2)
@given(pooling=poolings())
def test_max(student, pooling):
    """max_pool2d gives what torch.nn.functional.max_pool2d gives."""
    x, kernel, stride, padding = pooling
    expected = functional.max_pool2d(torch.tensor(x), kernel, stride, padding).numpy()
    np.testing.assert_allclose(student.max_pool2d(x, kernel, stride, padding), expected)


@pytest.mark.points(1)
@pytest.mark.hidden
def test_max_of_negative_numbers(student):
    answer = student.max_pool2d(np.full((1, 1, 2, 2), -5.0), 2, 1, 1)
    np.testing.assert_allclose(answer, np.full((1, 1, 3, 3), -5.0))


@pytest.mark.points(2)
@given(x=poolings())
def test_average(student, x):
    """avg_pool2d without padding gives the mean of every window."""
    x, kernel, stride, _ = x
    expected = functional.avg_pool2d(torch.tensor(x), kernel, stride).numpy()
    np.testing.assert_allclose(student.avg_pool2d(x, kernel, stride), expected, atol=1e-9)


@pytest.mark.points(1)
@given(value=st.integers(1, 5))
def test_average_leaves_padding_out(student, value):
    """The padding does not count: the average of equal pixels is their value."""
    answer = student.avg_pool2d(np.full((1, 1, 2, 2), float(value)), 2, 2, 1)
    np.testing.assert_allclose(answer, np.full((1, 1, 2, 2), value))


@pytest.mark.points(1)
@given(value=st.integers(0, 255))
def test_average_of_bytes(student, value):
    """avg_pool2d is right for images of bytes (uint8), whose sum is larger than a byte."""
    answer = student.avg_pool2d(np.full((1, 1, 2, 2), value, dtype=np.uint8), 2, 2)
    np.testing.assert_allclose(answer, [[[[value]]]])


@pytest.mark.points(0.5)
@pytest.mark.hidden
@pytest.mark.parametrize("name", ["max_pool2d", "avg_pool2d"])
def test_input_is_kept(student, name):
    x = np.arange(4.0).reshape(1, 1, 2, 2)
    returned = student.call(name, x, 2, 2, 1)
    assert np.shape(returned.value) == x.shape
    np.testing.assert_array_equal(returned.arguments[0], x)
