"""Tests of accuracy(scores, labels)."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

SCORES = np.array([[0.1, 0.9], [0.8, 0.2], [0.3, 0.7]])


@pytest.mark.points(1)
def test_all_right(student):
    """accuracy is 1 if every row's largest score is at its label."""
    assert student.accuracy(SCORES, np.array([1, 0, 1])) == pytest.approx(1.0)


@pytest.mark.points(1)
def test_some_right(student):
    """accuracy is the share of the rows that are right."""
    assert student.accuracy(SCORES, np.array([1, 1, 1])) == pytest.approx(2 / 3)


@pytest.mark.points(1)
@given(labels=st.lists(st.integers(0, 3), min_size=1, max_size=9))
def test_perfect_scores(student, labels):
    """accuracy of one-hot scores is 1, for any labels."""
    assert student.accuracy(np.eye(4)[labels], np.array(labels)) == pytest.approx(1.0)


@pytest.mark.points(1)
@pytest.mark.hidden
def test_single_row(student):
    assert student.accuracy(SCORES[:1], np.array([0])) == pytest.approx(0.0)
