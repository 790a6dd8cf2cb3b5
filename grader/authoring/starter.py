"""A first assignment: the bundled `digits`, copied for an author to change."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from grader.assignment.loading import PUBLIC_HALF, home_of
from grader.errors import UsageError

STARTER = "digits"


def write_assignment(directory: Path) -> list[str]:
    """Write a small assignment with one item of each kind; return its files.

    Args:
        directory: is made, and must be empty.

    Raises:
        UsageError: the directory holds files.
    """
    if directory.exists() and any(directory.iterdir()):
        raise UsageError(
            f"{directory.name} is not empty", next_step="name a new directory for the assignment"
        )
    ignored = shutil.ignore_patterns("__init__.py", "__pycache__")
    shutil.copytree(home_of(STARTER), directory, ignore=ignored, dirs_exist_ok=True)
    name = re.sub(r"\W+", "_", directory.resolve().name).strip("_") or STARTER
    file = directory / PUBLIC_HALF
    text = file.read_text(encoding="utf-8").replace(f'id="{STARTER}"', f'id="{name}"')
    file.write_text(text, encoding="utf-8")
    return sorted(str(path.relative_to(directory)) for path in directory.rglob("*.*"))
