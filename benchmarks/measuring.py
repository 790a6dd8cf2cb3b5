"""Settings, outcomes and interleaved timing for all benchmarks."""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

REPOSITORY = Path(__file__).resolve().parent.parent
REFERENCE = REPOSITORY / "reference"
GRADE = Path(sys.executable).with_name("grade")

Row = tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings of the command line.

    Attributes:
        data_directory: holds MNIST in torchvision's layout.
        small: try the benchmark out on little data; its numbers are not to be quoted.
        repetitions: of every measurement; each benchmark has its own default.
        one_thread: give the course loop one thread and never torch's default number.
    """

    data_directory: Path
    small: bool
    repetitions: int | None
    one_thread: bool

    def data_options(self) -> tuple[str, ...]:
        """For `grade`: what it trains on."""
        return ("--practice",) if self.small else ("--data", str(self.data_directory))


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The outcome of one benchmark.

    Attributes:
        table: its heading and its rows.
        record: every single measurement, as JSON.
        remarks: sentences below the table.
    """

    table: Sequence[Row]
    record: dict[str, Any]
    remarks: Sequence[str] = field(default=())

    def as_markdown(self) -> str:
        """The table, and the remarks below it."""
        heading, *rows = self.table
        lines = [heading, ("---",) * len(heading), *rows]
        table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
        return "\n\n".join([table, *self.remarks])


def measure_in_turn(
    measures: Mapping[str, Callable[[], float]], repetitions: int
) -> dict[str, list[float]]:
    """Take every measurement once, then all of them again: what else the machine does meets all.

    Args:
        measures: by name; each returns seconds.
        repetitions: how often.
    """
    seconds: dict[str, list[float]] = {name: [] for name in measures}
    for _ in range(repetitions):
        for name, measure in measures.items():
            seconds[name].append(measure())
    return seconds


def command_seconds(command: Sequence[str | Path], *, accepted: Iterable[int] = (0,)) -> float:
    """Return the seconds of a process from its start to its end.

    Args:
        command: the program and its arguments.
        accepted: the exit codes that it may have.

    Raises:
        RuntimeError: it has another one.
    """
    started = time.perf_counter()
    run_command(command, accepted=accepted)
    return time.perf_counter() - started


def run_command(command: Sequence[str | Path], *, accepted: Iterable[int] = (0,)) -> str:
    """Return the output of a process; arguments and errors as for `command_seconds`."""
    ended = subprocess.run(command, capture_output=True, text=True, check=False, cwd=REPOSITORY)
    if ended.returncode not in accepted:
        words = " ".join(map(str, command))
        raise RuntimeError(f"{words} ended with {ended.returncode}:\n{ended.stderr[-2000:]}")
    return ended.stdout


def tabulate_seconds(seconds: Mapping[str, Sequence[float]]) -> list[Row]:
    """A row for each name, with the median ratio of its times to the first one's beside them."""
    baseline, *_ = seconds
    rows: list[Row] = [("what", "seconds: median (least to most)", "n", f"times {baseline}")]
    for name, values in seconds.items():
        ratio = median_ratio(values, seconds[baseline])
        rows.append((name, describe_spread(values), str(len(values)), f"{ratio:.2f}"))
    return rows


def describe_spread(values: Sequence[float]) -> str:
    """The median, and the least and most in brackets."""
    return f"{median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def median_ratio(values: Sequence[float], baseline: Sequence[float]) -> float:
    """The median of the ratios of times that were taken next to each other."""
    return median(value / base for value, base in zip(values, baseline, strict=True))
