"""All steps of an epoch: on a CPU one after another, on a GPU as replays of one CUDA graph.

A GPU finishes each operation of a small network's step before Python has launched the next one. A
graph holds all operations of the step and takes a single launch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch

Step = Callable[[torch.Tensor], torch.Tensor]
"""Takes indices of examples, (B,) or (models, B), int64, and returns a loss, () or (models,)."""

WARM_UP_STEPS = 3
"""Steps of each epoch before the capture: they load libraries and create the optimiser's state.
PyTorch's notes on CUDA graphs ask for some."""


def run_steps(
    step: Step,
    optimizer: torch.optim.Optimizer,
    batches: Sequence[torch.Tensor],
    losses: torch.Tensor,
) -> None:
    """Take one step for each batch of indices, and keep its loss in its row of `losses`."""
    if losses.is_cuda and can_capture(optimizer):
        step = GraphedStep(step)
    with _own_stream(losses):
        for index, batch in enumerate(batches):
            losses[index] = step(batch)


def can_capture(optimizer: torch.optim.Optimizer) -> bool:
    """Return True if the step stays on the GPU: `capturable`, or SGD, which always does."""
    return isinstance(optimizer, torch.optim.SGD) or all(
        group.get("capturable", False) for group in optimizer.param_groups
    )


@contextmanager
def _own_stream(losses: torch.Tensor) -> Iterator[None]:
    """Use a stream of its own on a GPU, because the default stream cannot be captured."""
    if not losses.is_cuda:
        yield
        return
    stream: torch.cuda.Stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    outer = torch.cuda.current_stream()
    stream.wait_stream(outer)
    with torch.cuda.stream(stream):
        yield
    outer.wait_stream(stream)


class GraphedStep:
    """A step that becomes a CUDA graph after some batches, for all further batches of one size.

    The learning rate is a constant of the graph, so every epoch needs a new graph. A step that
    cannot be captured runs without a graph.
    """

    def __init__(self, step: Step) -> None:
        self._step = step
        self._steps = 0
        self._graph: torch.cuda.CUDAGraph | None = None
        self._batch = torch.empty(0)
        self._loss = torch.empty(0)

    def __call__(self, batch: torch.Tensor) -> torch.Tensor:
        """Return the loss, which the next call overwrites."""
        if self._steps == WARM_UP_STEPS:
            self._capture(batch)
        self._steps += 1
        if self._graph is None or batch.shape != self._batch.shape:
            return self._step(batch)
        self._batch.copy_(batch)
        self._graph.replay()
        return self._loss

    def _capture(self, batch: torch.Tensor) -> None:
        """Record the step's operations without running them."""
        self._batch = batch.clone()
        generator = torch.cuda.default_generators[torch.cuda.current_device()]
        before = generator.clone_state()
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph, stream=torch.cuda.current_stream()):
                self._loss = self._step(self._batch)
        except RuntimeError:
            # A capture that fails leaves the generator in capture mode.
            generator.graphsafe_set_state(before)
        else:
            self._graph = graph
