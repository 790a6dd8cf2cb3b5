"""Sandboxes that this machine would not choose: all tests come to the same in a container.

Without namespaces as root and as a plain user; and with namespaces as a plain user.
"""

from __future__ import annotations

import pytest

from tests.support.containers import PLAIN_USER, run_tests_in_container

SANDBOXES = [("uid", 0), ("same-user", PLAIN_USER), ("bubblewrap", PLAIN_USER)]
OWN_TESTS = {
    "uid": (
        "tests/sandbox/isolation/test_dedicated_user.py",
        "tests/sandbox/isolation/test_supervised.py",
    ),
    "same-user": (
        "tests/sandbox/isolation/test_same_user.py",
        "tests/sandbox/isolation/test_supervised.py",
    ),
    "bubblewrap": (),
}
SUITES = [
    (
        "tests/sandbox/test_extract.py",
        "tests/sandbox/isolation/test_limits.py",
        "tests/redteam/test_redteam.py",
    ),
    ("tests/sandbox/isolation/test_choice.py", "tests/redteam/test_killed_grader.py"),
]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1500),
    pytest.mark.parametrize(("sandbox", "user"), SANDBOXES, ids=[name for name, _ in SANDBOXES]),
]


def test_every_promise_holds(sandbox: str, user: int) -> None:
    """The sandbox's own tests, and those of every sandbox, pass; none is left out there."""
    skipped = run_tests_in_container(
        *OWN_TESTS[sandbox],
        "tests/sandbox/isolation/test_choice.py",
        sandbox=sandbox,
        user=user,
        select="not slow",
    )
    assert all("only with namespaces" in line or "not from within" in line for line in skipped)


@pytest.mark.parametrize("files", SUITES, ids=["submissions", "killed"])
def test_suites_pass(sandbox: str, user: int, files: tuple[str, ...]) -> None:
    """Broken files, limits, attacks and killed graders come to the same there."""
    run_tests_in_container(*files, sandbox=sandbox, user=user)
