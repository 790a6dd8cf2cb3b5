"""Data sets as tensors, which all training processes share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Self

import torch

from grader.training.data_places import Places
from grader.training.data_sources.file import facts_of
from grader.training.data_sources.interface import DataFacts, DataSource
from grader.training.data_sources.named import named_source


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """A data set in memory.

    Attributes:
        name: the id of its source.
        sha256: the checksum of the content.
        facts: the shape of an example, the number of classes and so on.
        train_inputs, test_inputs: (N, C, H, W) uint8, 0 to 255, or (N, features) float32.
        train_targets, test_targets: (N,) int64 classes, or (N, targets) float32.
    """

    name: str
    sha256: str
    facts: DataFacts
    train_inputs: torch.Tensor
    train_targets: torch.Tensor
    test_inputs: torch.Tensor
    test_targets: torch.Tensor


@dataclass(frozen=True)
class Datasets:
    """All data sets that one grading trains on, by name."""

    by_name: Mapping[str, Dataset]

    @classmethod
    def of(cls, *datasets: Dataset) -> Self:
        """Return a collection of these data sets."""
        return cls({dataset.name: dataset for dataset in datasets})

    def __getitem__(self, name: str) -> Dataset:
        return self.by_name[name]

    def sha256(self) -> list[tuple[str, str]]:
        """Return names and checksums, in the order of the names."""
        return sorted((name, dataset.sha256) for name, dataset in self.by_name.items())

    def save(self, file: IO[bytes]) -> None:
        """Write the data sets into a file for `map_datasets`."""
        plain = [
            {**vars(dataset), "facts": vars(dataset.facts)} for dataset in self.by_name.values()
        ]
        torch.save(plain, file)
        file.flush()


def map_datasets(path: str) -> Datasets:
    """Return saved data sets without a copy: all processes share the pages of the file."""
    loaded = torch.load(path, mmap=True)
    return Datasets.of(
        *(Dataset(**{**plain, "facts": DataFacts(**plain["facts"])}) for plain in loaded)
    )


def load_dataset(
    named: str | DataSource,
    *,
    data_directory: Path | None = None,
    download: bool = True,
    cache_directory: Path | None = None,
) -> Dataset:
    """Load a data set and check its checksum.

    Args:
        named: as an assignment names it.
        data_directory: the directory of the data; by default the one that GRADER_DATA names, else
            the cache. A directory that is named must hold the data: no other is searched.
        download: download the data into the cache if it is not found.
        cache_directory: keeps downloads and converted files; the user's by default.

    Raises:
        DatasetError: the data set is missing or cannot be read, or its checksum is wrong.
    """
    source = named_source(named)
    arrays = source.load(Places.of(data_directory, cache_directory), download=download)
    return Dataset(
        name=source.id,
        sha256=arrays.sha256 or arrays.content_sha256(),
        facts=source.facts() or facts_of(arrays),
        train_inputs=torch.from_numpy(arrays.x_train),
        train_targets=torch.from_numpy(arrays.y_train),
        test_inputs=torch.from_numpy(arrays.x_test),
        test_targets=torch.from_numpy(arrays.y_test),
    )
