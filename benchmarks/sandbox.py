"""The cost of isolation: a process that imports PyTorch, bare and in every sandbox.

A time runs from the launch until every process of the sandbox has ended.
"""

from __future__ import annotations

import os
import tempfile
import time
from functools import partial
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from benchmarks.measuring import Outcome, Settings, measure_in_turn, tabulate_seconds
from grader.sandbox.isolation.choice import try_sandboxes
from grader.sandbox.isolation.own_work import OwnWork

if TYPE_CHECKING:
    from grader.sandbox.isolation.choice import Sandbox

PROGRAM = "import torch; print('imported', flush=True)"
SCRATCH_BYTES = 1_000_000
BARE = "bare"


def measure_sandbox(settings: Settings) -> Outcome:
    """Each kind of isolation in turn."""
    sandboxes: dict[str, Sandbox] = {BARE: OwnWork()}
    sandboxes |= {label: sandbox for label, sandbox, fault in try_sandboxes() if fault is None}
    with tempfile.TemporaryDirectory() as submission:
        seconds = measure_in_turn(
            {
                name: partial(_import_seconds, sandbox, Path(submission))
                for name, sandbox in sandboxes.items()
            },
            settings.repetitions or (3 if settings.small else 15),
        )
    costs = {
        name: [value - bare for value, bare in zip(values, seconds[BARE], strict=True)]
        for name, values in seconds.items()
        if name != BARE
    }
    return Outcome(
        table=tabulate_seconds(seconds),
        record={"seconds": seconds},
        remarks=[
            f"{name} costs {1000 * median(cost):.0f} ms, the median of {len(cost)} differences."
            for name, cost in costs.items()
        ],
    )


def _import_seconds(sandbox: Sandbox, submission: Path) -> float:
    started = time.perf_counter()
    with sandbox.launch(PROGRAM, submission=submission, scratch_bytes=SCRATCH_BYTES) as process:
        answer = os.read(process.replies.fileno(), 100)
        if not answer:
            errors = process.diagnostics.read(2000) or b""
            raise RuntimeError(f"torch cannot be imported in the sandbox: {errors.decode()}")
    return time.perf_counter() - started
