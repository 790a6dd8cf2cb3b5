"""Problem 2: convolution and pooling (parts 2A to 2C), in NumPy alone.

Images have the shape (N, C, H, W). No function may change its arguments.
"""


def output_size(size, kernel, stride=1, padding=0):
    """2A (4 points): the height or width of a convolution's output, an int."""
    raise NotImplementedError


def conv2d(x, weight, bias, stride=1, padding=0):
    """2B (8 points): the convolution of a batch of images, padded with zeros.

    Args:
        x: images, of shape (N, C, H, W).
        weight: of shape (F, C, K, K).
        bias: of shape (F,).
        stride, padding: the same in both directions.

    Returns:
        An array of shape (N, F, H', W'), as `torch.nn.functional.conv2d` gives it.
    """
    raise NotImplementedError


def max_pool2d(x, kernel, stride, padding=0):
    """2C (4 points): the largest value of every window; the padding is never the largest."""
    raise NotImplementedError


def avg_pool2d(x, kernel, stride, padding=0):
    """2C (4 points): the mean of every window as floats; the padding does not count."""
    raise NotImplementedError
