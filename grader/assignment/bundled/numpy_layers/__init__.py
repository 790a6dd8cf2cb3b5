"""The bundled assignment `numpy_layers`: only in a checkout, since its hidden tests are private."""

from grader.assignment.bundled.numpy_layers.assignment import ASSIGNMENT

__all__ = ["ASSIGNMENT"]
