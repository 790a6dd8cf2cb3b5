"""The directories of the data sets on this machine. Imports no torch: the sandbox need not wait."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

DATA_VARIABLE = "GRADER_DATA"
"""The environment variable that names the data directory when the command does not."""


def default_cache_directory() -> Path:
    """Return the user's cache directory for downloads, converted data and training runs."""
    return Path(platformdirs.user_cache_dir("sequential-grader"))


def raw_directories(directory: Path) -> tuple[Path, ...]:
    """Return the places of the idx files: DIR/MNIST/raw as in torchvision, DIR/raw, or DIR."""
    return directory / "MNIST" / "raw", directory / "raw", directory


def directories_with_labels(data_directory: Path | None) -> list[Path]:
    """Return every directory that holds labels of MNIST, which student code must not see."""
    from_environment = os.environ.get(DATA_VARIABLE)
    named = [data_directory, Path(from_environment) if from_environment else None]
    return [
        raw.resolve()
        for directory in (*named, default_cache_directory())
        if directory is not None
        for raw in raw_directories(directory)
        if any(raw.glob("*-labels-*"))
    ]
