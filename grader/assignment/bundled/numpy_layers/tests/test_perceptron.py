import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

X = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], dtype=float)


@pytest.mark.points(1)
@pytest.mark.parametrize("labels", [(0, 1, 1, 1), (0, 0, 0, 1)], ids=["OR", "AND"])
def test_learns_gates(student, labels):
    """After fit, predict gives the labels of a logic gate."""
    perceptron = student.Perceptron(lr=0.1)
    perceptron.fit(X, np.array(labels), epochs=50)
    np.testing.assert_array_equal(perceptron.predict(X), labels)


@pytest.mark.points(1)
def test_labels(student):
    """Predict gives 0 or 1 for each example."""
    perceptron = student.Perceptron()
    perceptron.fit(X, np.array([0, 1, 1, 1]), epochs=1)
    answer = np.asarray(perceptron.predict(X))
    assert answer.shape == (4,)
    assert set(answer.tolist()) <= {0, 1}, "only the labels 0 and 1"


@pytest.mark.points(1)
def test_weights(student):
    """After one example of label 1, the weights are lr times the example, and bias is lr."""
    perceptron = student.Perceptron(lr=0.5)
    perceptron.fit(np.array([[2.0, -4.0]]), np.array([1]), epochs=1)
    np.testing.assert_allclose(perceptron.weights, [1.0, -2.0])
    assert perceptron.bias == pytest.approx(0.5)


@pytest.mark.points(1)
def test_two_perceptrons(student):
    """Two perceptrons share nothing: a new one starts from zero."""
    student.Perceptron(lr=0.5).fit(np.array([[2.0, -4.0]]), np.array([1]), epochs=1)
    perceptron = student.Perceptron(lr=0.5)
    perceptron.fit(np.array([[0.0, 1.0]]), np.array([1]), epochs=1)
    np.testing.assert_allclose(perceptron.weights, [0.0, 0.5])


@pytest.mark.points(2)
@pytest.mark.hidden
@given(angle=st.floats(0, 6.28), seed=st.integers(0, 9))
def test_separable_points(student, angle, seed):
    points = np.random.default_rng(seed).uniform(-1, 1, (12, 2))
    projected = points @ [np.cos(angle), np.sin(angle)]
    points = points[np.abs(projected) > 0.2]
    labels = (projected[np.abs(projected) > 0.2] > 0).astype(int)
    if len(points):
        perceptron = student.Perceptron(lr=1.0)
        perceptron.fit(points, labels, epochs=200)
        np.testing.assert_array_equal(perceptron.predict(points), labels)


@pytest.mark.points(1)
@pytest.mark.hidden
def test_inputs_are_kept(student):
    labels = np.array([0, 0, 0, 1])
    perceptron = student.Perceptron()
    kept = student.call(perceptron.fit, X, labels, epochs=5).arguments
    assert np.shape(perceptron.predict(X)) == labels.shape
    np.testing.assert_array_equal(kept[0], X)
    np.testing.assert_array_equal(kept[1], labels)
