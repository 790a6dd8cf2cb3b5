import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional


def conv2d(x, weight, bias, stride, padding):
    tensors = (torch.tensor(values) for values in (x, weight, bias))
    return functional.conv2d(*tensors, stride=stride, padding=padding).numpy()


@pytest.mark.points(1)
def test_identity(student):
    """A kernel of size 1 and weight 1 gives the image back."""
    x = np.arange(12.0).reshape(1, 1, 3, 4)
    answer = student.conv2d(x, np.ones((1, 1, 1, 1)), np.zeros(1))
    np.testing.assert_allclose(answer, x)


@pytest.mark.points(1)
def test_bias(student):
    """Each output channel adds its own bias."""
    x, weight = np.zeros((1, 1, 2, 2)), np.zeros((2, 1, 1, 1))
    answer = student.conv2d(x, weight, np.array([1.0, -2.0]))
    np.testing.assert_allclose(answer, conv2d(x, weight, np.array([1.0, -2.0]), 1, 0))


@pytest.mark.points(4)
@given(
    channels=st.integers(1, 3),
    filters=st.integers(1, 3),
    kernel=st.integers(1, 3),
    stride=st.integers(1, 2),
    padding=st.integers(0, 2),
    seed=st.integers(0, 9),
)
def test_against_torch(student, channels, filters, kernel, stride, padding, seed):
    """conv2d gives what torch.nn.functional.conv2d gives."""
    random = np.random.default_rng(seed)
    x = random.integers(-3, 4, (2, channels, 5, 4)).astype(float)
    weight = random.integers(-3, 4, (filters, channels, kernel, kernel)).astype(float)
    bias = random.integers(-3, 4, filters).astype(float)
    answer = student.conv2d(x, weight, bias, stride=stride, padding=padding)
    np.testing.assert_allclose(answer, conv2d(x, weight, bias, stride, padding), atol=1e-9)


@pytest.mark.points(1)
@pytest.mark.hidden
def test_kernel_is_not_flipped(student):
    x = np.arange(9.0).reshape(1, 1, 3, 3)
    weight = np.zeros((1, 1, 2, 2))
    weight[0, 0, 0, 1] = 1
    answer = student.conv2d(x, weight, np.zeros(1))
    np.testing.assert_allclose(answer, x[:, :, :2, 1:])


@pytest.mark.points(1)
@pytest.mark.hidden
def test_inputs_are_kept(student):
    x, weight, bias = np.ones((1, 1, 3, 3)), np.ones((1, 1, 2, 2)), np.ones(1)
    returned = student.call("conv2d", x, weight, bias, padding=1)
    assert np.shape(returned.value) == (1, 1, 4, 4)
    for before, after in zip((x, weight, bias), returned.arguments, strict=True):
        np.testing.assert_array_equal(after, before)
