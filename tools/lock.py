"""Print the installed versions as constraints for pip: `make lock` writes `constraints.txt`."""

from __future__ import annotations

import re
import sys
from importlib.metadata import distributions

HEADER = """\
# The versions that the tests ran with, for `make` and continuous integration. Others install by
# the ranges in pyproject.toml. Written by `make lock`; decision 018 says why it is this file.
"""
NOT_LOCKED = {"pip", "sequential-grader"}


def main() -> None:
    """Print every distribution of this environment, its local version left out."""
    versions = {
        # https://packaging.python.org/en/latest/specifications/name-normalization/
        re.sub(r"[-_.]+", "-", found.name).lower(): found.version.partition("+")[0]
        for found in distributions()
    }
    lines = [f"{name}=={versions[name]}\n" for name in sorted(versions) if name not in NOT_LOCKED]
    sys.stdout.write(HEADER + "".join(lines))


if __name__ == "__main__":
    main()
