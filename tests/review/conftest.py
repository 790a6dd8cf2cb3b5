"""Every test of the review has a copy of its module's `graded` class to itself."""

import shutil

import pytest

from grader.cohort.store import STORE_NAME, Store


@pytest.fixture
def output(graded, tmp_path):
    """The class's directory of results."""
    shutil.copytree(graded, tmp_path / "class")
    return tmp_path / "class"


@pytest.fixture
def store(output):
    """Its store, open."""
    with Store(output / STORE_NAME) as opened:
        yield opened
