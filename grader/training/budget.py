"""The limits under which a verdict's models are trained."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Budget:
    """Limits on the training for one verdict. They change no run, so no digest has them.

    Attributes:
        reference_epochs: the budget of processor time, as epochs of `measure.REFERENCE` on the
            same data and machine. A slow machine takes longer for both, and refuses nobody.
        repetitions: how often the verdict may need this training: for all seeds and all stacks.
        memory_bytes: of a training process, beyond torch and the data; None for no limit.
    """

    reference_epochs: float = math.inf
    repetitions: int = 1
    memory_bytes: int | None = None


UNLIMITED = Budget()
