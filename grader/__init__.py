"""An autograder for assignments whose answers are PyTorch models and small functions."""

__version__ = "0.1.0"
