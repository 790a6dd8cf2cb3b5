"""The data of a benchmark as the course's loop reads it: idx files in torchvision's layout."""

from __future__ import annotations

import struct
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from grader.training.datasets import load_dataset

if TYPE_CHECKING:
    from collections.abc import Iterator

    import torch

    from benchmarks.measuring import Settings


@contextmanager
def course_data(settings: Settings) -> Iterator[Path]:
    """The directory that holds MNIST/raw: of MNIST itself, or of the practice set if small."""
    if not settings.small:
        yield settings.data_directory
        return
    practice = load_dataset("mnist-5k")
    with TemporaryDirectory() as directory:
        raw = Path(directory, "MNIST", "raw")
        raw.mkdir(parents=True)
        _write_idx(raw / "train-images-idx3-ubyte", practice.train_inputs)
        _write_idx(raw / "train-labels-idx1-ubyte", practice.train_targets)
        _write_idx(raw / "t10k-images-idx3-ubyte", practice.test_inputs)
        _write_idx(raw / "t10k-labels-idx1-ubyte", practice.test_targets)
        yield Path(directory)


def _write_idx(path: Path, values: torch.Tensor) -> None:
    """Bytes after their header: a magic number (type 8 is uint8), and the size of each dimension
    (Y. LeCun, C. Cortes, C. Burges, "The MNIST database of handwritten digits").
    """
    header = struct.pack(f">HBB{values.ndim}I", 0, 8, values.ndim, *values.shape)
    path.write_bytes(header + values.byte().numpy().tobytes())
