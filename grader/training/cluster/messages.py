"""What trainer and worker of a cluster say to each other: MessagePack, never pickle.

Nothing of a student's files is in it but what left the sandbox as validated data.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

import grader
from grader.errors import GraderError, MachineError, ModelError
from grader.results import TrainingRun
from grader.training.job import TRAINER_VERSION, TrainingJob


@dataclass(frozen=True, kw_only=True)
class Terms:
    """What a worker must have in common with the grader, so that its runs are the grader's own.

    Attributes:
        dataset: its name; the worker finds the data by itself.
        dataset_sha256: the checksum that the worker's copy must have.
        device: "cpu" or "cuda".
        versions: of what decides how a run ends, by name.
    """

    dataset: str
    dataset_sha256: str
    device: str
    versions: dict[str, str]


@dataclass(frozen=True, kw_only=True)
class RemoteOrder:
    """Train these jobs as one network, or the only one alone."""

    terms: Terms
    jobs: tuple[TrainingJob, ...]


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A `MachineError`, or a `ModelError`, as data.

    Attributes:
        of_model: whether it is the model's own.
        layer_index: of a `ModelError`.
    """

    message: str
    next_step: str
    of_model: bool = False
    layer_index: int | None = None

    @classmethod
    def of(cls, error: GraderError, *, prefix: str = "") -> Failure:
        """The error as data, with where it happened in front if it is not a model's."""
        if isinstance(error, ModelError):
            return cls(
                message=str(error),
                next_step=error.next_step,
                of_model=True,
                layer_index=error.layer_index,
            )
        return cls(message=f"{prefix}{error}", next_step=error.next_step)

    def error(self) -> GraderError:
        """The error that this was made of."""
        if self.of_model:
            return ModelError(self.message, layer_index=self.layer_index, next_step=self.next_step)
        return MachineError(self.message, next_step=self.next_step)


@dataclass(frozen=True, kw_only=True)
class Readiness:
    """What a worker offers.

    Attributes:
        slots: how many orders it carries out at once; 0 if it refuses.
        refusal: why it cannot train for this grader.
    """

    slots: int = 0
    refusal: Failure | None = None


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How an order ended.

    Attributes:
        runs: in the order of its jobs; empty if it failed.
        failure: why.
    """

    runs: tuple[TrainingRun, ...] = ()
    failure: Failure | None = None


def own_versions() -> dict[str, str]:
    """The versions here of what decides how a run ends."""
    return {
        "the grader": grader.__version__,
        "the training loop": str(TRAINER_VERSION),
        "torch": str(torch.__version__),
    }
