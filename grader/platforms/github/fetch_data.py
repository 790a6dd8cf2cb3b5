"""Put the assignment's data sets into the cache that the action keeps between runs.

`python -m grader.platforms.github.fetch_data ASSIGNMENT SUBMISSION`.
"""

from __future__ import annotations

import sys
from pathlib import Path

from grader.assignment.loading import load_assignment
from grader.errors import GraderError
from grader.platforms.data import fetch_datasets


def main(assignment: str, submission: Path) -> None:
    """Load the data sets, or exit with the reason why they cannot be loaded."""
    try:
        print(fetch_datasets(load_assignment(assignment, submission=submission)))  # noqa: T201
    except GraderError as error:
        sys.exit(f"error: {error}\nwhat to do: {error.next_step}")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
