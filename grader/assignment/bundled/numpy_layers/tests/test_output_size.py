import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional


@pytest.mark.points(0.5)
@pytest.mark.parametrize(
    ("size", "kernel", "stride", "padding", "expected"),
    [(28, 3, 1, 0, 26), (28, 3, 1, 1, 28), (28, 5, 2, 0, 12), (7, 7, 1, 0, 1)],
    ids=["no padding", "padding 1", "stride 2", "kernel as large as the input"],
)
def test_examples(student, size, kernel, stride, padding, expected):
    """output_size(size, kernel, stride, padding) is right."""
    assert student.output_size(size, kernel, stride, padding) == expected


@pytest.mark.points(2)
@pytest.mark.hidden
@given(
    size=st.integers(5, 40),
    kernel=st.integers(1, 5),
    stride=st.integers(1, 4),
    padding=st.integers(0, 2),
)
def test_any_size(student, size, kernel, stride, padding):
    line = functional.conv1d(
        torch.zeros(1, 1, size), torch.zeros(1, 1, kernel), stride=stride, padding=padding
    )
    assert student.output_size(size, kernel, stride, padding) == line.shape[-1]
