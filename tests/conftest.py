"""Fixtures and options of all tests."""

import os
import signal

import pytest
from hypothesis import settings

from grader.training.data_places import default_cache_directory
from tests.submissions import asking
from tests.support.graded_steps import GradedStep, grade_attacker, grade_reference
from tests.support.without_namespaces import EXPECTED, expect_without_namespaces

# The machines that run these tests are shared, so a slow example is no sign of a fault.
settings.register_profile("shared-machine", deadline=None)
settings.load_profile("shared-machine")

# A background job of a shell starts with SIGINT ignored, and its children would inherit that:
# the tests of Ctrl-C would then wait forever.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Where these tests are themselves a step of GitHub Actions, `grade` must not hand them its results;
# the tests of that set the variables they need.
os.environ.pop("GITHUB_ACTIONS", None)
os.environ.pop("CI", None)  # where `--own-work` is refused

# A grader with a cache of its own would compile all kernels anew.
os.environ.setdefault("NUMBA_CACHE_DIR", str(default_cache_directory() / "kernels"))


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let the sandbox be chosen that tests run student code in."""
    parser.addoption(
        "--sandbox",
        choices=("bubblewrap", "uid", "same-user"),
        help="the kind of sandbox to test; by default the first that works here",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Keep the choice where `find_sandbox` finds it."""
    asking.SANDBOX_NAME = config.getoption("--sandbox")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Expect of submissions what comes of them in the kind of sandbox that is tested."""
    name = config.getoption("--sandbox")
    if name in EXPECTED:
        expect_without_namespaces(items, name)


@pytest.fixture(scope="session")
def reference_step(tmp_path_factory: pytest.TempPathFactory) -> GradedStep:
    """The reference solution, graded once in a step of GitHub Actions."""
    return grade_reference(tmp_path_factory.mktemp("reference-step"))


@pytest.fixture(scope="session")
def attacker_step(tmp_path_factory: pytest.TempPathFactory) -> GradedStep:
    """A broken submission that attacks the log, graded once in a step of GitHub Actions."""
    return grade_attacker(tmp_path_factory.mktemp("attacker-step"))
