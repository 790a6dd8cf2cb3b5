"""The files of MNIST and its relatives: four idx files, each as it is or as .gz.

An idx3 file is 16 bytes of header (magic number, count, rows, columns) and then the pixels; an
idx1 file is 8 bytes of header and then the labels (Y. LeCun, C. Cortes, C. Burges, "The MNIST
database of handwritten digits").
"""

from __future__ import annotations

import gzip
import hashlib
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from grader.errors import DatasetError
from grader.training.data_places import NEXT_STEP
from grader.training.data_sources.interface import Arrays

if TYPE_CHECKING:
    import numpy as np

TRAIN_IMAGES = "train-images-idx3-ubyte"
TRAIN_LABELS = "train-labels-idx1-ubyte"
TEST_IMAGES = "t10k-images-idx3-ubyte"
TEST_LABELS = "t10k-labels-idx1-ubyte"
FILES = (TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES, TEST_LABELS)

RAW_SHA256: dict[str, dict[str, str]] = {
    "MNIST": {
        TRAIN_IMAGES: "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        TRAIN_LABELS: "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        TEST_IMAGES: "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        TEST_LABELS: "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    },
    # Of Debian's package dataset-fashion-mnist, whose .gz files are not the original ones.
    "FashionMNIST": {
        TRAIN_IMAGES: "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        TRAIN_LABELS: "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        TEST_IMAGES: "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        TEST_LABELS: "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    },
}
"""SHA-256 of the raw, uncompressed files; torchvision pins MD5s of the .gz files instead."""


def find_file(directory: Path, name: str) -> Path | None:
    """Return an idx file of a directory, or its .gz, or None."""
    paths = (directory / name, directory / f"{name}.gz")
    return next((path for path in paths if path.is_file()), None)


def read_files(dataset: str, directory: Path, archive_md5: Mapping[str, str]) -> Arrays:
    """Read the four files of a data set.

    Args:
        dataset: the name in torchvision.
        directory: holds the files.
        archive_md5: torchvision's checksums of the .gz files, by name; used for a data set whose
            raw files have no checksum here.

    Raises:
        DatasetError: a file is missing or cannot be read, or its checksum is wrong.
    """
    raw_sha256 = RAW_SHA256.get(dataset)
    if raw_sha256:
        files = {name: _read_raw(dataset, directory, name, raw_sha256[name]) for name in FILES}
        sha256 = hashlib.sha256("".join(raw_sha256.values()).encode()).hexdigest()
    else:
        files = {
            name: _read_archive(dataset, directory, name, archive_md5[f"{name}.gz"])
            for name in FILES
        }
        sha256 = ""
    return Arrays(
        x_train=images_from_idx(files[TRAIN_IMAGES]),
        y_train=labels_from_idx(files[TRAIN_LABELS]),
        x_test=images_from_idx(files[TEST_IMAGES]),
        y_test=labels_from_idx(files[TEST_LABELS]),
        sha256=sha256,
    )


def _read_raw(dataset: str, directory: Path, name: str, sha256: str) -> np.ndarray:
    """Return the bytes of one idx file as a writable uint8 array, with the checksum verified."""
    import numpy as np  # noqa: PLC0415  # loaded only where arrays are read

    path = find_file(directory, name)
    if path is None:
        raise DatasetError(
            f"{directory / name} is missing, and so is {name}.gz", next_step=NEXT_STEP
        )
    try:
        if path.suffix == ".gz":
            content = np.frombuffer(bytearray(gzip.decompress(path.read_bytes())), dtype=np.uint8)
        else:
            content = np.fromfile(path, dtype=np.uint8)
    except (OSError, EOFError, zlib.error) as error:
        raise _unreadable(path, error) from error
    digest = hashlib.sha256(content.data).hexdigest()
    if digest != sha256:
        raise DatasetError(
            f"{path} is not {dataset}'s {name}: its SHA-256 is {digest} over {content.size:,} "
            f"bytes, expected {sha256}. The file may be truncated, or of another data set",
            next_step="Delete the file and download it again.",
        )
    return content


def _read_archive(dataset: str, directory: Path, name: str, md5: str) -> np.ndarray:
    """Return the bytes of one .gz file, of which torchvision knows the checksum."""
    import numpy as np  # noqa: PLC0415  # loaded only where arrays are read

    path = directory / f"{name}.gz"
    if not path.is_file():
        raise DatasetError(
            f"{path} is missing, and the checksum of {dataset} is known for the .gz file only",
            next_step=NEXT_STEP,
        )
    try:
        packed = path.read_bytes()
        require_md5(path, packed, md5)
        return np.frombuffer(bytearray(gzip.decompress(packed)), dtype=np.uint8)
    except (OSError, EOFError, zlib.error) as error:
        raise _unreadable(path, error) from error


def require_md5(path: Path, content: bytes, md5: str) -> None:
    """Raise a `DatasetError` if the content of a file has another checksum."""
    digest = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if digest != md5:
        raise DatasetError(
            f"{path} is not the file that torchvision downloads: its MD5 is {digest} over "
            f"{len(content):,} bytes, expected {md5}",
            next_step="Delete the file and download it again.",
        )


def _unreadable(path: Path, error: Exception) -> DatasetError:
    return DatasetError(
        f"{path} cannot be read: {error}",
        next_step="Delete the file and download it again, or check its permissions.",
    )


def images_from_idx(content: np.ndarray) -> np.ndarray:
    """Return (N, 1, height, width) uint8, without a copy."""
    height, width = (int(size) for size in content[8:16].view(">u4"))
    return content[16:].reshape(-1, 1, height, width)


def labels_from_idx(content: np.ndarray) -> np.ndarray:
    """Return (N,) int64."""
    return content[8:].astype("int64")
