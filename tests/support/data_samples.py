"""Small data sets of every kind, as the arrays of an author's file, and assignments on them."""

import hashlib
from pathlib import Path

import numpy as np

from grader.training.data_sources.file import FileDataset


def plane(classes: int = 3) -> dict[str, np.ndarray]:
    """Points in the plane, in classes that a small network separates."""
    random = np.random.default_rng(0)

    def half(count: int) -> tuple[np.ndarray, np.ndarray]:
        labels = np.arange(count) % classes
        centres = np.stack([np.cos(labels * 2.0), np.sin(labels * 2.0)], axis=1)
        return centres + 0.05 * random.standard_normal((count, 2)), labels

    (x_train, y_train), (x_test, y_test) = half(60), half(30)
    return {"x_train": x_train, "y_train": y_train, "x_test": x_test, "y_test": y_test}


def colours(side: int = 32, classes: int = 3) -> dict[str, np.ndarray]:
    """RGB images, channels last, in which one channel is brighter than the others."""
    random = np.random.default_rng(0)

    def half(count: int) -> tuple[np.ndarray, np.ndarray]:
        labels = np.arange(count) % classes
        images = random.integers(0, 128, (count, side, side, 3), dtype=np.uint8)
        images[np.arange(count), :, :, labels] += 100
        return images, labels.astype(np.uint8)

    (x_train, y_train), (x_test, y_test) = half(60), half(30)
    return {"x_train": x_train, "y_train": y_train, "x_test": x_test, "y_test": y_test}


def save_arrays(directory: Path, name: str, arrays: dict[str, np.ndarray]) -> FileDataset:
    """Write an author's file, and return the record that names it."""
    path = directory / name
    np.savez(path, **arrays)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return FileDataset(name, sha256=digest)


def slope(targets: int = 1) -> dict[str, np.ndarray]:
    """Numbers that are a linear function of 4 features, with noise of 0.1."""
    random = np.random.default_rng(0)
    weights = random.standard_normal((4, targets))

    def half(count: int) -> tuple[np.ndarray, np.ndarray]:
        features = random.standard_normal((count, 4))
        return features, features @ weights + 0.1 * random.standard_normal((count, targets))

    (x_train, y_train), (x_test, y_test) = half(120), half(60)
    return {"x_train": x_train, "y_train": y_train, "x_test": x_test, "y_test": y_test}
