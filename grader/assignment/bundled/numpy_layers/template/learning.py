"""Problem 3: learning (parts 3A and 3B), in NumPy alone."""


def linear_backward(x, weight, grad_output):
    """3A (6 points): the gradients of a linear layer, y = x @ weight.T + bias.

    Args:
        x: the layer's input, of shape (N, I).
        weight: of shape (O, I).
        grad_output: the gradient of the loss by y, of shape (N, O).

    Returns:
        A tuple of the gradients by x, by weight and by bias.
    """
    raise NotImplementedError


class Perceptron:
    """3B (8 points): Rosenblatt's perceptron for the labels 0 and 1.

    Attributes:
        weights: an array of shape (I,), of zeros when fit begins for the first time.
        bias: a float, 0 at that time.
    """

    def __init__(self, lr=0.1):
        raise NotImplementedError

    def fit(self, X, y, epochs=10):
        """Go over the examples in order, `epochs` times.

        After each example that is not predicted right, add lr * (label - prediction) times the
        example to the weights, and lr * (label - prediction) to the bias.
        """
        raise NotImplementedError

    def predict(self, X):
        """Return 1 where X @ weights + bias is positive, and 0 elsewhere: an array of ints."""
        raise NotImplementedError
