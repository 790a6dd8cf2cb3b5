"""Data loaders of a program's own data and of stand-ins: one batch stands for an epoch."""

from __future__ import annotations

import dis
import inspect
import itertools
import re
import sys
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils import data

from grader.sandbox.worker.recording.loops import Loops

EXAMPLES = 16
"""Examples of a batch that are computed; the others repeat them."""
MAXIMUM_BATCH = 64
"""A larger batch is cut to this, unless the program relies on the size."""
MAXIMUM_WRITTEN_BATCH = 4096
MAXIMUM_BATCHES = 64
"""Batches of one epoch, for a program that steps only after several."""
MINIMUM_BATCHES = 8
"""The same, where the batches take long."""

_WRITTEN_SIZE = re.compile(
    r"(?:view|reshape|zeros|ones|empty|full|randn?|expand|repeat|arange)\(\s*[(\[]?\s*"
    r"(\d+|(?:\w+\.)*\w*(?:batch|BATCH|bs\b)\w*)",
)
_Loader: type[Any] = data.DataLoader
_SIGNATURE = inspect.signature(_Loader.__init__)
_ONE_PROCESS = {
    "num_workers": 0,
    "pin_memory": False,
    "persistent_workers": False,
    "prefetch_factor": None,
    "multiprocessing_context": None,
    "timeout": 0,
    "worker_init_fn": None,
    "pin_memory_device": "",
}


@dataclass(kw_only=True, eq=False)
class Pass:
    """One pass over a data loader.

    Attributes:
        is_loop: a loop asks for the batches, not `next()`; then one batch stands for all.
        batch_size: of the loader; 0 if it makes no batches.
        examples: in one epoch; 0 if unknown.
        given: examples in the latest batch.
        is_over: no batch is used any more.
    """

    loader: Any
    is_loop: bool
    batch_size: int
    examples: int
    given: int = 0
    is_over: bool = False


@dataclass(kw_only=True)
class Counts:
    """The calls that a program has made so far.

    Attributes:
        latest: the pass that gave the latest batch.
        trained: the pass whose batch the latest `backward()` was for; None if it was no loader's.
    """

    optimizers: int = 0
    steps: int = 0
    backwards: int = 0
    latest: Pass | None = None
    trained: Pass | None = None

    def count_backward(self) -> None:
        """Count a call of `backward()`."""
        self.backwards += 1
        latest = self.latest
        is_stale = latest is not None and latest.is_loop and latest.is_over
        self.trained = None if is_stale else latest


class StandInLoader(_Loader):  # type: ignore[misc]
    """A `DataLoader` with the true length and batch size, and few batches."""

    counts: Counts
    loops: Loops
    written: WrittenSizes

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        given = _SIGNATURE.bind(self, *args, **kwargs).arguments
        del given["self"]
        super().__init__(**{**given, **{n: v for n, v in _ONE_PROCESS.items() if n in given}})

    def __iter__(self) -> Any:
        return _Batches(self)


class _Batches:
    """The iterator of one pass; old programs call its `next()`."""

    def __init__(self, loader: StandInLoader) -> None:
        self._counts, self._loops = loader.counts, loader.loops
        self._loader = loader
        self._batches = self._generate(loader)
        self._pass = Pass(
            loader=loader,
            is_loop=False,
            batch_size=_batch_size(loader),
            examples=_count_examples(loader),
        )
        self._given = 0
        self._before = (0, 0)

    def __iter__(self) -> Any:
        return self

    def __next__(self) -> Any:
        # A loop of the program's goes through `Loops.each`; another one is seen by its bytecode.
        frame = sys._getframe(1)  # noqa: SLF001 - the caller
        self._pass.is_loop = frame.f_code is Loops.each.__code__ or _is_loop(frame)
        for loop in self._loops.advancing:
            loop.is_data = True
        if self._pass.is_loop and self._given and not self._needs_more():
            self._pass.is_over = True
            raise StopIteration
        batch = next(self._batches)
        self._given += 1
        self._before = (self._counts.steps, self._counts.backwards)
        self._counts.latest = self._pass
        return batch

    next = __next__

    def __len__(self) -> int:
        return len(self._loader)

    def __del__(self) -> None:
        # A loop that was left lets go of its iterator.
        self._pass.is_over = True

    def _needs_more(self) -> bool:
        """Return True if the program accumulates gradients, and has not stepped yet."""
        steps, backwards = self._before
        return (
            self._counts.optimizers > 0
            and self._counts.steps == steps
            and self._counts.backwards > backwards
            and self._given < MAXIMUM_BATCHES
            and (self._given < MINIMUM_BATCHES or not self._loops.is_late())
        )

    def _generate(self, loader: Any) -> Iterator[Any]:
        dataset, collate = loader.dataset, loader.collate_fn
        if isinstance(dataset, data.IterableDataset):
            source = iter(dataset)
            while chunk := list(itertools.islice(source, loader.batch_size or 1)):
                yield collate(chunk) if loader.batch_size else collate(chunk[0])
            return
        for indices in loader._index_sampler:  # noqa: SLF001 - of this class's base
            if loader.batch_size is None and loader.batch_sampler is None:
                yield collate(dataset[indices])
                continue
            wanted = _size_to_give(loader, len(indices))
            self._pass.given = wanted
            few = indices[: min(EXAMPLES, wanted)]
            batch = collate([dataset[index] for index in few])
            yield _repeat(batch, len(few), wanted)


