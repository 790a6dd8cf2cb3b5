"""Runs tests as they would run in a container, which may refuse namespaces and mounts."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.submissions import asking
from tests.support.paths import ROOT

PLAIN_USER = 61000
"""A user that no system hands out, without a name."""


def run_in_container(*arguments: str, user: int = 0, unconfined: bool = False) -> str:
    """Return the output of a Python in a container under Docker's default profile.

    Args:
        arguments: of the Python.
        user: id of the user who runs it.
        unconfined: without Docker's filter of system calls, so that a plain user has namespaces.
    """
    if os.geteuid() != 0 or asking.SANDBOX_NAME is not None:
        pytest.skip("only root can start a container, and not from within one")
    profile = [str(ROOT / "tests" / "support" / "docker_profile.py"), f"--user={user}"]
    profile += ["--unconfined"] if unconfined else []
    # As in a new container, /tmp is open to everybody and empty.
    with tempfile.TemporaryDirectory(prefix="grader-container-") as temporary:
        Path(temporary).chmod(0o1777)
        result = subprocess.run(
            [sys.executable, *profile, sys.executable, *arguments],
            env={**os.environ, "TMPDIR": temporary},
            capture_output=True,
            text=True,
            timeout=1500,
            check=False,
        )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def run_tests_in_container(*files: str, sandbox: str, user: int = 0, select: str = "") -> list[str]:
    """Run tests in a container with one kind of sandbox; all must pass.

    Args:
        files: their paths in the repository.
        sandbox: as for the option `--sandbox`.
        user: who runs them.
        select: a selection of marks.

    Returns:
        The lines that say what was skipped.
    """
    options = ["-m", select] if select else []
    options += ["-q", "-rs", "-p", "no:cacheprovider", f"--sandbox={sandbox}"]
    paths = [str(ROOT / file) for file in files]
    output = run_in_container(
        "-m", "pytest", *paths, *options, user=user, unconfined=sandbox == "bubblewrap"
    )
    return [line for line in output.splitlines() if line.startswith("SKIPPED")]
