"""Put the data sets into the image while Gradescope builds it; no submission downloads them.

`python -m grader.platforms.gradescope.fetch_data SOURCE`, where SOURCE holds the settings.
"""

from __future__ import annotations

import sys
from pathlib import Path

from grader.platforms.data import fetch_datasets
from grader.platforms.gradescope.settings import FILE_NAME, read_settings


def fetch(source: Path) -> str:
    """Load the data sets once, as grading will, and describe them.

    Raises:
        DatasetError: a data set cannot be loaded, so the image must not be built.
    """
    settings = read_settings(source / FILE_NAME)
    assignment = settings.load_assignment(source)
    chosen = assignment.for_practice() if settings.practice else assignment
    return fetch_datasets(chosen, data_directory=settings.data_path())


if __name__ == "__main__":
    print(fetch(Path(sys.argv[1])))  # noqa: T201
