"""Data sets that torchvision can load, with its checksums or ours."""

from __future__ import annotations

import gzip
import io
import shutil
import socket
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.error import URLError

from grader.errors import DatasetError
from grader.text import did_you_mean
from grader.training.data_places import NEXT_STEP, Places
from grader.training.data_sources import idx
from grader.training.data_sources.interface import Arrays, DataFacts, DataSource

if TYPE_CHECKING:
    import numpy as np

_DOWNLOAD_TIMEOUT_SECONDS = 30.0
_EMNIST_ARCHIVE = "gzip.zip"


@dataclass(frozen=True)
class TorchvisionDataset(DataSource):
    """A data set by the name of its class in `torchvision.datasets`.

    Attributes:
        name: "FashionMNIST", for example; `KNOWN` has them all.
        split: of EMNIST, which is several data sets in one: "letters", for example.
    """

    name: str
    split: str = field(default="", kw_only=True)

    @property
    def id(self) -> str:
        """The name with the split; MNIST has the id of the plain string "mnist"."""
        if self.name == "MNIST":
            return "mnist"
        return f"{self.name}-{self.split}" if self.split else self.name

    @property
    def is_at_hand(self) -> bool:
        """False: the data is downloaded."""
        return False

    def mistakes(self) -> Iterator[str]:
        """Yield an unknown name or split."""
        if self.name not in KNOWN:
            hint = did_you_mean(self.name, KNOWN)
            yield f"torchvision's {self.name!r} is not one of {', '.join(KNOWN)}{hint}"
        elif self.name == "EMNIST" and self.split not in _EMNIST:
            yield f"split: EMNIST has the splits {', '.join(_EMNIST)}, but it is {self.split!r}"
        elif self.name != "EMNIST" and self.split:
            yield f"split: {self.name} has no splits, but it is {self.split!r}"

    def facts(self) -> DataFacts:
        """Return the published facts."""
        return _EMNIST[self.split] if self.name == "EMNIST" else KNOWN[self.name].facts

    def find(self, places: Places) -> Path | None:
        """Return the directory with the files, or None if it must be downloaded.

        Raises:
            DatasetError: a directory is named that does not exist or lacks the files.
        """
        known, root = KNOWN[self.name], places.require_root()
        folders = [root / folder for folder in known.folders]
        missing = folders[0] / known.files[0]
        for folder in folders:
            absent = [name for name in known.files if not _exists(folder / name)]
            if not absent:
                return folder
            if len(absent) < len(known.files):
                missing = folder / absent[0]
                break
        if places.named is None:
            return None
        packed = f", and so is {missing.name}.gz" if missing.name in idx.FILES else ""
        raise DatasetError(f"{missing} is missing{packed}", next_step=NEXT_STEP)

    def load(self, places: Places, *, download: bool) -> Arrays:
        """Read the files, after a download if they are nowhere."""
        folder = self.find(places)
        if folder is None:
            if not download:
                raise DatasetError(
                    f"{self.name} is not on this machine, and downloading is switched off",
                    next_step=NEXT_STEP,
                )
            folder = self._download(places.cache)
        return KNOWN[self.name].read(self, folder)

    def label_paths(self, places: Places) -> list[Path]:
        """Return the files and directories with the data, wherever they are."""
        known = KNOWN[self.name]
        found: dict[Path, None] = {}
        for root in places.everywhere:
            for directory in (root / folder for folder in known.folders):
                names = [name for name in known.files if _exists(directory / name)]
                if names and directory != root:  # which may hold other forms of the data, too
                    found[directory] = None
                packed = [f"{name}.gz" for name in names]
                files = [directory / name for name in (*names, *packed)]
                found |= dict.fromkeys(path for path in files if path.exists())
        return [path.resolve() for path in found]

    def download_urls(self) -> tuple[str, ...]:
        """Return one address of the data for each of its servers."""
        of_class = self._class()
        if mirrors := getattr(of_class, "mirrors", ()):
            return tuple(f"{mirror}{of_class.resources[0][0]}" for mirror in mirrors)
        if lists := getattr(of_class, "split_list", None):
            return (lists["train"][0],)
        return (of_class.url,)

    def _class(self) -> Any:
        import torchvision.datasets  # noqa: PLC0415  # its import takes most of a second

        return getattr(torchvision.datasets, self.name)

    def open_split(self, root: Path, *, train: bool, download: bool = False) -> Any:
        """Return torchvision's own data set, which checks its files if it is not an idx one."""
        of_class = self._class()
        if self.name in {"SVHN", "STL10"}:
            return of_class(root, split="train" if train else "test", download=download)
        options = {"split": self.split} if self.name == "EMNIST" else {}
        return of_class(root, train=train, download=download, **options)

    def archive_md5(self) -> dict[str, str]:
        """Return torchvision's checksums of the files that it downloads, by name."""
        of_class = self._class()
        if self.name == "EMNIST":
            return {_EMNIST_ARCHIVE: of_class.md5}
        if lists := getattr(of_class, "split_list", None):
            return {name: md5 for _, name, md5 in lists.values()}
        return dict(of_class.resources)

    def _download(self, cache: Path) -> Path:
        """Have torchvision download the data into the cache, and return the files' directory.

        The download goes to a directory beside the files, so that neither an interruption nor a
        second grader on this machine leaves half a file for the next run.
        """
        cache.mkdir(parents=True, exist_ok=True)
        previous_timeout = socket.getdefaulttimeout()
        socket.setdefaulttimeout(_DOWNLOAD_TIMEOUT_SECONDS)  # torchvision sets none
        known = KNOWN[self.name]
        target = cache / known.folders[0]
        try:
            with tempfile.TemporaryDirectory(dir=cache, prefix="download-") as scratch:
                for train in (True, False):
                    self.open_split(Path(scratch), train=train, download=True)
                target.mkdir(parents=True, exist_ok=True)
                for path in (Path(scratch) / known.folders[0]).iterdir():
                    if path.name.removesuffix(".gz") in known.files:
                        shutil.move(path, target / path.name)
        except (RuntimeError, URLError, OSError) as error:
            raise DatasetError(
                f"{self.name} could not be downloaded: {str(error).strip()}", next_step=NEXT_STEP
            ) from error
        finally:
            socket.setdefaulttimeout(previous_timeout)
        return target


