"""Find out how a program normalises its images: from its transform, or from its first batch."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils import data

MAXIMUM_CHANNELS = 4
MAXIMUM_DEPTH = 6
MAXIMUM_FIELDS = 50
PIXEL_RANGE = 255.0
MINIMUM_SIDE = 8
_TOLERANCE = 0.02
_CHANGES_VALUES = ("Random", "Resize", "Crop", "Affine", "Rotation", "Blur", "Jitter", "Auto")


@dataclass(frozen=True, kw_only=True)
class Normalisation:
    """The fields of the same names of `models.recording.RecordedTraining`."""

    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    scaled_twice: bool = False


def find(dataset: Any, batch: torch.Tensor | None) -> Normalisation:
    """Return the normalisation of a data set's images, as the model gets them.

    Args:
        dataset: of the loader, or None.
        batch: as it was given to the model, or None.
    """
    steps = list(_steps(dataset))
    normalize = next((step for step in steps if type(step).__name__ == "Normalize"), None)
    mean, std = (_numbers(getattr(normalize, name, None)) for name in ("mean", "std"))
    if not (mean and std and len(mean) == len(std)):
        mean = std = ()
    measured = _measure(batch)
    if measured is None:
        return Normalisation(mean=mean, std=std)
    low, spread = measured
    usual = 1.0 / std[0] if std else 1.0
    if abs(spread * PIXEL_RANGE / usual - 1.0) < _TOLERANCE:
        return Normalisation(mean=mean, std=std, scaled_twice=True)
    changes = any(word in type(step).__name__ for step in steps for word in _CHANGES_VALUES)
    if mean or changes or (abs(low) < _TOLERANCE and abs(spread - 1.0) < _TOLERANCE):
        return Normalisation(mean=mean, std=std)
    # The images go from black to white: an affine change is known by its two ends.
    return Normalisation(mean=(round(-low / spread, 6) + 0.0,), std=(round(1.0 / spread, 6),))


def _measure(batch: torch.Tensor | None) -> tuple[float, float] | None:
    """Return the smallest value of a batch of grey images, and the range of its values."""
    if batch is None or not batch.is_floating_point() or batch.numel() == 0:
        return None
    if batch.dim() == 4 and batch.shape[1] != 1:
        return None
    if batch.dim() == 2 and not _is_image(batch.shape[1]):
        return None
    low, high = (float(value) for value in torch.aminmax(batch.detach()))
    spread = high - low
    return (low, spread) if 1e-6 < spread < 1e6 and abs(low) < 1e6 else None


def _is_image(pixels: int) -> bool:
    """Return True if a row of this length may be a square grey image."""
    return pixels >= MINIMUM_SIDE**2 and math.isqrt(pixels) ** 2 == pixels


def _steps(dataset: Any, depth: int = 0) -> Iterator[Any]:
    """Yield the transforms of a data set and of those inside it, whatever their names are."""
    fields = getattr(dataset, "__dict__", None)
    if depth > MAXIMUM_DEPTH or not isinstance(fields, dict):
        return
    inner = []
    for value in list(fields.values())[:MAXIMUM_FIELDS]:
        if isinstance(value, data.Dataset):
            inner.append(value)
        elif isinstance(value, (list, tuple)) and value and isinstance(value[0], data.Dataset):
            inner.append(value[0])
        elif callable(value) or hasattr(value, "transforms"):
            yield from _flat(value)
    for value in inner:
        yield from _steps(value, depth + 1)


def _flat(transform: Any, depth: int = 0) -> Iterator[Any]:
    steps = getattr(transform, "transforms", None)
    if isinstance(steps, (list, tuple)) and depth <= MAXIMUM_DEPTH:
        for step in steps:
            yield from _flat(step, depth + 1)
    elif transform is not None:
        yield transform


def _numbers(values: Any) -> tuple[float, ...]:
    """Return the means or deviations of a `Normalize`, or () if they are no plain numbers."""
    if isinstance(values, torch.Tensor):
        values = values.flatten().tolist()
    if isinstance(values, (int, float)):
        values = (values,)
    if not isinstance(values, (list, tuple)) or not 0 < len(values) <= MAXIMUM_CHANNELS:
        return ()
    try:
        numbers = tuple(float(value) for value in values)
    except (TypeError, ValueError):
        return ()
    return numbers if all(abs(number) < 1e6 for number in numbers) else ()
