"""The child's side of `grader.training.pool`: receive orders over a pipe, train, report.

Started as `python -P -m grader.training.pool_process PARENT DESCRIPTOR DEVICE`. It runs no student
code.
"""

from __future__ import annotations

import signal
import sys

from grader.kernel import die_with_parent

if __name__ == "__main__":
    # Before torch loads, which takes seconds in which the parent may end.
    die_with_parent(int(sys.argv[1]))
    signal.signal(signal.SIGINT, signal.SIG_IGN)

import mmap
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING

import numpy as np
import torch

from grader.errors import GraderError, MachineError, memory_shortage
from grader.training.datasets import Dataset
from grader.training.pool_messages import EpochEnded, Failed, Finished, Order, SharedDataset
from grader.training.stacked import train_stacked

if TYPE_CHECKING:
    from grader.results import EpochResult


def main(descriptor: int, device: str) -> None:
    """Carry out orders until the parent closes the pipe."""
    pipe: Connection[object, object] = Connection(descriptor)
    try:
        shared = pipe.recv()
        if not isinstance(shared, SharedDataset):
            raise TypeError(f"expected the data set first, got {shared!r}")
        dataset = map_dataset(shared)
        while True:
            order = pipe.recv()
            if not isinstance(order, Order):
                raise TypeError(f"expected an order, got {order!r}")
            pipe.send(_carry_out(order, dataset, device, pipe))
    except (EOFError, ConnectionError):
        return


def map_dataset(shared: SharedDataset) -> Dataset:
    """The data set in the parent's file, without a copy: all workers share its pages."""
    # Private: PyTorch wants writable memory, and a write would stay this process's own.
    content = np.frombuffer(mmap.mmap(shared.descriptor, 0, flags=mmap.MAP_PRIVATE), dtype=np.uint8)
    height, width = shared.image_size
    pixels = height * width
    arrays = np.split(
        content,
        np.cumsum(
            [
                shared.train_examples * pixels,
                shared.test_examples * pixels,
                shared.train_examples,
            ]
        ),
    )
    train_images, test_images, train_labels, test_labels = map(torch.from_numpy, arrays)
    return Dataset(
        name=shared.name,
        sha256=shared.sha256,
        practice=shared.practice,
        train_images=train_images.view(-1, height, width),
        train_labels=train_labels.long(),
        test_images=test_images.view(-1, height, width),
        test_labels=test_labels.long(),
    )


def _carry_out(
    order: Order, dataset: Dataset, device: str, pipe: Connection[object, object]
) -> Finished | Failed:
    def report(index: int, epoch: int, result: EpochResult) -> None:
        pipe.send(EpochEnded(index=index, epoch=epoch, result=result))

    try:
        runs = train_stacked(order.jobs, dataset, device=device, on_epoch=report)
    except GraderError as error:
        return Failed(error=error)
    except ConnectionError:
        raise
    except Exception as error:  # noqa: BLE001  (one order's failure must not end the worker)
        return Failed(error=_explain(error))
    return Finished(runs=tuple(runs))


def _explain(error: Exception) -> MachineError:
    """What an error that is no model's fault means."""
    return memory_shortage(error) or MachineError(
        f"training failed: {type(error).__name__}: {error}",
        next_step="Try again; if it happens again, report it with this message.",
    )


if __name__ == "__main__":
    main(int(sys.argv[2]), sys.argv[3])
