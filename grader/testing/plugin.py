"""The pytest plugin: marks of tests of student code, `--student DIR`, the fixture `student`.

Every pytest run where the grader is installed loads this module, so it imports next to nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from grader.testing.student import Student

RUN_NAME = "grader-run"
"""The name of the plugin that runs the tests: `grader.testing.run.Run`."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option for authors."""
    parser.getgroup("grader").addoption(
        "--student",
        metavar="DIR",
        help="run tests that use the fixture `student` on the submission in this directory",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Announce the marks, and prepare the run that `--student` asks for."""
    config.addinivalue_line("markers", "points(number): the points of a test of student code")
    config.addinivalue_line("markers", "hidden: students do not see this test of student code")
    config.addinivalue_line("markers", "withheld: the test is run when the work is graded only")
    directory = config.getoption("student")
    if directory is not None:
        from grader.testing.plain import PlainRun  # noqa: PLC0415 - only where it is used

        config.pluginmanager.register(PlainRun(config, directory), RUN_NAME)


@pytest.fixture
def student(request: pytest.FixtureRequest) -> Iterator[Student]:
    """Yield the student's file; each call of its functions is answered in the sandbox."""
    run = request.config.pluginmanager.get_plugin(RUN_NAME)
    if run is None:
        pytest.fail("name the submission: pytest --student DIR", pytrace=False)
    with run.serve(request.node) as served:
        yield served