def _exists(path: Path) -> bool:
    """Return True for a file or directory, or for a .gz of that name."""
    return path.exists() or path.with_name(f"{path.name}.gz").exists()


def _read_idx(source: TorchvisionDataset, folder: Path) -> Arrays:
    pinned = source.name in idx.RAW_SHA256
    return idx.read_files(source.name, folder, {} if pinned else source.archive_md5())


def _read_emnist(source: TorchvisionDataset, folder: Path) -> Arrays:
    """Read one split out of EMNIST's archive, the only file that torchvision can check."""
    import numpy as np  # noqa: PLC0415  # loaded only where arrays are read

    path = folder / _EMNIST_ARCHIVE
    try:
        content = path.read_bytes()
        idx.require_md5(path, content, source.archive_md5()[_EMNIST_ARCHIVE])
        with zipfile.ZipFile(io.BytesIO(content)) as archive:

            def read(part: str) -> np.ndarray:
                name = f"gzip/emnist-{source.split}-{part}-ubyte.gz"
                return np.frombuffer(bytearray(gzip.decompress(archive.read(name))), dtype=np.uint8)

            return Arrays(
                x_train=idx.images_from_idx(read("train-images-idx3")),
                y_train=idx.labels_from_idx(read("train-labels-idx1")),
                x_test=idx.images_from_idx(read("test-images-idx3")),
                y_test=idx.labels_from_idx(read("test-labels-idx1")),
            )
    except (OSError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise DatasetError(f"{path} cannot be read: {error}", next_step=NEXT_STEP) from error


def _read_by_torchvision(source: TorchvisionDataset, folder: Path) -> Arrays:
    """Let torchvision read and check its files."""
    import numpy as np  # noqa: PLC0415  # loaded only where arrays are read

    facts = source.facts()
    if source.name == "USPS":  # the only one that torchvision reads unchecked
        for name, md5 in source.archive_md5().items():
            idx.require_md5(folder / name, (folder / name).read_bytes(), md5)

    def read(*, train: bool) -> tuple[np.ndarray, np.ndarray]:
        opened = source.open_split(folder, train=train)
        images = np.asarray(opened.data)
        if images.ndim == 4 and images.shape[-1] == facts.input_shape[0]:  # (N, H, W, C)
            images = images.transpose(0, 3, 1, 2)
        labels = opened.targets if hasattr(opened, "targets") else opened.labels
        pixels = np.ascontiguousarray(images.reshape(-1, *facts.input_shape))
        return pixels, np.asarray(labels).astype(np.int64)

    try:
        (x_train, y_train), (x_test, y_test) = read(train=True), read(train=False)
    except (OSError, RuntimeError, EOFError, ValueError) as error:
        raise DatasetError(
            f"{source.name} in {folder} cannot be read: {error}",
            next_step="Delete its files and download them again.",
        ) from error
    return Arrays(x_train=x_train, y_train=y_train, x_test=x_test, y_test=y_test)


@dataclass(frozen=True, kw_only=True)
class _Known:
    """One data set of torchvision.

    Attributes:
        folders: the directories, below a data directory, that may hold the files; torchvision's
            own is the first.
        files: whose presence means that the data is there; an idx file may be a .gz.
        read: reads the files of the directory that was found.
    """

    facts: DataFacts
    folders: tuple[str, ...] = ("",)
    files: tuple[str, ...]
    read: Callable[[TorchvisionDataset, Path], Arrays] = _read_by_torchvision


def _facts(shape: tuple[int, ...], classes: int, train: int, test: int) -> DataFacts:
    return DataFacts(input_shape=shape, classes=classes, train_examples=train, test_examples=test)


def _idx(name: str) -> _Known:
    return _Known(
        facts=_facts((1, 28, 28), 10, 60_000, 10_000),
        folders=(f"{name}/raw", "raw", ""),
        files=idx.FILES,
        read=_read_idx,
    )


_EMNIST = {
    "byclass": _facts((1, 28, 28), 62, 697_932, 116_323),
    "bymerge": _facts((1, 28, 28), 47, 697_932, 116_323),
    "balanced": _facts((1, 28, 28), 47, 112_800, 18_800),
    # torchvision counts the letters from 1, and keeps a class 0 without examples.
    "letters": _facts((1, 28, 28), 27, 124_800, 20_800),
    "digits": _facts((1, 28, 28), 10, 240_000, 40_000),
    "mnist": _facts((1, 28, 28), 10, 60_000, 10_000),
}
"""The splits of EMNIST (G. Cohen, S. Afshar, J. Tapson, A. van Schaik, arXiv:1702.05373)."""

KNOWN: dict[str, _Known] = {
    "MNIST": _idx("MNIST"),
    "FashionMNIST": _idx("FashionMNIST"),
    "KMNIST": _idx("KMNIST"),
    "EMNIST": _Known(
        facts=_EMNIST["mnist"],
        folders=("EMNIST/raw", "raw", ""),
        files=(_EMNIST_ARCHIVE,),
        read=_read_emnist,
    ),
    "CIFAR10": _Known(
        facts=_facts((3, 32, 32), 10, 50_000, 10_000), files=("cifar-10-batches-py",)
    ),
    "CIFAR100": _Known(facts=_facts((3, 32, 32), 100, 50_000, 10_000), files=("cifar-100-python",)),
    "SVHN": _Known(
        facts=_facts((3, 32, 32), 10, 73_257, 26_032),
        files=("train_32x32.mat", "test_32x32.mat"),
    ),
    "USPS": _Known(facts=_facts((1, 16, 16), 10, 7_291, 2_007), files=("usps.bz2", "usps.t.bz2")),
    "STL10": _Known(facts=_facts((3, 96, 96), 10, 5_000, 8_000), files=("stl10_binary",)),
}
"""The data sets that have images of one size, and a training and a test half."""
