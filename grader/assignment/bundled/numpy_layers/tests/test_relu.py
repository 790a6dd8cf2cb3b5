import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

NUMBERS = st.floats(-100, 100, allow_subnormal=False)


@pytest.mark.points(1)
@given(x=arrays(np.float64, (2, 3), elements=NUMBERS))
def test_negative_numbers_become_zero(student, x):
    """relu(x) is x where x is positive, and 0 elsewhere."""
    np.testing.assert_array_equal(student.relu(x), np.maximum(x, 0))


@pytest.mark.points(1)
@given(x=arrays(np.float64, array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=4)))
def test_any_shape(student, x):
    """relu(x) has the shape of x, also if x is empty."""
    assert np.shape(student.relu(np.nan_to_num(x))) == x.shape


@pytest.mark.points(0.5)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_type(student, dtype):
    """relu(x) is a NumPy array with the dtype of x."""
    answer = student.relu(np.array([-1, 2], dtype))
    assert isinstance(answer, np.ndarray), "a NumPy array"
    assert answer.dtype == dtype


@pytest.mark.points(1)
@pytest.mark.hidden
def test_input_is_kept(student):
    x = np.array([-2.0, 3.0])
    returned = student.call("relu", x)
    assert np.shape(returned.value) == x.shape
    np.testing.assert_array_equal(returned.arguments[0], x)
