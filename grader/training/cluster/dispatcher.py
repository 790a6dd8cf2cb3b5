"""Which order goes to which worker of a Dask cluster, and when it is given up.

Every worker is asked first whether it trains what this machine would train, and is given no more
orders than it carries out at once. Orders wait here and not on a worker: the first one given is the
first one begun, and a worker that dies takes along only what it was really training.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from queue import Empty, SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, Self, TypeVar

import msgspec

from grader.errors import GraderError, MachineError
from grader.results import TrainingRun
from grader.training.cluster.messages import Failure, Outcome, Readiness, Terms
from grader.training.pool import ATTEMPTS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from distributed import Client
    from distributed import Future as RemoteFuture

    from grader.results import EpochResult

LOOK_SECONDS = 1.0
"""How often the list of workers is looked at."""

TRANSFER_SECONDS = 30.0
"""How long an answer may take to come that is ready."""

Answer = TypeVar("Answer", Readiness, Outcome)

_logger = logging.getLogger(__name__)


class Order:
    """Jobs that are trained together, on their way.

    Args:
        content: a `RemoteOrder` as it is sent.
        callbacks: for each job, what is told of its epochs.

    Attributes:
        futures: for each job, its run to come.
        losses: what became of each attempt that a worker did not survive.
    """

    def __init__(
        self, content: bytes, callbacks: Sequence[Callable[[int, EpochResult], None] | None]
    ) -> None:
        self.content = content
        self.futures: list[Future[TrainingRun]] = [Future() for _ in callbacks]
        self.losses: list[str] = []
        self._callbacks = callbacks
        for future in self.futures:
            future.set_running_or_notify_cancel()  # from now on nobody can cancel it

    def fulfil(self, runs: Sequence[TrainingRun]) -> None:
        """Tell of every epoch, and hand out the runs."""
        for run, callback, future in zip(runs, self._callbacks, self.futures, strict=True):
            try:
                for number, epoch in enumerate(run.epochs, start=1):
                    if callback is not None:
                        callback(number, epoch)
            except Exception as error:  # noqa: BLE001  (it is the callback's owner who gets it)
                future.set_exception(error)
            else:
                future.set_result(run)

    def fail(self, error: GraderError) -> None:
        """Let every job end with this error."""
        for future in self.futures:
            future.set_exception(error)


@dataclass(kw_only=True)
class _Worker:
    """A worker as this side knows it.

    Attributes:
        asked: the question whether it is ready.
        readiness: what it offers, or None as long as it has not answered.
        running: the orders it was given and has not ended.
    """

    asked: RemoteFuture[bytes]
    readiness: Readiness | None = None
    running: dict[Order, RemoteFuture[bytes]] = field(default_factory=dict)

    @property
    def free_slots(self) -> int:
        """How many orders more it can take."""
        return self.readiness.slots - len(self.running) if self.readiness else 0


class Dispatcher:
    """Gives orders to workers; a context manager whose thread works from entering to leaving.

    All that happens goes through one queue to that thread, which alone knows orders and workers.
    """

    def __init__(self, client: Client, terms: Terms, *, patience_seconds: float | None) -> None:
        """Prepare the dispatcher.

        Args:
            client: connected to the scheduler.
            terms: what a worker must have in common with this machine.
            patience_seconds: after so long without a worker, what waits fails; or None.
        """
        self._client = client
        self._terms = msgspec.msgpack.encode(terms)
        self._patience_seconds = patience_seconds
        self._events: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread = Thread(target=self._run, name="dask-dispatcher")
        self._waiting: deque[Order] = deque()
        self._workers: dict[str, _Worker] = {}
        self._hopeful_at = time.monotonic()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._events.put(None)
        self._thread.join()

    def take(self, order: Order) -> None:
        """Have an order carried out; its futures tell how it ended."""
        self._events.put(partial(self._waiting.append, order))

    def _run(self) -> None:
        try:
            self._work()
        except Exception as error:  # noqa: BLE001  (else everybody would wait for ever)
            lost = MachineError(
                f"the Dask scheduler was lost: {_in_words(error)}",
                next_step="See whether it still runs and can be reached, and grade again.",
            )
            self._fail_everything(lost)
            while (event := self._events.get()) is not None:
                event()
                self._fail_everything(lost)
        self._fail_everything(MachineError("training was stopped"))

    def _work(self) -> None:
        """Until it is over, take what happens, one after another."""
        look_at = time.monotonic()
        while True:
            if time.monotonic() >= look_at:
                self._look_at_workers()
                self._lose_patience()
                look_at = time.monotonic() + LOOK_SECONDS
            self._hand_out()
            with suppress(Empty):
                event = self._events.get(timeout=LOOK_SECONDS)
                if event is None:
                    return
                event()

    def _look_at_workers(self) -> None:
        """Find out who has come and who has gone."""
        present = self._client.nthreads()
        for address in self._workers.keys() - present.keys():
            for order, remote in self._workers.pop(address).running.items():
                remote.cancel()
                self._try_again(order, f"the Dask worker {address} was lost")
        for address in present.keys() - self._workers.keys():
            asked = self._ask(address, "get_ready", self._terms, self._take_readiness)
            self._workers[address] = _Worker(asked=asked)

    def _lose_patience(self) -> None:
        """Fail what waits if nobody can be expected to train it."""
        now = time.monotonic()
        answers = [worker.readiness for worker in self._workers.values()]
        refusals = [answer.refusal for answer in answers if answer and answer.refusal]
        if self._workers or not self._waiting:
            self._hopeful_at = now
        if refusals and len(refusals) == len(answers):
            self._fail_waiting(refusals[0].error())
        elif self._patience_seconds and now - self._hopeful_at > self._patience_seconds:
            self._fail_waiting(
                MachineError(
                    f"the Dask scheduler has had no worker for {self._patience_seconds:.0f} s",
                    next_step="Start some where this grader is installed (`dask worker ADDRESS`). "
                    "If they end at once, their log says why: without the grader they do.",
                )
            )

    def _hand_out(self) -> None:
        """Give orders to whoever has most slots free, as long as somebody has one."""
        while self._waiting and self._workers:
            address = max(self._workers, key=lambda name: self._workers[name].free_slots)
            worker = self._workers[address]
            if worker.free_slots <= 0:
                return
            order = self._waiting.popleft()
            worker.running[order] = self._ask(
                address, "carry_out", order.content, partial(self._take_outcome, order)
            )

    def _ask(
        self,
        address: str,
        function: str,
        content: bytes,
        take: Callable[[str, RemoteFuture[bytes]], None],
    ) -> RemoteFuture[bytes]:
        """Call a function of `worker` on one Dask worker; `take` gets how that ended."""
        from grader.training.cluster import worker  # noqa: PLC0415  # needs Dask, an extra

        remote = self._client.submit(
            getattr(worker, function), content, workers=[address], pure=False
        )
        remote.add_done_callback(lambda ended: self._events.put(partial(take, address, ended)))
        return remote

    def _take_readiness(self, address: str, remote: RemoteFuture[bytes]) -> None:
        worker = self._workers.get(address)
        if worker is None or worker.asked is not remote:
            return
        try:
            worker.readiness = _read(remote, Readiness)
        except Exception as error:  # noqa: BLE001  (whatever the worker's Python raised)
            worker.readiness = Readiness(
                refusal=Failure(
                    message=f"the Dask worker {address} cannot train: {_in_words(error)}",
                    next_step="Install the same versions on the workers as where the grader runs.",
                )
            )
        if worker.readiness.refusal:
            _logger.warning("%s", worker.readiness.refusal.message)

    def _take_outcome(self, order: Order, address: str, remote: RemoteFuture[bytes]) -> None:
        worker = self._workers.get(address)
        if worker is None or worker.running.get(order) is not remote:
            return
        del worker.running[order]
        try:
            outcome = _read(remote, Outcome)
        except Exception as error:  # noqa: BLE001  (whatever the worker's Python raised)
            self._try_again(order, f"the Dask worker {address} failed: {_in_words(error)}")
            return
        if outcome.failure:
            order.fail(outcome.failure.error())
        else:
            order.fulfil(outcome.runs)

    def _try_again(self, order: Order, loss: str) -> None:
        order.losses.append(loss)
        if len(order.losses) < ATTEMPTS:
            self._waiting.appendleft(order)
            return
        order.fail(
            MachineError(
                f"training was begun {ATTEMPTS} times and never ended; at last {loss}",
                next_step="See the worker's log: if its memory ran out, give workers more memory "
                "or fewer threads. Then grade again.",
            )
        )

    def _fail_waiting(self, error: GraderError) -> None:
        while self._waiting:
            self._waiting.popleft().fail(error)

    def _fail_everything(self, error: GraderError) -> None:
        for worker in self._workers.values():
            self._waiting.extend(worker.running)
        self._workers.clear()
        self._fail_waiting(error)


def _read(remote: RemoteFuture[bytes], kind: type[Answer]) -> Answer:
    """What a worker answered, or else whatever was raised there or on the way."""
    return msgspec.msgpack.decode(remote.result(timeout=TRANSFER_SECONDS), type=kind)


def _in_words(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