def _is_loop(frame: types.FrameType) -> bool:
    code, index = frame.f_code.co_code, frame.f_lasti
    return 0 <= index < len(code) and dis.opname[code[index]].startswith("FOR_ITER")


def _batch_size(loader: Any) -> int:
    size = loader.batch_size or getattr(loader.batch_sampler, "batch_size", 0)
    return size if type(size) is int and size > 0 else 0


def _count_examples(loader: Any) -> int:
    for counted in (loader.sampler, loader.dataset):
        try:
            return max(0, len(counted))
        except Exception:  # noqa: BLE001, S112 - a student's class may raise anything
            continue
    return 0


def _size_to_give(loader: StandInLoader, size: int) -> int:
    """Return how many examples a batch gets: all of them if the program relies on their number."""
    is_needed = size <= MAXIMUM_BATCH or loader.written.names or size in loader.written.numbers
    return min(size, MAXIMUM_WRITTEN_BATCH if is_needed else MAXIMUM_BATCH)


@dataclass(frozen=True, kw_only=True)
class WrittenSizes:
    """Sizes of batches in a program's reshapes: `x.view(batch_size, -1)`, `torch.zeros(100, 10)`.

    Attributes:
        names: a variable's name says that it is one.
    """

    names: bool = False
    numbers: frozenset[int] = frozenset()


def find_written_sizes(source: str) -> WrittenSizes:
    """Return the sizes that a program's text holds."""
    found = [match[1] for match in _WRITTEN_SIZE.finditer(source)]
    numbers = frozenset(int(text) for text in found if text.isdecimal() and len(text) < 6)
    return WrittenSizes(names=any(not text.isdecimal() for text in found), numbers=numbers)


def _repeat(batch: Any, few: int, wanted: int) -> Any:
    """Return a batch whose tensors have `wanted` rows, made of the `few` that they have."""
    if isinstance(batch, torch.Tensor):
        is_batch = few < wanted and batch.dim() > 0 and batch.shape[0] == few
        return batch[torch.arange(wanted) % few] if is_batch else batch
    if isinstance(batch, dict):
        return {key: _repeat(value, few, wanted) for key, value in batch.items()}
    if isinstance(batch, tuple) and hasattr(batch, "_fields"):
        return type(batch)(*(_repeat(value, few, wanted) for value in batch))
    if isinstance(batch, (list, tuple)):
        return type(batch)(_repeat(value, few, wanted) for value in batch)
    return batch


def install(counts: Counts, loops: Loops, written: WrittenSizes) -> None:
    """Replace `DataLoader` in this process, and count calls of `backward()`."""
    StandInLoader.counts, StandInLoader.loops = counts, loops
    StandInLoader.written = written
    StandInLoader.__name__ = StandInLoader.__qualname__ = "DataLoader"
    data_: Any = data
    data_.DataLoader = data_.dataloader.DataLoader = StandInLoader
    tensor: Any = torch.Tensor
    autograd: Any = torch.autograd

    def counting(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            counts.count_backward()
            return function(*args, **kwargs)

        return call

    tensor.backward = counting(tensor.backward)
    autograd.grad = counting(autograd.grad)
