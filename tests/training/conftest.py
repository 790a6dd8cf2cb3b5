"""Fixtures of the tests of training."""

import pytest
import torch


@pytest.fixture(scope="module")
def one_thread():
    """Plain loops run as the grader's do, with one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
