"""Problem 1: activations and losses (parts 1A to 1C), in NumPy alone."""


def relu(x):
    """1A (4 points): x where it is positive, and 0 elsewhere.

    Args:
        x: an array of any shape; it must be as before after the call.

    Returns:
        An array of the shape and dtype of x.
    """
    raise NotImplementedError


def softmax(x):
    """1B (6 points): the probabilities of each row, also for rows with large numbers.

    Args:
        x: scores, of shape (N, C); they must be as before after the call.

    Returns:
        An array of shape (N, C), each of whose rows sums to 1.
    """
    raise NotImplementedError


def cross_entropy(scores, labels):
    """1C (6 points): the mean cross entropy of a batch, without a rounding error for large scores.

    Args:
        scores: before the softmax, of shape (N, C).
        labels: the true classes, of shape (N,), integers from 0 to C - 1.

    Returns:
        One number, as `torch.nn.functional.cross_entropy` gives it.
    """
    raise NotImplementedError
