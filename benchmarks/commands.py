"""The time of `grade DIR --quick`, and of `grade DIR` when nothing has changed.

Both are cold processes, beside the import of PyTorch, which neither can do without.
"""

from __future__ import annotations

import sys
import tempfile
from functools import partial
from typing import TYPE_CHECKING

from benchmarks.measuring import (
    GRADE,
    REFERENCE,
    Outcome,
    Settings,
    command_seconds,
    measure_in_turn,
    run_command,
    tabulate_seconds,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

GRADED = (0, 1)
"""Exit codes of `grade` with which there is a report."""
BASELINE = "`import torch`"


def measure_quick(settings: Settings) -> Outcome:
    """Everything but training."""
    return _measure({"`grade reference --quick`": ("--quick",)}, settings)


def measure_regrade(settings: Settings) -> Outcome:
    """With every training run in the cache; the first grading, which may train, is not timed."""
    run_command([GRADE, REFERENCE, *settings.data_options()], accepted=GRADED)
    commands = {"`grade reference --quick`": ("--quick",), "`grade reference` again": ()}
    return _measure(commands, settings)


def _measure(commands: dict[str, tuple[str, ...]], settings: Settings) -> Outcome:
    with tempfile.TemporaryDirectory() as reports:

        def grade_seconds(options: tuple[str, ...]) -> float:
            command: list[str | Path] = [GRADE, REFERENCE, "--output", reports, *options]
            return command_seconds([*command, *settings.data_options()], accepted=GRADED)

        measures: dict[str, Callable[[], float]] = {
            BASELINE: partial(command_seconds, [sys.executable, "-c", "import torch"])
        }
        for name, options in commands.items():
            measures[name] = partial(grade_seconds, options)
        seconds = measure_in_turn(measures, settings.repetitions or 11)
    return Outcome(table=tabulate_seconds(seconds), record={"seconds": seconds})
