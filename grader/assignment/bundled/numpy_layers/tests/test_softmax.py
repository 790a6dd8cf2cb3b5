import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

MATRICES = array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=4)


def softmax(x):
    powers = np.exp(x - x.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


@pytest.mark.points(2)
@given(x=arrays(np.float64, MATRICES, elements=st.floats(-5, 5)))
def test_values(student, x):
    """softmax(x) gives the probabilities of each row of x."""
    np.testing.assert_allclose(student.softmax(x), softmax(x), rtol=1e-6, atol=1e-12)


@pytest.mark.points(2)
@given(x=arrays(np.float64, MATRICES, elements=st.floats(-1000, 1000)))
def test_large_numbers(student, x):
    """Every row of softmax(x) sums to 1, for large inputs too."""
    np.testing.assert_allclose(student.softmax(x).sum(axis=1), 1, rtol=1e-6)


@pytest.mark.points(1)
@pytest.mark.hidden
def test_extremes(student):
    answer = student.softmax(np.array([[0.0, 5000.0], [-5000.0, -5000.0]]))
    np.testing.assert_allclose(answer, [[0, 1], [0.5, 0.5]], atol=1e-12)


@pytest.mark.points(1)
@pytest.mark.hidden
def test_input_is_kept(student):
    x = np.array([[1.0, 2.0], [3.0, 5.0]])
    returned = student.call("softmax", x)
    assert np.shape(returned.value) == x.shape
    np.testing.assert_array_equal(returned.arguments[0], x)
