"""The interface of a data source, and what it reads."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

from grader.training.data_places import Places

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True, kw_only=True)
class DataFacts:
    """Everything about a data set that an assignment can be checked against.

    Attributes:
        input_shape: of one example: (channels, height, width), or (features,).
        classes: the number of classes; None if the targets are numbers.
        targets: the numbers to predict for one example; 1 for a class.
    """

    input_shape: tuple[int, ...]
    classes: int | None
    train_examples: int
    test_examples: int
    targets: int = 1

    @property
    def is_images(self) -> bool:
        """True for images of 8 bits a value, False for features."""
        return len(self.input_shape) == 3

    @property
    def channels(self) -> int:
        """The number of colour channels of an image, or of features."""
        return self.input_shape[0]

    @property
    def input_shapes(self) -> tuple[tuple[int, ...], ...]:
        """The shapes in which a model may take an example: as it is, or flattened."""
        flat = (prod(self.input_shape),)
        return (self.input_shape, flat) if self.is_images else (flat,)

    @property
    def outputs(self) -> int:
        """The number of outputs that a model must have."""
        return self.classes or self.targets

    @property
    def megabytes(self) -> float:
        """The size in memory."""
        examples = self.train_examples + self.test_examples
        return examples * prod(self.input_shape) * (1 if self.is_images else 4) / 1e6

    def describe(self) -> str:
        """Return the facts in one line."""
        shape = " x ".join(map(str, self.input_shape))
        kind = f"images of {shape}" if self.is_images else f"examples of {shape} features"
        targets = (
            f"{self.classes} classes" if self.classes else f"{self.targets} numbers to predict"
        )
        return (
            f"{self.train_examples:,} training and {self.test_examples:,} test {kind}, {targets}, "
            f"{self.megabytes:,.1f} MB in memory"
        )


@dataclass(frozen=True, kw_only=True)
class Arrays:
    """A data set as it was read.

    Attributes:
        x_train, x_test: (N, C, H, W) uint8, or (N, features) float32.
        y_train, y_test: (N,) int64 classes, or (N, targets) float32.
        sha256: the checksum of the content, or of the files that were checked.
    """

    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    sha256: str = ""

    def content_sha256(self) -> str:
        """Return the checksum of all arrays with their types and shapes."""
        import numpy as np  # noqa: PLC0415  # loaded only where arrays are read

        digest = hashlib.sha256()
        for array in (self.x_train, self.y_train, self.x_test, self.y_test):
            digest.update(f"{array.dtype.str}{array.shape}".encode())
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()


class DataSource(ABC):
    """A data set that an assignment names: a frozen record, part of the assignment's digest."""

    @property
    @abstractmethod
    def id(self) -> str:
        """The name of the data set in results and in the digests of training runs."""

    @property
    @abstractmethod
    def is_at_hand(self) -> bool:
        """True if the data needs neither --data nor a download."""

    @abstractmethod
    def facts(self) -> DataFacts | None:
        """Return the facts without reading the data, or None if they cannot be known yet."""

    @abstractmethod
    def find(self, places: Places) -> Path | None:
        """Return where the data is, or None if it must be downloaded.

        Raises:
            DatasetError: a place that is named does not hold the data.
        """

    @abstractmethod
    def load(self, places: Places, *, download: bool) -> Arrays:
        """Read the data and check its checksum; download the data if allowed and necessary.

        Raises:
            DatasetError: the data is missing or cannot be read, or its checksum is wrong.
        """

    def mistakes(self) -> Iterator[str]:
        """Yield the mistakes of the author."""
        yield from ()

    def beside(self, directory: Path) -> DataSource:  # noqa: ARG002  # no file of the author's
        """Return the source with the directory of the assignment's file."""
        return self

    def author_files(self) -> dict[str, Path]:
        """Return the files beside the assignment that belong to the data, by relative path."""
        return {}

    def label_paths(self, places: Places) -> list[Path]:  # noqa: ARG002  # hidden everywhere
        """Return the files and directories with labels, which student code must not see."""
        return []

    def download_urls(self) -> tuple[str, ...]:
        """Return addresses of which any has the data."""
        return ()
