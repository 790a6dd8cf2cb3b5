import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional


def gradients(x, weight, grad_output):
    x, weight = torch.tensor(x, requires_grad=True), torch.tensor(weight, requires_grad=True)
    bias = torch.zeros(len(weight), dtype=torch.float64, requires_grad=True)
    functional.linear(x, weight, bias).backward(torch.tensor(grad_output))
    return x.grad.numpy(), weight.grad.numpy(), bias.grad.numpy()


def layer(examples, inputs, outputs, seed=0):
    random = np.random.default_rng(seed)
    shapes = (examples, inputs), (outputs, inputs), (examples, outputs)
    return tuple(random.integers(-4, 5, shape).astype(float) for shape in shapes)


@pytest.mark.points(1)
def test_shapes(student):
    """The gradients have the shapes of the input, the weight and the bias."""
    x, weight, grad_output = layer(5, 3, 2)
    shapes = [gradient.shape for gradient in student.linear_backward(x, weight, grad_output)]
    assert shapes == [(5, 3), (2, 3), (2,)]


@pytest.mark.points(1)
@pytest.mark.parametrize("index", [0, 1, 2], ids=["of the input", "of the weight", "of the bias"])
@given(size=st.tuples(*[st.integers(1, 3)] * 3), seed=st.integers(0, 9))
def test_against_autograd(student, index, size, seed):
    """The gradient is the one that torch's autograd computes."""
    x, weight, grad_output = layer(*size, seed)
    answer = student.linear_backward(x, weight, grad_output)[index]
    expected = gradients(x, weight, grad_output)[index]
    np.testing.assert_allclose(answer, expected, atol=1e-9)


@pytest.mark.points(1)
@pytest.mark.hidden
def test_one_example(student):
    sizes = layer(1, 4, 3)
    for answer, expected in zip(student.linear_backward(*sizes), gradients(*sizes), strict=True):
        np.testing.assert_allclose(answer, expected, atol=1e-9)


@pytest.mark.points(1)
@pytest.mark.hidden
def test_inputs_are_kept(student):
    given = layer(2, 3, 2)
    returned = student.call("linear_backward", *given)
    assert len(returned.value) == 3
    for before, after in zip(given, returned.arguments, strict=True):
        np.testing.assert_array_equal(after, before)
