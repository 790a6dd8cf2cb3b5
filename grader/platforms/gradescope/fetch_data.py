"""Put the data set into the image while Gradescope builds it, so that no submission downloads it.

`python -m grader.platforms.gradescope.fetch_data SOURCE`, where SOURCE holds the settings.
"""

from __future__ import annotations

import sys
from pathlib import Path

from grader.platforms.gradescope.settings import FILE_NAME, read_settings
from grader.training.datasets import load_dataset


def fetch(source: Path) -> str:
    """Load the data set once, as grading will, and return its name.

    Raises:
        DatasetError: the data set cannot be loaded, so the image must not be built.
    """
    settings = read_settings(source / FILE_NAME)
    assignment = settings.load_assignment(source)
    name = assignment.practice.dataset if settings.practice else assignment.dataset
    return load_dataset(name, data_directory=settings.data_path()).name


if __name__ == "__main__":
    print(f"{fetch(Path(sys.argv[1]))} is in the image")  # noqa: T201
