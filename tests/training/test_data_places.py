"""Directories with labels are found wherever the data may lie, to be hidden from student code."""

from __future__ import annotations

from pathlib import Path

import pytest

from grader.training import data_places
from grader.training.data_places import DATA_VARIABLE
from grader.training.data_sources.named import label_paths
from grader.training.data_sources.vision import TorchvisionDataset

MNIST = [TorchvisionDataset("MNIST")]


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The user's cache, and no variable."""
    monkeypatch.delenv(DATA_VARIABLE, raising=False)
    monkeypatch.setattr(data_places, "default_cache_directory", lambda: tmp_path / "cache")
    return tmp_path / "cache"


def place_labels(directory: Path) -> Path:
    """A directory that holds labels."""
    directory.mkdir(parents=True)
    (directory / "t10k-labels-idx1-ubyte.gz").touch()
    return directory


def test_all_places_with_labels_are_hidden(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, cache: Path
) -> None:
    """Those that the command, the variable and the cache name, in whatever layout."""
    given = place_labels(tmp_path / "given" / "MNIST" / "raw")
    named = place_labels(tmp_path / "named")
    downloaded = place_labels(cache / "MNIST" / "raw")
    monkeypatch.setenv(DATA_VARIABLE, str(named))
    file = "t10k-labels-idx1-ubyte.gz"
    assert label_paths(MNIST, tmp_path / "given") == [
        *(given, given / file, named / file),
        *(downloaded, downloaded / file),
    ]


def test_nothing_else_is_hidden(tmp_path: Path) -> None:
    """Not a directory around them, where Python may lie, nor one without labels."""
    raw = place_labels(tmp_path / "MNIST" / "raw")
    assert label_paths(MNIST, tmp_path) == [raw, raw / "t10k-labels-idx1-ubyte.gz"]
    assert label_paths(MNIST, tmp_path / "missing") == []
    assert label_paths(MNIST, None) == []
    assert label_paths([TorchvisionDataset("CIFAR10")], tmp_path) == []
