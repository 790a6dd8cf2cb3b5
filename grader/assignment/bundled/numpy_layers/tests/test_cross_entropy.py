import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from torch.nn import functional


def cross_entropy(scores, labels):
    return functional.cross_entropy(torch.tensor(scores), torch.tensor(labels)).item()


def batches(largest):
    scores = arrays(np.float64, (3, 4), elements=st.floats(-largest, largest))
    return scores, arrays(np.int64, 3, elements=st.integers(0, 3))


SMALL, LABELS = batches(5)
LARGE, _ = batches(1000)


@pytest.mark.points(2)
@given(scores=SMALL, labels=LABELS)
def test_mean_over_examples(student, scores, labels):
    """cross_entropy(scores, labels) is the mean over the examples, as PyTorch computes it."""
    answer = student.cross_entropy(scores, labels)
    assert answer == pytest.approx(cross_entropy(scores, labels), rel=1e-6, abs=1e-9)


@pytest.mark.points(2)
@given(scores=LARGE, labels=LABELS)
def test_large_scores(student, scores, labels):
    """cross_entropy is finite and right for large scores, where softmax rounds to 0."""
    answer = student.cross_entropy(scores, labels)
    assert answer == pytest.approx(cross_entropy(scores, labels), rel=1e-6, abs=1e-9)


@pytest.mark.points(1)
@pytest.mark.hidden
def test_sure_and_right(student):
    scores = np.array([[30.0, 0.0, 0.0]])
    assert student.cross_entropy(scores, np.array([0])) == pytest.approx(0, abs=1e-6)


@pytest.mark.points(1)
@pytest.mark.hidden
def test_batch_size(student):
    scores, labels = np.array([[1.0, 2.0], [0.5, 0.5]]), np.array([0, 1])
    once = student.cross_entropy(scores, labels)
    twice = student.cross_entropy(np.vstack([scores, scores]), np.tile(labels, 2))
    assert twice == pytest.approx(once)
