"""Each test gets its own copy of the `graded` class of its module."""

import shutil

import pytest

from grader.cohort.store import STORE_NAME
from grader.review.store import ReviewStore


@pytest.fixture
def output(graded, tmp_path):
    """The class's directory of results."""
    shutil.copytree(graded, tmp_path / "class")
    return tmp_path / "class"


@pytest.fixture
def store(output):
    """The class's store, open."""
    with ReviewStore(output / STORE_NAME) as opened:
        yield opened
