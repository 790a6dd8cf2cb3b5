"""Without namespaces, as root and as a plain user, all tests of sandboxes come to the same."""

from __future__ import annotations

import pytest

from tests.containers import PLAIN_USER, run_tests_in_container

SANDBOXES = [
    pytest.param("uid", 0, "tests/test_dedicated_user.py", id="uid"),
    pytest.param("same-user", PLAIN_USER, "tests/test_same_user.py", id="same-user"),
]
SUITES = [
    ("tests/test_extract.py", "tests/test_limits.py", "tests/redteam/test_redteam.py"),
    ("tests/test_sandbox.py", "tests/redteam/test_killed_grader.py"),
]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]


@pytest.mark.parametrize(("sandbox", "user", "own_tests"), SANDBOXES)
def test_every_promise_holds(sandbox: str, user: int, own_tests: str) -> None:
    """The sandbox's own tests, and those of every sandbox, pass; none is left out there."""
    skipped = run_tests_in_container(
        own_tests,
        "tests/test_supervised.py",
        "tests/test_sandbox.py",
        sandbox=sandbox,
        user=user,
        select="not slow",
    )
    assert all("only with namespaces" in line or "not from within" in line for line in skipped)


@pytest.mark.parametrize("files", SUITES, ids=["submissions", "killed"])
@pytest.mark.parametrize(("sandbox", "user"), [sandbox.values[:2] for sandbox in SANDBOXES])
def test_suites_pass(sandbox: str, user: int, files: tuple[str, ...]) -> None:
    """Broken files, limits, attacks and killed graders come to the same there."""
    run_tests_in_container(*files, sandbox=sandbox, user=user)
