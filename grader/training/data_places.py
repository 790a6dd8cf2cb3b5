"""Where MNIST may lie on this machine. Imports no torch: the sandbox need not wait for it."""

from __future__ import annotations

import os
from pathlib import Path

from grader.training.cache_directory import default_cache_directory

DATA_VARIABLE = "GRADER_DATA"
"""The environment variable that names the data directory when the command does not."""


def raw_directories(directory: Path) -> tuple[Path, ...]:
    """Where the idx files may be: DIR/MNIST/raw as torchvision lays it out, DIR/raw, or DIR."""
    return directory / "MNIST" / "raw", directory / "raw", directory


def directories_with_labels(data_directory: Path | None) -> list[Path]:
    """Every directory that holds labels of MNIST, which student code must not see.

    Args:
        data_directory: as the command names it, if it does.
    """
    from_environment = os.environ.get(DATA_VARIABLE)
    named = [data_directory, Path(from_environment) if from_environment else None]
    return [
        raw.resolve()
        for directory in (*named, default_cache_directory())
        if directory is not None
        for raw in raw_directories(directory)
        if any(raw.glob("*-labels-*"))
    ]
