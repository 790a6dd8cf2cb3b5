"""A training process of `grader.training.pool`: receive orders over a pipe, train, answer.

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

from contextlib import suppress
from multiprocessing.connection import Connection

from grader.errors import GraderError, MachineError, memory_shortage
from grader.results import EpochResult
from grader.training.datasets import Dataset
from grader.training.pool import EpochEnded, Failed, Finished, Order
from grader.training.stacked import train_stacked


def main(descriptor: int, device: str) -> None:
    """Carry out orders until the parent closes the pipe."""
    pipe: Connection[Finished | Failed | EpochEnded, Order] = Connection(descriptor)
    dataset: Dataset | None = None
    with suppress(EOFError, ConnectionError):
        while True:
            order = pipe.recv()
            dataset = dataset or order.dataset.load()
            pipe.send(_carry_out(order, dataset, device, pipe))


def _carry_out(
    order: Order,
    dataset: Dataset,
    device: str,
    pipe: Connection[Finished | Failed | EpochEnded, Order],
) -> Finished | Failed:
    def report(index: int, epoch: int, result: EpochResult) -> None:
        pipe.send(EpochEnded(index=index, epoch=epoch, result=result))

    try:
        runs = train_stacked(order.jobs, dataset, device=device, on_epoch=report)
    except GraderError as error:
        return Failed(error=error)
    except ConnectionError:  # the parent is gone
        raise
    except Exception as error:  # noqa: BLE001  (one order's failure must not end the process)
        return Failed(error=memory_shortage(error) or _unexpected(error))
    return Finished(runs=tuple(runs))


def _unexpected(error: Exception) -> MachineError:
    return MachineError(
        f"training failed: {type(error).__name__}: {error}",
        next_step="Try again; if it happens again, report it with this message.",
    )


if __name__ == "__main__":
    main(int(sys.argv[2]), sys.argv[3])
