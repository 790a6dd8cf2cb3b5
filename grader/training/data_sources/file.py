"""A data set of the author's own: a NumPy archive, usually beside the assignment."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from grader.errors import DatasetError
from grader.training.data_places import Places
from grader.training.data_sources.interface import Arrays, DataFacts, DataSource

if TYPE_CHECKING:
    import numpy as np

ARRAYS = ("x_train", "y_train", "x_test", "y_test")


@dataclass(frozen=True)
class FileDataset(DataSource):
    """Arrays `x_train y_train x_test y_test` in an .npz file of the author's.

    Inputs are images of uint8, (N, H, W), (N, H, W, 1 or 3) or (N, 1 or 3, H, W), or features,
    (N, features). Targets are whole numbers for classes, counted from 0, or floats to predict,
    (N,) or (N, targets).

    Attributes:
        file: a path beside the assignment's file, or else below the data directory.
        sha256: of the file.
        directory: of the assignment's file; the loader sets it, and the digest leaves it out.
    """

    file: str
    sha256: str = field(default="", kw_only=True)
    directory: str = field(default="", kw_only=True, metadata={"digested": False})

    @property
    def id(self) -> str:
        """The file's name."""
        return self.file

    @property
    def is_at_hand(self) -> bool:
        """True if the file is beside the assignment."""
        return self._beside() is not None

    def beside(self, directory: Path) -> FileDataset:
        """Return the source with the directory of the assignment's file."""
        return replace(self, directory=str(directory))

    def _beside(self) -> Path | None:
        path = Path(self.directory, self.file)
        return path if self.directory and path.is_file() else None

    def author_files(self) -> dict[str, Path]:
        """Return the file, if it is beside the assignment."""
        path = self._beside()
        return {} if path is None else {self.file: path}

    def mistakes(self) -> Iterator[str]:
        """Yield a wrong path or checksum, and arrays that cannot be a data set."""
        path = PurePosixPath(self.file)
        if path.is_absolute() or ".." in path.parts or path.suffix != ".npz":
            yield f"file: {self.file!r} must be a relative path that ends in .npz"
            return
        found = self._beside()
        if found is None:
            if not self.sha256:
                yield f"sha256: is missing, and {self.file} is not beside the assignment"
            return
        digest = _digest(found)
        if digest != self.sha256:
            was = f"is {self.sha256!r}, but" if self.sha256 else "is missing;"
            yield f'sha256: {was} {self.file} has sha256="{digest}"'
            return
        try:
            self.facts()
        except DatasetError as error:
            yield str(error)

    def facts(self) -> DataFacts | None:
        """Return the facts of the file beside the assignment, or None if it is elsewhere.

        Raises:
            DatasetError: the file cannot be a data set.
        """
        path = self._beside()
        return None if path is None else _facts_of_file(path, self.sha256)

    def find(self, places: Places) -> Path:
        """Return the file beside the assignment, or else below the data directory."""
        path = self._beside()
        if path is not None:
            return path
        path = places.require_root() / self.file
        if path.is_file():
            return path
        beside = f"neither beside the assignment, in {self.directory}, nor"
        raise DatasetError(
            f"the data set {self.file} is {beside} in {path.parent}",
            next_step=f"Put {self.file} beside the assignment, or name its directory with --data.",
        )

    def load(self, places: Places, *, download: bool) -> Arrays:  # noqa: ARG002  # never downloaded
        """Read the file after its checksum is verified."""
        path = self.find(places)
        digest = _digest(path)
        if digest != self.sha256:
            raise DatasetError(
                f"{path} is not the assignment's {self.file}: its SHA-256 is {digest}, expected "
                f"{self.sha256}",
                next_step="Use the author's file, or correct sha256 in the assignment.",
            )
        return replace(_read(path), sha256=digest)

    def label_paths(self, places: Places) -> list[Path]:
        """Return the file wherever it is."""
        roots = [*([Path(self.directory)] if self.directory else []), *places.everywhere]
        paths = [root / self.file for root in roots]
        return [path.resolve() for path in paths if path.is_file()]


@cache
def _facts_of_file(path: Path, _sha256: str) -> DataFacts:
    return facts_of(_read(path))


