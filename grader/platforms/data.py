"""The data sets of an assignment, put into a machine's cache before the first submission."""

from __future__ import annotations

from pathlib import Path

from grader.assignment.records import Assignment
from grader.training.datasets import load_dataset


def fetch_datasets(assignment: Assignment, *, data_directory: Path | None = None) -> str:
    """Load every data set once, as grading will, and describe them in a line.

    Raises:
        DatasetError: a data set cannot be loaded.
    """
    sources = dict.fromkeys(assignment.sources().values())
    loaded = [load_dataset(source, data_directory=data_directory) for source in sources]
    named = [f"{dataset.name} ({dataset.facts.describe()})" for dataset in loaded]
    return f"ready: {'; '.join(named) or 'no data is needed'}"
