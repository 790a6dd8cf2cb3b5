"""Whole gradings in a tree laid out like Gradescope's, as root without namespaces.

Each hostile submission holds the reference's problem 1, which is worth 12 points, and a problem 2
that misbehaves: no misbehaviour may cost, or bring, a point elsewhere.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from textwrap import dedent

import jsonschema
import pytest

from tests.platforms.gradescope.test_upload import SCHEMA
from tests.support.gradescope_tree import ROOT, grade_in_tree

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
HONEST_POINTS = 12
CRASHES = """
import ctypes
ctypes.string_at(0)
"""
FILLS_THE_DISK = """
import os
for directory in (os.environ.get("TMPDIR", "."), ".", "/tmp", "/autograder/results"):
    try:
        with open(os.path.join(directory, "filler"), "wb") as file:
            while True:
                file.write(bytes(1_000_000))
                file.flush()
    except OSError:
        pass
"""
KILLS_ITS_PARENTS = """
import os
for process in [os.getppid(), *range(2, 5000), -1]:
    if process != os.getpid():
        try:
            os.kill(process, 9)
        except OSError:
            pass
"""
SLEEPS = """
import time
while True:
    time.sleep(1)
"""


@pytest.fixture(name="submission")
def make_submission(tmp_path):
    """Problem 1 of the reference."""
    directory = tmp_path / "handed_in"
    directory.mkdir()
    shutil.copy(ROOT / "reference" / "problem_1.py", directory)
    return directory


def results_of(tmp_path: Path, submission: Path, **settings: object) -> dict:
    """The results, which are valid and not those that were left over."""
    results = grade_in_tree(tmp_path, submission, **settings)
    jsonschema.validate(results, SCHEMA)
    assert results["score"] < 1000
    return results


def test_good_submission(tmp_path):
    """The reference has all automatic points, from the sandbox that needs no namespaces."""
    results = results_of(tmp_path, ROOT / "reference", leaderboard=True)
    assert results["score"] == 61
    assert {test.get("status") for test in results["tests"]} == {"passed", None}
    assert "a user of its own" in results["extra_data"]["provenance"]["isolation"]
    assert {row["name"] for row in results["leaderboard"]} >= {"2C accuracy", "3G parameters"}


@pytest.mark.parametrize("code", [CRASHES, FILLS_THE_DISK, KILLS_ITS_PARENTS])
def test_misbehaviour(tmp_path, submission, code):
    """The score is right, and the parts at fault say what happened."""
    (submission / "problem_2.py").write_text(dedent(code))
    results = results_of(tmp_path, submission)
    tests = {test["number"]: test for test in results["tests"]}
    assert results["score"] == HONEST_POINTS
    assert tests["1D"]["status"] == "passed"
    assert tests["2C"]["status"] == "failed"
    assert "problem_2.py" in tests["2C"]["output"]


def test_sleeping_past_the_limit(tmp_path, submission):
    """Nothing was graded in time: zero, with the reason."""
    (submission / "problem_2.py").write_text(dedent(SLEEPS))
    results = results_of(tmp_path, submission, time_limit_seconds=30.0)
    assert results["score"] == 0
    assert "The time was up" in results["output"]


def test_sleeping_in_time(tmp_path, submission):
    """With time enough, only the questions that slept are lost."""
    (submission / "problem_2.py").write_text(dedent(SLEEPS))
    results = results_of(tmp_path, submission)
    assert results["score"] == HONEST_POINTS