def facts_of(arrays: Arrays) -> DataFacts:
    """Return the facts about arrays."""
    targets = arrays.y_train
    is_classes = targets.dtype.kind == "i"
    classes = 1 + max(int(arrays.y_train.max()), int(arrays.y_test.max())) if is_classes else None
    return DataFacts(
        input_shape=tuple(arrays.x_train.shape[1:]),
        classes=classes,
        train_examples=len(arrays.x_train),
        test_examples=len(arrays.x_test),
        targets=1 if is_classes else targets.shape[1],
    )


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read(path: Path) -> Arrays:
    """Read the four arrays.

    Raises:
        DatasetError: the file cannot be a data set.
    """
    import numpy as np  # noqa: PLC0415  # loaded only where arrays are read

    try:
        with np.load(path, allow_pickle=False) as archive:
            missing = [name for name in ARRAYS if name not in archive.files]
            if missing:
                held = ", ".join(archive.files) or "nothing"
                raise _unusable(path, f"lacks {', '.join(missing)}; it holds {held}")
            found = {name: archive[name] for name in ARRAYS}
    except (OSError, ValueError, zipfile.BadZipFile, EOFError) as error:
        raise _unusable(path, f"cannot be read: {error}") from error
    arrays = Arrays(
        x_train=_inputs(path, "x_train", found["x_train"]),
        y_train=_targets(path, "y_train", found["y_train"]),
        x_test=_inputs(path, "x_test", found["x_test"]),
        y_test=_targets(path, "y_test", found["y_test"]),
    )
    for half in ("train", "test"):
        inputs, targets = getattr(arrays, f"x_{half}"), getattr(arrays, f"y_{half}")
        if len(inputs) != len(targets) or not len(inputs):
            raise _unusable(
                path,
                f"has {len(inputs):,} examples in x_{half}, but {len(targets):,} in y_{half}",
            )
    for kind in ("x", "y"):
        train, test = getattr(arrays, f"{kind}_train"), getattr(arrays, f"{kind}_test")
        if train.dtype != test.dtype or train.shape[1:] != test.shape[1:]:
            raise _unusable(
                path,
                f"has examples of shape {train.shape[1:]} in {kind}_train ({train.dtype}), but of "
                f"{test.shape[1:]} in {kind}_test ({test.dtype})",
            )
    _require_classes(path, arrays)
    return arrays


def _inputs(path: Path, name: str, values: np.ndarray) -> np.ndarray:
    """Return images as (N, C, H, W) uint8, or features as (N, features) float32."""
    import numpy as np  # noqa: PLC0415  # loaded only where arrays are read

    if values.dtype == np.uint8 and values.ndim in {3, 4}:
        if values.ndim == 3:
            values = values[:, None]
        elif values.shape[1] not in {1, 3} and values.shape[3] in {1, 3}:
            values = values.transpose(0, 3, 1, 2)
        if values.shape[1] in {1, 3}:
            return np.ascontiguousarray(values)
    if values.dtype.kind == "f" and values.ndim == 2:
        if not np.isfinite(values).all():
            row = int(np.argwhere(~np.isfinite(values))[0][0])
            raise _unusable(path, f"has NaN or infinity in row {row} of {name}")
        return np.ascontiguousarray(values, dtype=np.float32)
    raise _unusable(
        path,
        f"has {name} of shape {values.shape} and type {values.dtype}: images must be uint8, "
        "(N, H, W), (N, H, W, 3) or (N, 3, H, W), and features floats, (N, features)",
    )


def _targets(path: Path, name: str, values: np.ndarray) -> np.ndarray:
    """Return classes as (N,) int64, or numbers to predict as (N, targets) float32."""
    import numpy as np  # noqa: PLC0415  # loaded only where arrays are read

    if values.dtype.kind in "biu" and values.ndim == 1:
        return values.astype(np.int64)
    if values.dtype.kind == "f" and values.ndim in {1, 2}:
        if not np.isfinite(values).all():
            raise _unusable(path, f"has NaN or infinity in {name}")
        return np.ascontiguousarray(values.reshape(len(values), -1), dtype=np.float32)
    raise _unusable(
        path,
        f"has {name} of shape {values.shape} and type {values.dtype}: targets must be whole "
        "numbers, (N,), for classes, or floats, (N,) or (N, targets), for numbers to predict",
    )


def _require_classes(path: Path, arrays: Arrays) -> None:
    """Refuse classes that are not counted from 0, or of which some are never trained on."""
    import numpy as np  # noqa: PLC0415  # loaded only where arrays are read

    if arrays.y_train.dtype.kind != "i":
        return
    found = sorted(int(label) for label in np.unique(arrays.y_train))
    if found != list(range(len(found))) or int(arrays.y_test.max()) >= len(found):
        raise _unusable(
            path,
            f"has the classes {found[0]} to {found[-1]} in y_train, {len(found)} of them, and "
            f"{int(arrays.y_test.min())} to {int(arrays.y_test.max())} in y_test: count classes "
            "from 0, each with training examples",
        )


def _unusable(path: Path, reason: str) -> DatasetError:
    return DatasetError(f"{path.name} {reason}", next_step="Save the arrays again with np.savez.")
